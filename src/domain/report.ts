import type { BackupFacts } from './facts.ts';
import type { Plan, PlanKind, Step } from './plan.ts';
import type { Health, QuarantinedCommit, RehearsalRecord, Release, ReleaseId } from './release.ts';
import type { JournalEntry, RunState, RunStatus, RunSummary } from './run.ts';

/**
 * What the program tells a person or a machine, as data. The command line and the pages only lay these out;
 * nobody computes a fact while drawing it. Times are milliseconds since the epoch (`…At`) or durations (`…Ms`).
 */

/** A command worth typing next, and what it does when that is not obvious. */
export interface NextCommand {
  readonly command: string;
  readonly note?: string;
}

/** An error inside a report: what `UnshipError` carries, as data. */
export interface ReportedError {
  /** Slug of the error catalogue. */
  readonly slug: string;
  readonly happened: string;
  readonly done?: string;
  readonly next?: string;
}

interface StepEventBase {
  readonly type: 'step';
  readonly run: number;
  readonly step: Step;
  /** 1 to `total`: the step's place in the order of the plan. */
  readonly index: number;
  readonly total: number;
  /** Since the step's first start. */
  readonly ms: number;
}

/** What happens during a run, as it happens. `skipped`: best-effort, given up; the run goes on. */
export type StepEvent =
  | (StepEventBase & { readonly state: 'started' | 'undoing' })
  | (StepEventBase & { readonly state: 'progress'; readonly text: string })
  | (StepEventBase & { readonly state: 'verified'; readonly observed: string })
  | (StepEventBase & { readonly state: 'retrying'; readonly attempt: number; readonly error: ReportedError })
  | (StepEventBase & { readonly state: 'failed' | 'skipped'; readonly error: ReportedError })
  | (StepEventBase & { readonly state: 'undone'; readonly observed?: string });

export type RunEvent =
  | { readonly type: 'run-started'; readonly run: number; readonly kind: PlanKind; readonly total: number }
  | StepEvent
  /** Worth telling, but no change of state: a run superseded, a lease taken over. */
  | { readonly type: 'note'; readonly run: number | null; readonly text: string }
  | { readonly type: 'run-ended'; readonly run: number; readonly status: RunStatus; readonly ms: number };

/** How a run ended, or where it stands when it is paused, blocked or waiting. */
export interface RunResult {
  readonly schema: 'unship.run/1';
  readonly run: number;
  readonly kind: PlanKind;
  readonly status: RunStatus;
  readonly from: ReleaseId | null;
  readonly to: ReleaseId | null;
  readonly ms: number;
  /** What was seen from outside: `web r41`, `schema 17`. */
  readonly observed: readonly string[];
  readonly requests?: {
    readonly failed: number;
    readonly total: number;
    /** How long writes were held back; 0 when they were not. */
    readonly heldMs: number;
  };
  /** Rows; null when no database took part. */
  readonly data: {
    readonly kept: number;
    readonly archived: number;
    readonly lost: number;
    /** Recorded values and rows that the migration had overwritten and that were not given back; left out when none. */
    readonly withheld?: number;
  } | null;
  /** Best-effort work that was given up, and why. */
  readonly notDone: readonly string[];
  /** Side effects that stay until somebody acts: a quarantine, a lock. */
  readonly open: readonly string[];
  readonly next: readonly NextCommand[];
  /** Why it failed, is blocked or waits. */
  readonly error?: ReportedError;
}

/** The release that one would go back to, and its price. */
export interface WayBack {
  /** The live release, or a newer one that got half-way. */
  readonly from: ReleaseId;
  readonly to: ReleaseId;
  readonly estimateMs: number;
  readonly rowsLost: number;
  /** False when the rows could not be counted exactly. */
  readonly exact: boolean;
}

export interface StatusReport {
  readonly schema: 'unship.status/1';
  readonly application: string;
  readonly environment: string;
  readonly live: {
    readonly release: ReleaseId;
    readonly health: Health;
    readonly commit: string;
    readonly since: number;
  } | null;
  readonly wayBack: WayBack | null;
  /** One line a surface: what it is on, and what is known about it. */
  readonly surfaces: readonly { readonly surface: string; readonly now: string; readonly text: string }[];
  /** Runs that have not ended. */
  readonly runs: readonly RunSummary[];
  readonly holder: {
    readonly user: string;
    readonly host: string;
    readonly command: string;
    readonly since: number;
  } | null;
  /** Anything that stays until somebody acts: `deploys locked by run 58`. */
  readonly open: readonly string[];
  readonly next: NextCommand;
}

