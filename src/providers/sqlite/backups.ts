import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import {
  ensureFolder,
  publishFile,
  removeDatabase,
  requireSpace,
  writeFileDurably,
} from '../../databases/files.ts';
import { isUnshipError, UnshipError } from '../../domain/errors.ts';
import type { BackupFacts, DatabaseFacts } from '../../domain/facts.ts';
import { isSafeName } from '../../domain/names.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, WorkContext } from '../../surfaces/surface.port.ts';
import {
  type BackupRecord,
  backupFile,
  backupsFolder,
  looksWhole,
  recordFile,
  requireIntact,
  soundRecord,
} from './backup-record.ts';
import { beginWrite, isWriteAheadLog, openDatabase, rollBack } from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { checkFence, ensureEpoch, raiseFence, rowidEpoch } from './fence.ts';
import { longWork } from './long-work.ts';
import { nextMoment } from './moments.ts';
import { keepElsewhere } from './second-location.ts';

export function readBackup(core: Core, id: string): BackupRecord | undefined {
  const file = recordFile(core, id);
  return existsSync(file) ? soundRecord(core, id, readFileSync(file, 'utf8')) : undefined;
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
  const { noBackup } = whyNoBackup(core, database);
  if (noBackup === undefined) return;
  throw new UnshipError('database-not-wal', {
    happened: noBackup.reason,
    done: 'nothing was changed',
    next: `${noBackup.next}, then repeat`,
  });
}

/** A backup of a file without a log would stop every writer. */
export function whyNoBackup(
  core: Core,
  database: DatabaseSync,
): Pick<DatabaseFacts['measurements'], 'noBackup'> {
  if (isWriteAheadLog(database)) return {};
  const mode = String(Object.values(database.prepare('PRAGMA journal_mode').get() ?? {})[0]);
  const file = core.file.replaceAll("'", "'\\''");
  return {
    noBackup: {
      reason: `${core.file} is in journal mode ${mode}`,
      next: `run \`sqlite3 '${file}' 'PRAGMA journal_mode = WAL'\` once`,
    },
  };
}

/** A consistent copy of the live database as a single file without log. Its name is `file` when it is complete. */
export async function copyLive({ signal }: LookContext, core: Core, file: string): Promise<void> {
  await longWork(signal, 'copy', { from: core.file, to: file });
}

export function schemaOf(core: Core, file: string): Pick<BackupRecord, 'fingerprint' | 'applied'> {
  using database = openDatabase(file, 'read', { immutable: true });
  const known = core.texts.allKept().map((migration) => migration.version);
  return {
    fingerprint: fingerprintOf(core, database),
    applied: ledgerFor(core, database).applied(database, known),
  };
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
  const found = await longWork(context.signal, 'inspect', { file: partial, expected: null });
  requireIntact(found, `the copy of ${core.file}`, 'database-corrupt');
  const { sha256, bytes, rows } = found;
  const unsealed: BackupRecord = {
    schema: 'unship.backup/2',
    ...identity,
    takenAt: nextMoment(context, core),
    ...{ sha256, bytes, ...schemaOf(core, partial), rows },
  };
  // SQLite makes files as the caller's umask has it.
  chmodSync(partial, 0o600);
  if (partial !== file) publishFile(partial, file);
  context.runtime.faults.point('sqlite.backup.named');
  const record = await keepElsewhere(context, core, unsealed, file);
  writeFileDurably(recordFile(core, identity.id), JSON.stringify(record, null, 1));
  return factsOf(core, record);
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
      for (const ending of ['json', 'json.age', 'db.age'])
        rmSync(join(folder, `${backup.id}.${ending}`), { force: true });
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

/** What killed runs had begun to copy and nobody goes on with: as large as the database, and in nobody's list. */
function clearAbandoned(core: Core, id: string): void {
  for (const name of readdirSync(backupsFolder(core))) {
    const isCopy = name.endsWith('.db.partial') && name !== `${id}.db.partial`;
    // Records are written by one process at a time, which is this one now.
    const isRecord = /^\..*\.json\.\d+\.partial$/.test(name);
    if (isCopy || isRecord) removeDatabase(join(backupsFolder(core), name));
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
  clearAbandoned(core, id);
  requireSpace(backupsFolder(core), liveBytes(core), 'the backup');
  context.progress('backing up');
  context.runtime.faults.point('sqlite.backup.before');
  await settleFence(context, core);
  const partial = `${backupFile(core, id)}.partial`;
  await copyLive(context, core, partial);
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
  const found = looksWhole(core, record)
    ? await longWork(context.signal, 'inspect', { file, expected: record.sha256 })
    : undefined;
  if (found?.sha256 !== record.sha256) {
    throw new UnshipError('backup-invalid', {
      happened: `backup ${id} is not what it was when it was taken`,
      done: 'it is not used',
    });
  }
  requireIntact(found, `backup ${id}`, 'backup-invalid');
  const rows = Object.values(record.rows).reduce((sum, count) => sum + count, 0);
  return {
    observed: `backup ${id}: ${Math.ceil(record.bytes / 1e6)} MB, ${rows} rows, hash and integrity check passed`,
  };
}
