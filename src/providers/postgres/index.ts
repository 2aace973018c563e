import { ensureFolder } from '../../databases/files.ts';
import { isUnshipError } from '../../domain/errors.ts';
import type { BackupFacts, DataAtRisk, DatabaseFacts } from '../../domain/facts.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type {
  DatabasePort,
  DatabaseProblem,
  MigrateDownResult,
  MigrationRequest,
  RehearsalDatabase,
  RestoreProof,
  RestoreResult,
} from '../../surfaces/database/database.port.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { LookContext, Observation, Query, WorkContext } from '../../surfaces/surface.port.ts';
import { looksWhole, readBackup } from './backup-record.ts';
import { backupId, discardUnfinished, takeBackup, verifyBackup } from './backups.ts';
import { type Core, type CoreSettings, createCore } from './core.ts';
import { problems } from './doctor.ts';
import { migrateDown } from './migrate-down.ts';
import { migrateUp } from './migrate-up.ts';
import { countRestoreRisk, observe, verifySchema } from './observe.ts';
import type { PostgresOptions } from './options.ts';
import { makeCopy } from './rehearsal.ts';
import { type RestoreRequest, restore, restored } from './restore.ts';
import { proveRestore, restoreProof } from './restore-proof.ts';
import { changeLive, explained } from './session.ts';

export interface PostgresDatabase {
  readonly port: DatabasePort;
  /** Points the application at the database; empty without the option, or while the secret is not set. */
  readonly environment: Readonly<Record<string, string>>;
}

async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explained(error);
  }
}

class PostgresPort implements DatabasePort {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  observe(context: LookContext, query: Query): Promise<DatabaseFacts> {
    return told(() => observe(context, this.#core, query));
  }

  async raiseFence(context: WorkContext): Promise<void> {
    // The transaction does nothing else: to begin one is to raise the fence.
    await changeLive(context, this.#core, 'raise the fence', async () => {});
  }

  #backupId(context: WorkContext, release: ReleaseId): string {
    return backupId(this.#core, release, `${release}\n${context.idempotencyKey}`);
  }

  backup(context: WorkContext, release: ReleaseId): Promise<BackupFacts> {
    return told(() => takeBackup(context, this.#core, release, this.#backupId(context, release)));
  }

  async discardUnfinishedBackup(context: WorkContext, release: ReleaseId): Promise<void> {
    discardUnfinished(this.#core, this.#backupId(context, release));
  }

  verifyBackup(context: LookContext, id: string): Promise<Observation> {
    return told(() => verifyBackup(context, this.#core, id));
  }

  async fetchBackup(_context: LookContext, id: string): Promise<boolean> {
    const record = readBackup(this.#core, id);
    return record !== undefined && looksWhole(this.#core, record);
  }

  proveRestore(context: LookContext): Promise<RestoreProof | null> {
    return told(() => proveRestore(context, this.#core));
  }

  async restoreProof(): Promise<RestoreProof | null> {
    return restoreProof(this.#core);
  }

  migrateUp(context: WorkContext, request: MigrationRequest): Promise<{ readonly fingerprint: string }> {
    return told(() => migrateUp(context, this.#core, request));
  }

  migrateDown(context: WorkContext, request: MigrationRequest): Promise<MigrateDownResult> {
    return told(() => migrateDown(context, this.#core, request));
  }

  restore(context: WorkContext, request: RestoreRequest): Promise<RestoreResult> {
    return told(() => restore(context, this.#core, request));
  }

  restored(context: WorkContext, backup: string): Promise<RestoreResult | null> {
    return told(() => restored(context, this.#core, backup));
  }

  verifySchema(
    _context: LookContext,
    expected: { readonly fingerprint?: string; readonly applied: readonly string[] },
  ): Promise<Observation> {
    return told(() => verifySchema(this.#core, expected));
  }

  problems(): Promise<readonly DatabaseProblem[]> {
    return told(() => problems(this.#core));
  }

  countRestoreRisk(context: LookContext, backup: string): Promise<DataAtRisk> {
    return told(() => countRestoreRisk(context, this.#core, backup));
  }

  async rehearsal(context: WorkContext, folder: string): Promise<RehearsalDatabase> {
    const { options, environment, lockMs, patienceMs } = this.#core;
    const copy = await told(() => makeCopy(context, this.#core, folder));
    const onCopy = createPostgres(
      { ...options, url: copy.url },
      { ...environment, folder: copy.state },
      { lockMs, patienceMs },
    );
    return { ...onCopy, dispose: () => copy.dispose() };
  }
}

function addressFor(core: Core): Readonly<Record<string, string>> {
  const { environment } = core.options;
  if (environment === undefined) return {};
  try {
    return { [environment]: core.url() };
  } catch (error) {
    // Whoever uses the database is told; what does not need it goes on.
    if (isUnshipError(error) && error.slug === 'secret-missing') return {};
    throw error;
  }
}

/** A PostgreSQL database as a surface. Nothing is connected to until it is used. */
export function createPostgres(
  options: PostgresOptions,
  environment: ProviderEnvironment,
  settings: CoreSettings = {},
): PostgresDatabase {
  ensureFolder(environment.folder);
  const core = createCore(options, environment, settings);
  return { port: new PostgresPort(core), environment: addressFor(core) };
}
