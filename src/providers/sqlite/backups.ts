import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DatabaseSync, backup as onlineBackup } from 'node:sqlite';
import { isUnshipError, UnshipError } from '../../domain/errors.ts';
import type { BackupFacts } from '../../domain/facts.ts';
import { isSafeName } from '../../domain/names.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, WorkContext } from '../../surfaces/surface.port.ts';
import { beginWrite, breathe, isWriteAheadLog, openDatabase, rollBack } from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { checkFence, ensureEpoch, raiseFence, rowidEpoch } from './fence.ts';
import {
  copyFileDurably,
  ensureFolder,
  publishFile,
  readJson,
  removeDatabase,
  requireSpace,
  sha256OfFile,
  writeFileDurably,
} from './files.ts';
import { countRows, readSchema } from './schema.ts';

/** What is known of a backup, in a file beside it. */
export interface BackupRecord {
  readonly schema: 'unship.backup/1';
  readonly id: string;
  readonly release: ReleaseId;
  readonly takenAt: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly fingerprint: string;
  readonly applied: readonly string[];
  readonly rows: { readonly [table: string]: number };
}

/** All pages in one step: one consistent state, and no restart whenever somebody writes. */
const allPages = 0x7fff_ffff;

export function backupsFolder(core: Core): string {
  return join(core.folder, 'backups');
}

export function backupFile(core: Core, id: string): string {
  if (!isSafeName(id))
    throw new UnshipError('name-invalid', { happened: `${JSON.stringify(id)} is no backup's name` });
  return join(backupsFolder(core), `${id}.db`);
}

function recordFile(core: Core, id: string): string {
  return join(backupsFolder(core), `${id}.json`);
}

export function readBackup(core: Core, id: string): BackupRecord | undefined {
  const record = readJson(recordFile(core, id)) as BackupRecord | undefined;
  return record?.schema === 'unship.backup/1' && record.id === id ? record : undefined;
}

/** Complete and of the right size. Its content is hashed before it is used, and by `verifyBackup`. */
function looksWhole(core: Core, record: BackupRecord): boolean {
  return statSync(backupFile(core, record.id), { throwIfNoEntry: false })?.size === record.bytes;
}

function factsOf(core: Core, record: BackupRecord): BackupFacts {
  const { id, release, takenAt, fingerprint, applied } = record;
  const verified = looksWhole(core, record);
  return { id, release, takenAt, verified, fingerprint, applied, location: backupFile(core, id) };
}

/** Newest first. */
export function listBackups(core: Core): readonly BackupFacts[] {
  if (!existsSync(backupsFolder(core))) return [];
  return readdirSync(backupsFolder(core))
    .filter((name) => name.endsWith('.json') && isSafeName(name))
    .flatMap((name) => readBackup(core, name.slice(0, -'.json'.length)) ?? [])
    .map((record) => factsOf(core, record))
    .sort((a, b) => b.takenAt - a.takenAt || (a.id < b.id ? 1 : -1));
}

export function backupId(core: Core, release: ReleaseId, key: string, kind = ''): string {
  return `${release}-${kind}${core.environment.runtime.digest(key).slice(0, 16)}`;
}

export function requireWriteAheadLog(core: Core): void {
  using database = openDatabase(core.file, 'read');
  if (isWriteAheadLog(database)) return;
  throw new UnshipError('database-not-wal', {
    happened: `${core.file} is in journal mode ${String(Object.values(database.prepare('PRAGMA journal_mode').get() ?? {})[0])}`,
    done: 'nothing was changed',
    next: `run \`sqlite3 ${core.file} "PRAGMA journal_mode = WAL"\` once, then repeat`,
  });
}

/** A consistent copy of the live database as a single file without log. Its name is `file` when it is complete. */
export async function copyLive(core: Core, file: string): Promise<void> {
  removeDatabase(file);
  using live = openDatabase(core.file, 'read');
  await onlineBackup(live, file, { rate: allPages });
  singleFile(file);
}

/** Without a log of its own, a copy is one file whose bytes can be hashed. */
export function singleFile(file: string): void {
  using copy = openDatabase(file, 'write');
  copy.exec('PRAGMA journal_mode = DELETE');
}

function requireIntact(database: DatabaseSync, id: string): void {
  const found = database
    .prepare('PRAGMA integrity_check(5)')
    .all()
    .map((row) => String(row.integrity_check));
  if (found.length === 1 && found[0] === 'ok') return;
  throw new UnshipError('backup-invalid', {
    happened: `backup ${id} fails SQLite's integrity check: ${found.join('; ')}`,
    done: 'it is not used',
  });
}

/**
 * Verifies a finished copy by opening it, writes what is known of it and gives it its name. After a crash in
 * between, the next call goes on with the same copy.
 */
