import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { UnshipError } from '../../domain/errors.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import { normalizeSql, tokenize } from '../../domain/migrations/sql-statements.ts';
import type { MigrateDownResult, MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { ArchiveRecord, ArchiveWriter, Direction } from './archive.ts';
import {
  attach,
  beginWrite,
  encodingOf,
  explainError,
  openDatabase,
  rollBack,
  whileBusy,
} from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { danglingReferences } from './dry-run.ts';
import { ensureEpoch, raiseFence, rowidEpoch } from './fence.ts';
import { ensureFolder, removeDatabase, requireSpace } from './files.ts';
import { type LoadedArchive, loadArchive } from './give-back.ts';
import { migrationStatements } from './guard-statements.ts';
import { replayFromBackup } from './replay.ts';
import { scratch } from './rows.ts';
import { runTransition, type TransitionResult } from './transition.ts';

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

function recordOf(
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  direction: Direction,
  result: TransitionResult,
  extra: Pick<ArchiveRecord, 'mark' | 'epoch' | 'at'>,
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
function archiveOfLastDown(core: Core, database: DatabaseSync, migration: Migration): LoadedArchive | null {
  const [down] = core.archives.of(migration.version, 'down');
  if (down === undefined) return null;
  return loadArchive(database, down, 'back', down.record.checksum === upChecksum(core, migration));
}

async function commit(context: WorkContext, core: Core, database: DatabaseSync): Promise<void> {
  // Without a write-ahead log, readers can hold up the commit itself.
  await whileBusy(context, core.file, core.lockMs, () => database.exec('COMMIT'));
}

/** References that the migration leaves without their parent, which were not so before. */
function requireReferences(core: Core, database: DatabaseSync, migration: Migration): void {
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

async function applyOne(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  known: readonly string[],
): Promise<void> {
  const statements = migrationStatements(migration.name, migration.up);
  await withScratch(core, async (database) => {
    const ledger = ledgerFor(core, database, migration.format);
    const isApplied = (): boolean => ledger.applied(database, known).includes(migration.version);
    if (isApplied()) {
      core.archives.retire(migration.version);
      return;
    }
    const back = archiveOfLastDown(core, database, migration);
    let writer: ArchiveWriter | undefined;
    try {
      await beginWrite(context, database, core.file, core.lockMs);
      if (isApplied()) return;
      raiseFence(database, context.fence);
      ensureEpoch(database);
      const epoch = rowidEpoch(database);
      writer = core.archives.create(request.release, migration.version, 'up', encodingOf(database));
      const transition = { name: migration.name, statements, back, epoch, archive: writer.database };
      const result = await runTransition(context, database, transition);
      context.runtime.faults.point('sqlite.migrate-up.ran');
      requireReferences(core, database, migration);
      ledger.add(database, migration.version);
      core.texts.keep(migration);
      const extra = {
        mark: ledger.mark(database, migration.version),
        epoch,
        at: context.runtime.clock.now(),
      };
      writer.publish(recordOf(core, request, migration, 'up', result, extra));
      context.runtime.faults.point('sqlite.migrate-up.before');
      await commit(context, core, database);
      context.runtime.faults.point('sqlite.migrate-up.after');
      core.archives.retire(migration.version);
    } finally {
      writer?.discard();
    }
  });
}

/** See DatabasePort.migrateUp. */
export async function migrateUp(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
): Promise<{ readonly fingerprint: string }> {
  const all = await core.texts.atOrKept(request.commit);
  const known = all.map((migration) => migration.version);
  openDatabase(core.file, 'read').close();
  requireSpace(core.folder, liveBytes(core), 'recording what the migration overwrites');
  for (const version of request.versions) {
    context.progress(`migration ${version}`);
    await applyOne(context, core, request, await core.texts.find(request.commit, version), known);
  }
  using database = openDatabase(core.file, 'read');
  return { fingerprint: fingerprintOf(core, database) };
}

function downStatements(migration: Migration): ReturnType<typeof migrationStatements> {
  if (migration.down === null || migration.declared.has('restore-only')) {
    throw new UnshipError('no-down-migration', {
      happened:
        migration.down === null
          ? `${migration.name} has no down migration`
          : `${migration.name} is marked restore-only`,
      done: 'nothing was changed',
    });
  }
  return migrationStatements(migration.name, migration.down);
}

interface DownStep {
  readonly migration: Migration;
  readonly statements: ReturnType<typeof migrationStatements>;
  readonly mark: string | null;
  readonly back: LoadedArchive | null;
}

/** What downs that ran before have done: for a repeated call, from the archives they left. */
function resultOfEarlierDowns(
  core: Core,
  versions: readonly string[],
): Omit<MigrateDownResult, 'fingerprint'> {
  const archives = versions.flatMap((version) => core.archives.of(version, 'down')[0] ?? []);
  const sum = (read: (record: ArchiveRecord) => number): number =>
    archives.reduce((total, archive) => total + read(archive.record), 0);
  const holding = archives.find((archive) => archive.record.archived > 0);
  return {
    givenBack: sum((record) => record.givenBack),
    keptEdits: sum((record) => record.keptEdits),
    archived: sum((record) => record.archived),
    archive: holding?.file ?? null,
  };
}

async function takeBack(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  database: DatabaseSync,
  steps: readonly DownStep[],
  known: readonly string[],
): Promise<void> {
  const writers: ArchiveWriter[] = [];
  const publish: (() => void)[] = [];
  try {
    await beginWrite(context, database, core.file, core.lockMs);
    raiseFence(database, context.fence);
    ensureEpoch(database);
    const epoch = rowidEpoch(database);
    for (const { migration, statements, mark, back } of steps) {
      const ledger = ledgerFor(core, database, migration.format);
      const stillThere = ledger.applied(database, known).includes(migration.version);
      if (!stillThere || ledger.mark(database, migration.version) !== mark) {
        throw new UnshipError('plan-stale', {
          happened: `${migration.name} is no longer in the ledger as it was a moment ago: another tool is at work`,
          done: 'nothing was changed',
        });
      }
      const writer = core.archives.create(request.release, migration.version, 'down', encodingOf(database));
      writers.push(writer);
      const transition = { name: migration.name, statements, back, epoch, archive: writer.database };
      const result = await runTransition(context, database, transition);
      ledger.remove(database, migration.version, known);
      const extra = { mark: null, epoch, at: context.runtime.clock.now() };
      publish.push(() => writer.publish(recordOf(core, request, migration, 'down', result, extra)));
    }
    context.runtime.faults.point('sqlite.migrate-down.ran');
    for (const write of publish) write();
    context.runtime.faults.point('sqlite.migrate-down.before');
    await commit(context, core, database);
    context.runtime.faults.point('sqlite.migrate-down.after');
  } finally {
    for (const writer of writers) writer.discard();
  }
}

/** See DatabasePort.migrateDown. */
export async function migrateDown(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
): Promise<MigrateDownResult> {
  const all = await core.texts.atOrKept(request.commit);
  const known = all.map((migration) => migration.version);
  const find = (version: string): Promise<Migration> => core.texts.find(request.commit, version);
  const wanted = await Promise.all(request.versions.map(find));
  await withScratch(core, async (database) => {
    const ledgerNow = ledgerFor(core, database, wanted[0]?.format);
    const applied = ledgerNow.applied(database, known);
    const open = wanted.filter((migration) => applied.includes(migration.version));
    if (open.length === 0) return;
    const texts = open.map((migration) => ({ migration, statements: downStatements(migration) }));
    requireSpace(core.folder, liveBytes(core), 'archiving what the down migrations drop');
    const recorded = open.map(({ version }) =>
      core.archives.ofLive(version, ledgerNow.mark(database, version)),
    );
    using replay = recorded.includes(undefined)
      ? await replayFromBackup(context, core, open, applied)
      : undefined;
    const steps = texts.map(({ migration, statements }, at): DownStep => {
      const mark = ledgerNow.mark(database, migration.version);
      const archive = recorded[at] ?? replay?.archives.get(migration.version);
      const back = archive === undefined ? null : loadArchive(database, archive, `back${at}`, true);
      return { migration, statements, mark, back };
    });
    await takeBack(context, core, request, database, steps, known);
  });
  using database = openDatabase(core.file, 'read');
  return { ...resultOfEarlierDowns(core, request.versions), fingerprint: fingerprintOf(core, database) };
}
