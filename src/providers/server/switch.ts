import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, WorkContext } from '../../surfaces/surface.port.ts';
import type { Retirement, WebTarget } from '../../surfaces/web/web.port.ts';

/** What can be told at a glance about who serves. */
export interface SwitchState {
  /** Null when nobody serves yet, or when it can't be told. */
  readonly live: ReleaseId | null;
  /** Releases whose process lives. */
  readonly warm: ReadonlySet<ReleaseId>;
  /** Names of staged folders that serve, or that a process runs in. */
  readonly inUse: ReadonlySet<string>;
  /** Requests are being held back. */
  readonly holding: boolean;
}

/** The three ways to put a release before the public; staging is the same for all of them. */
export interface TrafficSwitch {
  readonly address: string | null;
  readonly canHold: boolean;
  look(context: LookContext): Promise<SwitchState>;
  raiseFence(context: WorkContext): Promise<void>;
  /** `cold`: a process was really started, and `startMs` says how long that took. */
  start(
    context: WorkContext,
    target: WebTarget,
  ): Promise<{ readonly startMs: number; readonly cold: boolean }>;
  switchTo(context: WorkContext, target: WebTarget): Promise<void>;
  verifyLive(context: LookContext, target: WebTarget): Promise<Observation>;
  hold(context: WorkContext): Promise<void>;
  resume(context: WorkContext): Promise<void>;
  retire(context: WorkContext, target: WebTarget, how: Retirement): Promise<void>;
  /** Starts again what has ended without being told to; true when something was. */
  keepUp(context: LookContext): Promise<boolean>;
  /** Ends every process it runs: the end of a rehearsal, or of the day. */
  dispose(): Promise<void>;
}