export async function completeBackup(
  context: LookContext,
  core: Core,
  partial: string,
  identity: Pick<BackupRecord, 'id' | 'release'>,
): Promise<BackupFacts> {
  const file = backupFile(core, identity.id);
  await breathe(context);
  using database = openDatabase(partial, 'read', { immutable: true });
  requireIntact(database, identity.id);
  await breathe(context);
  const known = core.texts.allKept().map((migration) => migration.version);
  const described = {
    fingerprint: fingerprintOf(core, database),
    applied: ledgerFor(core, database).applied(database, known),
    rows: countRows(database, readSchema(database)),
  };
  database.close();
  const record: BackupRecord = {
    schema: 'unship.backup/1',
    ...identity,
    takenAt: context.runtime.clock.now(),
    sha256: await sha256OfFile(partial, context.signal),
    bytes: statSync(partial).size,
    ...described,
  };
  if (partial !== file) publishFile(partial, file);
  context.runtime.faults.point('sqlite.backup.named');
  await copyToSecondLocation(context, core, record);
  writeFileDurably(recordFile(core, identity.id), JSON.stringify(record, null, 1));
  return factsOf(core, record);
}

async function copyToSecondLocation(context: LookContext, core: Core, record: BackupRecord): Promise<void> {
  const folder = core.secondLocation;
  if (folder === undefined) return;
  ensureFolder(folder);
  requireSpace(folder, record.bytes, 'the copy of the backup');
  const target = join(folder, `${record.id}.db`);
  copyFileDurably(backupFile(core, record.id), target);
  if ((await sha256OfFile(target, context.signal)) !== record.sha256) {
    throw new UnshipError('backup-invalid', {
      happened: `the copy ${target} differs from the backup`,
      done: 'it is not used',
    });
  }
  writeFileDurably(join(folder, `${record.id}.json`), JSON.stringify(record, null, 1));
}

/**
 * Newest backups beyond the number to keep go, except the newest of each schema: a release that left that schema
 * behind may still need it to go back to.
 */
function prune(core: Core, keep: string): void {
  const seen = new Set<string>();
  let kept = 0;
  for (const backup of listBackups(core)) {
    const state = backup.applied.join('\n');
    const needed = !seen.has(state) || backup.id === keep;
    seen.add(state);
    if (needed) continue;
    kept += 1;
    if (kept <= core.keepBackups) continue;
    for (const folder of [
      backupsFolder(core),
      ...(core.secondLocation === undefined ? [] : [core.secondLocation]),
    ]) {
      rmSync(join(folder, `${backup.id}.json`), { force: true });
      removeDatabase(join(folder, `${backup.id}.db`));
    }
  }
}

/**
 * Puts our fence's row into the live database before it is copied, so that the copy can tell whether rowids
 * still mean the same rows later. A lock that is held just now is no reason to have no backup.
 */
export async function settleFence(context: WorkContext, core: Core): Promise<void> {
  using database = openDatabase(core.file, 'write');
  checkFence(database, context.fence);
  if (rowidEpoch(database) !== null) return;
  try {
    await beginWrite(context, database, core.file, 200);
    raiseFence(database, context.fence);
    ensureEpoch(database);
    database.exec('COMMIT');
  } catch (error) {
    rollBack(database);
    if (!isUnshipError(error) || error.slug !== 'database-locked') throw error;
  }
}

/** Takes a backup under this id, or returns the one that is there. */
export async function takeBackup(
  context: WorkContext,
  core: Core,
  release: ReleaseId,
  id: string,
): Promise<BackupFacts> {
  const existing = readBackup(core, id);
  if (existing !== undefined && looksWhole(core, existing)) {
    await verifyBackup(context, core, id);
    return factsOf(core, existing);
  }
  requireWriteAheadLog(core);
  ensureFolder(backupsFolder(core));
  requireSpace(backupsFolder(core), liveBytes(core), 'the backup');
  context.progress(`backup of ${core.file}`);
  context.runtime.faults.point('sqlite.backup.before');
  await settleFence(context, core);
  const partial = `${backupFile(core, id)}.partial`;
  await copyLive(core, partial);
  context.runtime.faults.point('sqlite.backup.copied');
  const facts = await completeBackup(context, core, partial, { id, release });
  context.runtime.faults.point('sqlite.backup.after');
  prune(core, id);
  return facts;
}

/** See DatabasePort.discardUnfinishedBackup: without its record a copy is none, whole as it may be. */
export function discardUnfinished(core: Core, id: string): void {
  removeDatabase(`${backupFile(core, id)}.partial`);
  if (readBackup(core, id) === undefined) removeDatabase(backupFile(core, id));
}

/** See DatabasePort.verifyBackup: the bytes are hashed and the copy is opened. Throws `backup-invalid`. */
export async function verifyBackup(context: LookContext, core: Core, id: string): Promise<Observation> {
  const record = readBackup(core, id);
  if (record === undefined) throw new UnshipError('backup-invalid', { happened: `there is no backup ${id}` });
  const file = backupFile(core, id);
  if (!looksWhole(core, record) || (await sha256OfFile(file, context.signal)) !== record.sha256) {
    throw new UnshipError('backup-invalid', {
      happened: `backup ${id} is not what it was when it was taken`,
      done: 'it is not used',
    });
  }
  using database = openDatabase(file, 'read', { immutable: true });
  requireIntact(database, id);
  const rows = Object.values(record.rows).reduce((sum, count) => sum + count, 0);
  return {
    observed: `backup ${id}: ${Math.ceil(record.bytes / 1e6)} MB, ${rows} rows, hash and integrity check passed`,
  };
}
