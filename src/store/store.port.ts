import type { Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import type { History, QuarantinedCommit, Release, ReleaseId } from '../domain/release.ts';
import type { JournalEntry, NewJournalEntry, RunSummary } from '../domain/run.ts';

/** Who holds or asks for the lease. */
export interface LeaseOwner {
  readonly host: string;
  readonly pid: number;
  /** The process's start time as the operating system counts it: a reused pid is not the same owner. */
  readonly pidStartedAt: string;
  readonly user: string;
  /** The command, as typed: `unship release`. */
  readonly command: string;
}

export interface Lease {
  readonly owner: LeaseOwner;
  /** Grows with every change of holder; never reused. */
  readonly fence: number;
  readonly run: number | null;
  readonly kind: Plan['kind'] | null;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly expiresAt: number;
}

/** `supersede`: a rollback over a release under way. `take-over`: a live but hung owner, on a person's word. */
export type LeaseMode = 'normal' | 'supersede' | 'take-over';

export interface LeaseRequest {
  readonly owner: LeaseOwner;
  readonly mode: LeaseMode;
  readonly run: number | null;
  readonly kind: Plan['kind'] | null;
  readonly now: number;
  readonly ttlMs: number;
  /**
   * A lease that the asker has watched for a whole `ttlMs` by its own clock without a sign of life. What the clock of
   * its holder says of it counts no more.
   */
  readonly silent?: Pick<Lease, 'fence' | 'expiresAt'>;
  /** Tells whether a process on this host still lives; null when it can't be told from here. */
  isAlive(owner: LeaseOwner): boolean | null;
}

export type LeaseAnswer =
  | { readonly granted: true; readonly lease: Lease; readonly superseded: number | null }
  | { readonly granted: false; readonly holder: Lease };

/** A word from outside to a run: an approval, a cancellation. The first of a name wins; it may come early. */
export interface Signal {
  readonly run: number;
  readonly name: string;
  readonly payload: Json;
  readonly at: number;
}

/** A run as it was made, with the entries that its journal begins with. */
export interface NewRun {
  readonly run: number;
  readonly entries: readonly JournalEntry[];
}

/** An incident as the store keeps it: the file that people read is made from the journal. */
export interface IncidentRecord {
  readonly id: number;
  readonly run: number;
  readonly release: ReleaseId | null;
  readonly openedAt: number;
  readonly draft: string;
}

/**
 * Durable state of one application in one environment. A call that has returned survives a crash of the
 * process and of the machine. Calls with a `fence` change nothing and throw `fenced-out` when a newer lease
 * has been given.
 */
export interface Store {
  /**
   * Everything that `work` writes through the store that it is given, in one transaction: all of it, or, when
   * `work` throws, none. It holds the state while it works, so it does nothing else meanwhile, and uses no other
   * store of the same state.
   */
  together<T>(name: string, work: (store: Store) => Promise<T>): Promise<T>;

  history(): Promise<History>;
  /** Newest first, at most `limit`; the whole history may be large. */
  recentReleases(limit: number): Promise<readonly Release[]>;
  release(id: ReleaseId): Promise<Release | undefined>;
  /** Live one, last good one before it, and the quarantine: what a plan without a named target needs. */
  planningHistory(target?: ReleaseId): Promise<History>;
  nextReleaseId(): Promise<ReleaseId>;
  saveRelease(fence: number, release: Release): Promise<void>;
  /** In one transaction: the states of several releases change together. */
  saveReleases(fence: number, releases: readonly Release[]): Promise<void>;
  quarantine(fence: number, entry: QuarantinedCommit): Promise<void>;
  liftQuarantine(commit: string, fixedBy: string): Promise<boolean>;

  saveConfiguration(hash: string, text: Json): Promise<void>;
  configuration(hash: string): Promise<Json | undefined>;
  lastConfiguration(): Promise<{ readonly hash: string; readonly text: Json } | undefined>;

  /** Remembers what a person was shown, so that consent by hash carries the figure that was on the screen. */
  rememberPlan(hash: string, rowsLost: number, at: number): Promise<void>;
  shownRowsLost(hash: string): Promise<number | undefined>;

  /**
   * Makes the run, its first journal entry and the release that it brings, if any, in one transaction. A release
   * without a run would stay pending for ever.
   */
  createRun(fence: number, plan: Plan, startedAt: number, label: string, release?: Release): Promise<NewRun>;
  plan(run: number): Promise<Plan | undefined>;
  runs(limit: number): Promise<readonly RunSummary[]>;
  /** Newest first. */
  unendedRuns(): Promise<readonly RunSummary[]>;
  run(id: number): Promise<RunSummary | undefined>;
  /**
   * Appends with one fsync for all, or nothing; each is hash-chained to the one before it. Throws `fenced-out`,
   * `journal-corrupt`.
   */
  append(fence: number, run: number, entries: readonly NewJournalEntry[]): Promise<readonly JournalEntry[]>;
  /** Oldest first, its chain checked. */
  journal(run: number): Promise<readonly JournalEntry[]>;

  acquireLease(request: LeaseRequest): Promise<LeaseAnswer>;
  /** False when the lease is no longer ours. */
  renewLease(
    fence: number,
    run: number | null,
    kind: Plan['kind'] | null,
    expiresAt: number,
  ): Promise<boolean>;
  /**
   * Gives the next fence to whoever holds the lease under `fence`, and returns it: what was done under the old one is
   * refused from now on. Throws `fenced-out`, also when the lease was given back.
   */
  raiseFence(fence: number): Promise<number>;
  releaseLease(fence: number): Promise<void>;
  /** Fence of the last lease given, held or not; 0 when none ever was. */
  lastFence(): Promise<number>;
  lease(): Promise<Lease | undefined>;

  /** Machines that hold what there is of the surfaces, by the name of the surface. */
  surfaceHosts(): Promise<ReadonlyMap<string, string>>;
  /** Says that these surfaces are on `host` from now on. */
  placeSurfaces(fence: number, surfaces: readonly string[], host: string): Promise<void>;

  signal(signal: Signal): Promise<boolean>;
  signals(run: number): Promise<readonly Signal[]>;

  openIncident(incident: Omit<IncidentRecord, 'id'>): Promise<IncidentRecord>;
  saveIncidentDraft(id: number, draft: string): Promise<void>;
  incidents(limit: number): Promise<readonly IncidentRecord[]>;
  incident(id: number): Promise<IncidentRecord | undefined>;
  incidentOfRun(run: number): Promise<IncidentRecord | undefined>;

  close(): Promise<void>;
}
