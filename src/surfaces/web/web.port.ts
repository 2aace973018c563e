import type { WebFacts } from '../../domain/facts.ts';
import type { Json } from '../../domain/json.ts';
import type { Release, ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, WorkContext } from '../surface.port.ts';

/** One release of one web surface, as its provider knows it. */
export interface WebTarget {
  readonly release: ReleaseId;
  /** 40 hexadecimal digits; empty for an adopted release. */
  readonly commit: string;
  /** What `stage` returned when it was made; null before. */
  readonly artifact: Json;
}

/** What becomes of a release that no longer serves. */
export type Retirement = 'keep-warm' | 'stop';

/**
 * What a web host must be able to do. Every call is idempotent: it looks first and does nothing when the
 * world is already so. Every call that changes what is served checks `context.fence`.
 */
export interface WebPort {
  /** Base URL of the live address (`http://127.0.0.1:8080`), for checks; null when there is none to ask. */
  readonly address: string | null;

  /**
   * From now on work with a lower fence than this is refused, also such as was sent before and has not arrived yet:
   * what is observed after it can't be changed by an earlier holder. Throws `fenced-out`.
   */
  raiseFence(context: WorkContext): Promise<void>;

  /** Facts about what is live and how ready each of `releases` is to serve again. */
  observe(context: LookContext, releases: readonly Release[]): Promise<WebFacts>;

  /**
   * Fetches, installs and builds a commit into a place of its own, without touching what serves. Returns the
   * artifact. Fails with `commit-gone`, `build-failed`, `disk-full`.
   */
  stage(context: WorkContext, target: WebTarget): Promise<Json>;

  /** Removes what `stage` made, unless it serves. */
  unstage(context: WorkContext, target: WebTarget): Promise<void>;

  /**
   * Makes it ready to serve, and proves it: process up, health checks of the target itself passed. Nothing is
   * switched yet. Fails with `target-unhealthy`, `port-taken`.
   */
  start(context: WorkContext, target: WebTarget): Promise<{ readonly startMs: number }>;

  /** The live address serves this release from the moment this returns. Ends a hold in the same moment. */
  switchTo(context: WorkContext, target: WebTarget): Promise<void>;

  /** Asks the live address itself which release answers, and runs the live checks. Throws `wrong-release-live`. */
  verifyLive(context: LookContext, target: WebTarget): Promise<Observation>;

  /** How a target stands, seen now: its build is whole, its process lives (always false where it needs none). */
  inspect(
    context: LookContext,
    target: WebTarget,
  ): Promise<{ readonly staged: boolean; readonly running: boolean }>;

  /** True while requests wait. */
  isHolding(context: LookContext): Promise<boolean>;

  /** Requests wait (they are not refused) until `switchTo` or `resume`; those under way are let finish. */
  hold(context: WorkContext): Promise<void>;
  resume(context: WorkContext): Promise<void>;

  /** Takes a release that no longer serves out of the way, after its requests have ended. */
  retire(context: WorkContext, target: WebTarget, how: Retirement): Promise<void>;

  /** Deletes staged releases beyond the number to keep; never one in `protect`. */
  prune(context: WorkContext, protect: readonly ReleaseId[]): Promise<readonly ReleaseId[]>;

  /**
   * Starts again what the provider itself keeps running on this machine, where it has ended without being told to.
   * True when something was started. It needs no fence: what serves is what served before. A hosted provider does
   * nothing.
   */
  keepUp(context: LookContext): Promise<boolean>;

  /**
   * Ends what the provider itself keeps running on this machine: gateway and release processes. The live
   * release is remembered, and `start` and `switchTo` bring it back. A hosted provider does nothing.
   */
  shutDown(): Promise<void>;

  /** Takes secrets out of what released processes have printed into files of ours so far. */
  coverLogs(): Promise<void>;

  /** What is not kept from the builds of this surface, in a sentence; null when they are enclosed, or none is made here. */
  openBuilds(): Promise<string | null>;

  /** The same surface on a copy: staged releases shared, nothing live touched, other databases in `environment`. */
  rehearsal(folder: string, environment: { readonly [name: string]: string }): Promise<RehearsalWeb>;
}

/** A web surface on a copy, and its end. */
export interface RehearsalWeb {
  readonly port: WebPort;
  dispose(): Promise<void>;
}