export type DoctorLevel = 'ok' | 'warn' | 'FAIL';

export interface DoctorReport {
  readonly schema: 'unship.doctor/1';
  /** Surfaces there is no way back for right now; empty is what one wants. */
  readonly noWayBack: readonly string[];
  readonly surfaces: number;
  readonly rows: readonly {
    readonly level: DoctorLevel;
    readonly subject: string;
    readonly text: string;
    /** The command, or the words, that mend it. */
    readonly fix?: string;
  }[];
}

/** A release that is staged and rehearsed, and the plan that would put it live. */
export interface LiftedQuarantine {
  /** Full hashes. */
  readonly commit: string;
  readonly fixedBy: string;
  /** False when the commit is not quarantined. */
  readonly lifted: boolean;
}

export interface PreparedRelease {
  readonly release: Release;
  readonly plan: Plan;
  readonly rehearsal: RehearsalRecord | null;
}

export interface BackupReport extends BackupFacts {
  readonly surface: string;
  readonly bytes?: number;
}

/** One statement of a way back that was written for a migration, with what it does to values. */
export interface WrittenStatement {
  readonly sql: string;
  readonly isLossless: boolean;
  /** Which values do not stay or come back; null when all do. */
  readonly loses: string | null;
  /** With which rows the statement fails, and everything stays as it is; null when no row can stop it. */
  readonly stopsWhere: string | null;
}

/** The way back of a migration that had none, as the schemas before and after it tell: for a person to review. */
export interface WrittenDown {
  readonly version: string;
  readonly name: string;
  readonly statements: readonly WrittenStatement[];
  /** False when a statement of it can't run in a transaction. */
  readonly inTransaction: boolean;
  /** What the up does to rows: no statement takes that back. */
  readonly rowsNotTakenBack: readonly string[];
  /** Tables whose columns stand in another order afterwards, each with the order. */
  readonly columnOrder: readonly string[];
  /** Objects that nobody looked at. */
  readonly notCovered: readonly string[];
  /** Fingerprint of the schema before the up, and again after the down. */
  readonly fingerprint: string;
}

export interface IncidentReport {
  readonly id: number;
  readonly run: number;
  readonly release: ReleaseId | null;
  readonly openedAt: number;
  /** The draft that people read, in Markdown. */
  readonly draft: string;
}

export interface MigrationReport {
  readonly surface: string;
  readonly version: string;
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'missing';
  readonly down: 'written' | 'missing' | 'restore-only';
}

export interface GuardReport {
  readonly schema: 'unship.guard/1';
  readonly verdict: 'healthy' | 'unhealthy' | 'inconclusive';
  /** The watch's sentence; absent for a single look. */
  readonly reason?: string;
  readonly release: ReleaseId | null;
  readonly checks: readonly {
    readonly check: string;
    readonly verdict: 'pass' | 'fail' | 'unknown';
    readonly seen: string;
    readonly ms: number;
  }[];
}

export interface StandbyReport {
  readonly schema: 'unship.standby/1';
  readonly surface: string;
  readonly version: string;
  readonly commit: string;
}

/** Anything that has an id: `r42` a release, `58` a run, `incident-12`, a backup's id, a quarantined commit. */
export type ShowReport =
  | { readonly schema: 'unship.show/1'; readonly type: 'release'; readonly release: Release }
  | {
      readonly schema: 'unship.show/1';
      readonly type: 'run';
      readonly run: RunSummary;
      readonly plan: Plan;
      readonly state: RunState;
      readonly journal: readonly JournalEntry[];
    }
  | { readonly schema: 'unship.show/1'; readonly type: 'incident'; readonly incident: IncidentReport }
  | { readonly schema: 'unship.show/1'; readonly type: 'backup'; readonly backup: BackupReport }
  | { readonly schema: 'unship.show/1'; readonly type: 'quarantine'; readonly entry: QuarantinedCommit };
