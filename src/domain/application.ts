import type { ApplicationDefinition } from './definition.ts';
import type { Plan, Refusal, Strategy } from './plan.ts';
import type { QuarantinedCommit, Release, ReleaseId } from './release.ts';
import type {
  BackupReport,
  DoctorReport,
  GuardReport,
  IncidentReport,
  LiftedQuarantine,
  MigrationReport,
  PreparedRelease,
  RunEvent,
  RunResult,
  ShowReport,
  StandbyReport,
  StatusReport,
} from './report.ts';
import type { RunSummary } from './run.ts';
import type { MaskInto, Secret, SecretsIn } from './secret.ts';

/** How a run is driven. When `signal` aborts the run pauses after the step under way and can be resumed. */
export interface RunOptions {
  readonly signal: AbortSignal;
  onEvent(event: RunEvent): void;
  /** Takes the lease from an owner that lives but hangs. */
  readonly takeOver?: boolean;
  /** A person has said that a security fix may be taken back. */
  readonly acceptsSecurityRegression?: boolean;
}

export interface ExecuteOptions extends RunOptions {
  readonly reason?: string;
  /** Full hash of the plan whose loss a person has seen and accepted; absent without consent. */
  readonly acceptedLossHash?: string;
  /** The person consented to what an earlier command showed, and has not seen what it would be now. */
  readonly consentedBeforehand?: boolean;
}

export interface RollbackRequest {
  /** Absent: the last good release. */
  readonly to?: ReleaseId;
  /** Names of surfaces; absent: all. */
  readonly only?: readonly string[];
  readonly strategy?: Strategy;
  readonly countRisk: boolean;
}

export interface ReleaseRequest {
  /** Default HEAD. */
  readonly ref?: string;
  readonly only?: readonly string[];
  /** A person says that it fixes a weakness; a trailer in its commits says so too. */
  readonly securityFix?: boolean;
  readonly acceptsSecurityRegression?: boolean;
  /** Looks and plans; stages and rehearses nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  onEvent(event: RunEvent): void;
}

export interface StandbyRequest {
  /** Absent: the only desktop surface. */
  readonly surface?: string;
  /** Folder to take the good code, built under a higher version, in from. Absent: only tell what stands by. */
  readonly from?: string;
  /** Whose code it is; absent: that of the live release. */
  readonly ref?: string;
}

/**
 * One application in one environment, opened. Everything the command line, the agent and the pages can do.
 * Methods reject with `UnshipError`; a plan that can't be made is a `Refusal`, no error. What changes the
 * world is planned first and then handed to `execute`, which refuses with `plan-stale` when identity moved.
 */
export interface Application {
  readonly name: string;
  readonly environment: string;

  status(): Promise<StatusReport>;
  doctor(): Promise<DoctorReport>;
  /** Newest first. */
  releases(limit: number): Promise<readonly Release[]>;
  /** The releases that a plan leads from and to, as far as they are recorded. */
  releasesOf(plan: Plan): Promise<readonly Release[]>;
  /** Newest first. */
  runs(limit: number): Promise<readonly RunSummary[]>;
  /** `r42` a release, `58` a run, `incident-12`, a backup's id, a quarantined commit. Rejects with `unknown-…`. */
  show(id: string): Promise<ShowReport>;

  planRollback(request: RollbackRequest): Promise<Plan | Refusal>;
  planUndo(run?: number): Promise<Plan | Refusal>;
  /** `identity`: private keys of age, for a backup that only its encrypted copy is left of. */
  planRestore(request: { readonly backup: string; readonly identity?: Secret }): Promise<Plan | Refusal>;
  planMigrations(request: {
    readonly direction: 'up' | 'down';
    readonly surface?: string;
    /** Up to and with this version; down: as far back as it, which stays. Absent: all up, one down. */
    readonly to?: string;
  }): Promise<Plan | Refusal>;
  planDesktop(request: {
    readonly action: 'halt' | 'pull';
    readonly surface?: string;
    /** Absent: the version that is offered now. */
    readonly version?: string;
  }): Promise<Plan | Refusal>;
  /** Stages and rehearses. What it stages stays when the person then says no; it is pruned later. */
  prepareRelease(request: ReleaseRequest): Promise<PreparedRelease | Refusal>;

  execute(plan: Plan, options: ExecuteOptions): Promise<RunResult>;
  /** Absent: the only run that is paused, blocked or waiting. */
  resume(run: number | undefined, options: RunOptions): Promise<RunResult>;
  /** Every run whose time has come; for cron where no agent runs. */
  resumeDue(options: RunOptions): Promise<readonly RunResult[]>;
  /** Asks the run to end and to be undone; undoes it itself when no process drives it. */
  cancel(run: number | undefined, options: RunOptions): Promise<RunResult>;
  /** False when somebody's word was there first. */
  approve(run: number, step?: string): Promise<boolean>;

  /** For teams whose own CI deploys: lock, backup, capture; then their deploy; then one of the two others. */
  beginRelease(request: ReleaseRequest): Promise<RunResult | Refusal>;
  finishRelease(options: RunOptions): Promise<RunResult>;
  abortRelease(options: RunOptions): Promise<RunResult>;

  /**
   * Takes what is live today as the first release, on the operator's word that `ref` (default HEAD) is its code.
   * Rejects with `already-there` when there are releases.
   */
  adopt(ref?: string): Promise<Release>;
  /** Brings the live release's processes up again, after a reboot say. */
  planServe(): Promise<Plan | Refusal>;
  /** Ends gateway and release processes of this environment on this machine; the live release is remembered. */
  stopServing(options: RunOptions): Promise<void>;

  rehearse(request: ReleaseRequest): Promise<PreparedRelease | Refusal>;
  /** Watches until a verdict; one look when `once`. */
  guard(options: RunOptions & { readonly once: boolean }): Promise<GuardReport>;

  quarantined(): Promise<readonly QuarantinedCommit[]>;
  /** Both may be named in any way; `commit` also by the release that was made from it. */
  liftQuarantine(commit: string, fixedBy: string): Promise<LiftedQuarantine>;

  backup(options: RunOptions): Promise<readonly BackupReport[]>;
  backups(): Promise<readonly BackupReport[]>;
  migrations(): Promise<readonly MigrationReport[]>;
  /** What stands by for a desktop surface. Rejects with `artifact-invalid` when nothing does. */
  prepareStandby(request: StandbyRequest, options: RunOptions): Promise<StandbyReport>;

  incidents(limit: number): Promise<readonly IncidentReport[]>;
  /** Runs timers and supervised jobs until `signal` aborts. */
  agent(options: RunOptions): Promise<void>;
  close(): Promise<void>;
}

export interface OpenRequest {
  readonly definition: ApplicationDefinition;
  /** SHA-256 of the definition's canonical JSON. */
  readonly definitionHash: string;
  readonly environment: string;
  /** Private folder of this application in this environment; it exists and has been checked. */
  readonly stateFolder: string;
  /** Folder of the configuration file: relative paths in options start here. */
  readonly root: string;
  readonly processEnvironment: { readonly [name: string]: string | undefined };
  /** As typed: `unship rollback r41`; other people see it while this holds the lease. */
  readonly command: string;
  readonly user: string;
  /** A text without the values of the secrets, however they are written: nothing else is kept. Absent: there are none. */
  mask?(text: string): string;
  /** The same for a text that comes in pieces. */
  readonly maskInto?: MaskInto;
  /** For what is kept already. */
  readonly secretsIn?: SecretsIn;
}

export type OpenApplication = (request: OpenRequest) => Promise<Application>;
