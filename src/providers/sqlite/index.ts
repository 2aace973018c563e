import { ensureFolder } from '../../databases/files.ts';
import type { BackupFacts, DataAtRisk, DatabaseFacts } from '../../domain/facts.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { Secret } from '../../domain/secret.ts';
import type {
  DatabasePort,
  MigrateDownResult,
  MigrationRequest,
  RehearsalDatabase,
  RestoreProof,
  RestoreResult,
} from '../../surfaces/database/database.port.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { LookContext, Observation, Query, WorkContext } from '../../surfaces/surface.port.ts';
import { backupId, discardUnfinished, takeBackup, verifyBackup } from './backups.ts';
import { withErrorsExplained } from './connection.ts';
import { type Core, type CoreSettings, createCore } from './core.ts';
import { fenceOff } from './fence-off.ts';
import { migrateDown } from './migrate-down.ts';
import { migrateUp } from './migrate-up.ts';
import { countRestoreRisk, observe, verifySchema } from './observe.ts';
import type { SqliteOptions } from './options.ts';
import { makeCopy } from './rehearsal.ts';
import { restore, restored } from './restore.ts';
import { fetchBackup, proveRestore, restoreProof } from './restore-proof.ts';

export interface SqliteDatabase {
  readonly port: DatabasePort;
  /** Points the application at the database: `{VAULT_DB: '/srv/data/vault.db'}`; empty without the option. */
  readonly environment: Readonly<Record<string, string>>;
}

class SqlitePort implements DatabasePort {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  #explained<T>(work: () => T | Promise<T>): Promise<T> {
    return withErrorsExplained(this.#core.file, work);
  }

  observe(context: LookContext, query: Query): Promise<DatabaseFacts> {
    return this.#explained(() => observe(context, this.#core, query));
  }

  async raiseFence(context: WorkContext): Promise<void> {
    await fenceOff(context, this.#core);
  }

  #backupId(context: WorkContext, release: ReleaseId): string {
    return backupId(this.#core, release, `${release}\n${context.idempotencyKey}`);
  }

  backup(context: WorkContext, release: ReleaseId): Promise<BackupFacts> {
    return this.#explained(() => takeBackup(context, this.#core, release, this.#backupId(context, release)));
  }

  async discardUnfinishedBackup(context: WorkContext, release: ReleaseId): Promise<void> {
    discardUnfinished(this.#core, this.#backupId(context, release));
  }

  verifyBackup(context: LookContext, id: string): Promise<Observation> {
    return verifyBackup(context, this.#core, id);
  }

  fetchBackup(context: LookContext, id: string, identity?: Secret): Promise<boolean> {
    return fetchBackup(context, this.#core, id, identity);
  }

  proveRestore(context: LookContext): Promise<RestoreProof | null> {
    return proveRestore(context, this.#core);
  }

  async restoreProof(): Promise<RestoreProof | null> {
    return restoreProof(this.#core);
  }

  migrateUp(context: WorkContext, request: MigrationRequest): Promise<{ readonly fingerprint: string }> {
    return this.#explained(() => migrateUp(context, this.#core, request));
  }

  migrateDown(context: WorkContext, request: MigrationRequest): Promise<MigrateDownResult> {
    return this.#explained(() => migrateDown(context, this.#core, request));
  }

  restore(
    context: WorkContext,
    request: { readonly backup: string; readonly maximumRowsLost: number },
  ): Promise<RestoreResult> {
    return this.#explained(() => restore(context, this.#core, request));
  }

  restored(context: WorkContext, backup: string): Promise<RestoreResult | null> {
    return this.#explained(() => restored(context, this.#core, backup));
  }

  async verifySchema(
    _context: LookContext,
    expected: { readonly fingerprint?: string; readonly applied: readonly string[] },
  ): Promise<Observation> {
    return this.#explained(() => verifySchema(this.#core, expected));
  }

  countRestoreRisk(context: LookContext, backup: string): Promise<DataAtRisk> {
    return this.#explained(() => countRestoreRisk(context, this.#core, backup));
  }

  async rehearsal(context: WorkContext, folder: string): Promise<RehearsalDatabase> {
    const { options, environment } = this.#core;
    const copy = await makeCopy(context, this.#core, folder);
    const { secondLocation: _, ...others } = options;
    const onCopy = createSqlite({ ...others, file: copy.file }, { ...environment, folder: copy.state });
    return { ...onCopy, dispose: async () => copy.dispose() };
  }
}

/** A SQLite file as a database surface. Nothing is opened until it is used. */
export function createSqlite(
  options: SqliteOptions,
  environment: ProviderEnvironment,
  settings: CoreSettings = {},
): SqliteDatabase {
  ensureFolder(environment.folder);
  const core = createCore(options, environment, settings);
  return {
    port: new SqlitePort(core),
    environment: options.environment === undefined ? {} : { [options.environment]: core.file },
  };
}
