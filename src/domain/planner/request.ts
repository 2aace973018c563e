import type { Strategy } from '../plan.ts';
import type { Deployment, Health, QuarantinedCommit, Release, ReleaseId } from '../release.ts';
import type { Unfinished } from './leaving.ts';

/** What a person asked for when taking a release back. */
export interface RollbackRequest {
  readonly kind: 'rollback';
  /** Default: the last good release. */
  readonly to?: ReleaseId;
  /** Only these surfaces; default all. */
  readonly only?: readonly string[];
  /** Use this strategy for every database, if it is possible; naming `keep-schema` declares the data good. */
  readonly strategy?: Strategy;
  /** False when the code is not to blame: a deploy that failed may be tried again. Default true. */
  readonly quarantine?: boolean;
  /** A run that has stopped half-way: what it has left undone is done with this one. */
  readonly unfinished?: Unfinished;
  readonly reason: string;
}

/** Where things stood before a rollback or an undo was recorded: what its record writes over. */
export interface Before {
  readonly releases: {
    readonly [release: ReleaseId]: { readonly deployment: Deployment; readonly health: Health };
  };
  /** Entries that were not lifted. */
  readonly quarantine: readonly QuarantinedCommit[];
}

/** Bringing back what a finished rollback took away. */
export interface UndoRequest {
  readonly kind: 'undo';
  /** The run to undo. */
  readonly run: number;
  readonly to: ReleaseId;
  /** Only these surfaces: what the run was limited to; undefined when it was not. */
  readonly only?: readonly string[];
  /** Surfaces as they were before a rollback that was limited to them: `replaced` of its record step's input. */
  readonly replaced?: Release['surfaces'];
  /**
   * `before` of its record step's input, when the run was itself an undo: what that one forgave counts again.
   * Absent for a rollback: who undoes one wants the release back, and it has to prove itself anew.
   */
  readonly restores?: Before;
  readonly reason: string;
}

/** Releasing a commit. `release` already carries every surface's commit; artifacts are filled in by the run. */
export interface ReleaseRequest {
  readonly kind: 'release';
  readonly release: Release;
  /** Surfaces that this release changes; the others are carried over. */
  readonly changed: readonly string[];
  /** Quarantined commits that the commit contains without their fix; the caller asked the repository. */
  readonly quarantinedAncestors: readonly string[];
  /** Who deploys the web surfaces: we, or the team's own CI between `release begin` and `release finish`. */
  readonly phase: 'whole' | 'begin' | 'finish';
  readonly reason: string;
}

/** Releasing and rolling back on a copy. */
export interface RehearsalRequest {
  readonly kind: 'rehearsal';
  readonly release: Release;
  readonly changed: readonly string[];
  readonly quarantinedAncestors: readonly string[];
}

/** What the environment's owner has decided; from the configuration. */
export interface Policy {
  readonly application: string;
  readonly environment: string;
  /** Watch of a release in ms; 0 for none. */
  readonly bakeMs: number;
  readonly desktop: 'after' | 'during';
  /** Kinds of runs that wait for an approval. */
  readonly approvals: readonly ('release' | 'rollback')[];
  /** A team channel is configured. */
  readonly notifyTeam: boolean;
  readonly rehearsal: 'required' | 'off';
  /** SHA-256 as 64 hexadecimal digits. */
  digest(text: string): string;
}
