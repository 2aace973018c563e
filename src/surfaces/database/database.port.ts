import type { BackupFacts, DataAtRisk, DatabaseFacts } from '../../domain/facts.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { Secret } from '../../domain/secret.ts';
import type { LookContext, Observation, Query, WorkContext } from '../surface.port.ts';

/** Migrations to apply or take back, as read at `commit`; oldest first for up, newest first for down. */
export interface MigrationRequest {
  readonly release: ReleaseId;
  readonly commit: string;
  readonly versions: readonly string[];
}

export interface MigrateDownResult {
  /** Values and rows that the migration had overwritten or deleted, given back. */
  readonly givenBack: number;
  /** Values left as they are because the application had changed them since. */
  readonly keptEdits: number;
  /** Rows whose dropped columns or tables were archived before the down. */
  readonly archived: number;
  /** File that holds what was archived; null when there was nothing. */
  readonly archive: string | null;
  /** Recorded values and rows that the migration had overwritten or deleted and that found no place again. */
  readonly withheld: number;
  /** File that holds those; null when there are none, or when only a backup has them. */
  readonly withheldIn: string | null;
  readonly fingerprint: string;
}

export interface RestoreResult {
  readonly backup: string;
  /** Backup of the state just before the restore, so that it can be undone. */
  readonly safetyBackup: string;
  readonly rowsLost: number;
  readonly fingerprint: string;
}

export interface DatabaseProblem {
  /** `FAIL`: a way back is not there because of it. */
  readonly level: 'warn' | 'FAIL';
  readonly text: string;
  /** Statement or command that mends it. */
  readonly fix: string;
}

/** The last time that a backup was restored as a test, beside the live database. */
export interface RestoreProof {
  readonly schema: 'unship.restore-proof/1';
  readonly backup: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Where the copy came from that was restored. */
  readonly from: 'local' | 'second-location';
  /** What was wrong; null when everything was as it should be. */
  readonly failed: string | null;
  /** When a test restore last succeeded, in milliseconds since the epoch; null when none has. */
  readonly provenAt: number | null;
}

/**
 * What a database provider must be able to do. Calls are idempotent by `context.idempotencyKey` and by
 * looking at the ledger first; every change of the live database checks `context.fence` in its own transaction, and
 * such a transaction ends with the process that began it: three seconds after the death of that process nothing of it
 * can come any more. A gateway holds requests for longer than that on behalf of a dead process.
 */
export interface DatabasePort {
  observe(context: LookContext, query: Query): Promise<DatabaseFacts>;

  /**
   * From now on work with a lower fence than this is refused, also such as was sent before and has not arrived yet:
   * what is observed after it can't be changed by an earlier holder. Throws `fenced-out`.
   */
  raiseFence(context: WorkContext): Promise<void>;

  /** Consistent copy of the live database, verified by opening it; returns at once when it exists and verifies. */
  backup(context: WorkContext, release: ReleaseId): Promise<BackupFacts>;
  /** Removes what a backup of this release that never became whole has left; whole ones stay. */
  discardUnfinishedBackup(context: WorkContext, release: ReleaseId): Promise<void>;
  verifyBackup(context: LookContext, id: string): Promise<Observation>;

  /**
   * Brings a backup back from where its copies are kept, when it isn't here any more. `identity` reads encrypted
   * copies. False when it is nowhere; throws `backup-invalid` when its copy is damaged or can't be read.
   */
  fetchBackup(context: LookContext, id: string, identity?: Secret): Promise<boolean>;
  /** Restores the newest backup into scratch space once a week and records the result; null when it isn't due. */
  proveRestore(context: LookContext): Promise<RestoreProof | null>;
  restoreProof(): Promise<RestoreProof | null>;

  /**
   * Applies migrations, each in its own transaction, and records what they overwrite. Fails with
   * `migration-failed` (nothing of the failed one remains) or `database-locked`.
   */
  migrateUp(context: WorkContext, request: MigrationRequest): Promise<{ readonly fingerprint: string }>;

  /** Archives what the downs drop, runs them newest first, gives rewritten values back; one transaction. */
  migrateDown(context: WorkContext, request: MigrationRequest): Promise<MigrateDownResult>;

  /**
   * Puts the backup's content into the live database after a safety backup. Refused with `loss-exceeds-consent`
   * when more than `maximumRowsLost` rows would be lost at that moment.
   */
  restore(
    context: WorkContext,
    request: { readonly backup: string; readonly maximumRowsLost: number },
  ): Promise<RestoreResult>;

  /**
   * What the restore of this backup under `context.idempotencyKey` has done; null when its content is not what is
   * live. Whoever takes back a restore that was cut off before it could answer asks this.
   */
  restored(context: WorkContext, backup: string): Promise<RestoreResult | null>;

  /** Throws `schema-mismatch` unless the live schema is this one and the ledger holds exactly these versions. */
  verifySchema(
    context: LookContext,
    expected: { readonly fingerprint?: string; readonly applied: readonly string[] },
  ): Promise<Observation>;

  /** What is missing for one way back or another, each with what mends it; a provider that needs nothing leaves it out. */
  problems?(context: LookContext): Promise<readonly DatabaseProblem[]>;

  /** Rows that restoring this backup now would lose, per table. */
  countRestoreRisk(context: LookContext, backup: string): Promise<DataAtRisk>;

  /** The same surface on a fresh copy in `folder`. `environment` points the application at the copy. */
  rehearsal(context: WorkContext, folder: string): Promise<RehearsalDatabase>;
}

export interface RehearsalDatabase {
  readonly port: DatabasePort;
  readonly environment: { readonly [name: string]: string };
  dispose(): Promise<void>;
}
