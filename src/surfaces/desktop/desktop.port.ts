import type { DesktopFacts } from '../../domain/facts.ts';
import type { Json } from '../../domain/json.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, Query, WorkContext } from '../surface.port.ts';

export interface DesktopTarget {
  readonly release: ReleaseId;
  readonly commit: string;
  readonly version: string;
  /** What `stage` returned; null before. */
  readonly artifact: Json;
}

/** What a host of desktop releases must be able to do. Feed files are replaced whole and never deleted. */
export interface DesktopPort {
  observe(context: LookContext, query: Query): Promise<DesktopFacts>;

  /**
   * From now on work with a lower fence than this is refused, also such as was sent before and has not arrived yet:
   * what is observed after it can't be changed by an earlier holder. Throws `fenced-out`.
   */
  raiseFence(context: WorkContext): Promise<void>;

  /** The version that the code of this commit says it has; null when this commit has no desktop application. */
  versionAt(context: LookContext, commit: string): Promise<string | null>;

  /** Takes the built artifacts in, checks hashes, sizes and names; nothing is offered yet. */
  stage(context: WorkContext, target: DesktopTarget): Promise<Json>;
  /** Reads what was taken in back, byte by byte. Throws `artifact-invalid` unless it is whole. */
  verifyStaged(context: LookContext, target: DesktopTarget): Promise<Observation>;
  unstage(context: WorkContext, target: DesktopTarget): Promise<void>;

  /** Clients are offered this version. */
  publish(context: WorkContext, target: DesktopTarget): Promise<void>;

  /**
   * Nobody new is offered this version: the feed offers what it did before this version came, where that still
   * stands, else nothing. `observe` tells which.
   */
  halt(context: WorkContext, version: string): Promise<void>;
  /** Lifts a halt. */
  unhalt(context: WorkContext, version: string): Promise<void>;

  /** Marks `version` pulled and offers `to` (the last good one) to clients below it. */
  pull(context: WorkContext, version: string, to: string | null): Promise<void>;
  /** Puts a pulled version back as the offered one. */
  unpull(context: WorkContext, version: string): Promise<void>;

  /**
   * Takes the good code of `commit`, built under a higher version, in from `folder` and keeps it ready. Replaces
   * an earlier one. Throws `artifact-invalid`.
   */
  addStandby(
    context: WorkContext,
    standby: { readonly folder: string; readonly commit: string },
  ): Promise<{ readonly version: string }>;
  /** Why what lies in the configured places is no usable standby hotfix, one sentence each. */
  standbyProblems(): Promise<readonly string[]>;
  /** What is not kept from the builds of this surface, in a sentence; null when they are enclosed, or none is made here. */
  openBuilds(): Promise<string | null>;

  /** Publishes the prepared last good code under its higher version. Can't be taken back: clients install it. */
  publishStandby(context: WorkContext, version: string): Promise<void>;

  /** Reads every platform's feed as a client does. Throws `feed-mismatch` unless each offers exactly this. */
  verifyOffered(context: LookContext, version: string | null): Promise<Observation>;

  rehearsal(folder: string): Promise<RehearsalDesktop>;
}

export interface RehearsalDesktop {
  readonly port: DesktopPort;
  dispose(): Promise<void>;
}
