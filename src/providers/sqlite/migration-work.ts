import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { ensureFolder, removeDatabase } from '../../databases/files.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import { normalizeSql, tokenize } from '../../domain/migrations/sql-statements.ts';
import type { MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { ArchiveRecord, ArchiveSubject, Direction } from './archive.ts';
import { attach, explainError, openDatabase, rollBack, whileBusy } from './connection.ts';
import type { Core } from './core.ts';
import { danglingReferences } from './dry-run.ts';
import { type LoadedArchive, loadArchive } from './loaded-archive.ts';
import { scratch } from './rows.ts';
import type { TransitionResult } from './transition.ts';

/** Scratch files of processes that were killed. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = Number(/^(\d+)-/.exec(name)?.[1] ?? 0);
    try {
      if (pid > 0) process.kill(pid, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') rmSync(join(folder, name), { force: true });
    }
  }
}

/** Opens the live database with scratch space attached, and takes both away at the end. */
export async function withScratch<T>(core: Core, work: (database: DatabaseSync) => Promise<T>): Promise<T> {
  const folder = join(core.folder, 'scratch');
  ensureFolder(folder);
  removeAbandoned(folder);
  const file = join(folder, `${process.pid}-${randomUUID()}.db`);
  const database = openDatabase(core.file, 'write');
  try {
    attach(database, file, scratch, 'write');
    // Its content means nothing after this process: no journal on disk, no sync.
    database.exec(`PRAGMA ${scratch}.journal_mode = MEMORY; PRAGMA ${scratch}.synchronous = OFF`);
    database.exec(`CREATE TABLE ${scratch}.kept_edits (place TEXT PRIMARY KEY) WITHOUT ROWID`);
    return await work(database);
  } catch (error) {
    throw explainError(error, core.file);
  } finally {
    rollBack(database);
    database.close();
    removeDatabase(file);
  }
}

/** What identifies the text that ran upwards. */
export function checksumOf(core: Core, migration: Migration): string {
  return core.environment.runtime.digest(migration.source);
}

function upChecksum(core: Core, migration: Migration): string {
  return core.environment.runtime.digest(normalizeSql(tokenize(migration.up)));
}

export function archiveSubject(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  direction: Direction,
): ArchiveSubject {
  const attempt = core.environment.runtime.digest(context.idempotencyKey).slice(0, 12);
  return { release: request.release, version: migration.version, direction, attempt };
}

export function recordOf(
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  direction: Direction,
  result: TransitionResult,
  extra: Pick<ArchiveRecord, 'mark' | 'epoch' | 'at' | 'recordedIn'>,
): ArchiveRecord {
  return {
    schema: 'unship.archive/1',
    release: request.release,
    version: migration.version,
    name: migration.name,
    direction,
    checksum: upChecksum(core, migration),
    ...result,
    ...extra,
    replayed: false,
  };
}

/** Values that the last down took away come back when its up runs again. */
export function archiveOfLastDown(
  core: Core,
  database: DatabaseSync,
  migration: Migration,
): LoadedArchive | null {
  const [down] = core.archives.of(migration.version, 'down');
  if (down === undefined) return null;
  return loadArchive(database, down, 'back', down.record.checksum === upChecksum(core, migration));
}

export async function commit(context: WorkContext, core: Core, database: DatabaseSync): Promise<void> {
  // Without a write-ahead log, readers can hold up the commit itself.
  await whileBusy(context, core.file, core.lockMs, () => database.exec('COMMIT'));
}

/** References that the migration leaves without their parent, which were not so before. */
export function requireReferences(core: Core, database: DatabaseSync, migration: Migration): void {
  const after = danglingReferences(database);
  if (after === 0) return;
  using before = openDatabase(core.file, 'read');
  const fresh = after - danglingReferences(before);
  if (fresh <= 0) return;
  throw new UnshipError('migration-failed', {
    happened: `${migration.name} leaves ${fresh} rows that refer to rows which are not there`,
    done: 'its transaction was taken back: nothing of it remains',
  });
}
