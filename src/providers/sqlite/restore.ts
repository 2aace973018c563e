import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DatabaseSync, backup as onlineBackup } from 'node:sqlite';
import {
  ensureFolder,
  readJson,
  removeDatabase,
  requireSpace,
  writeFileDurably,
} from '../../databases/files.ts';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import { rowsLost } from '../../domain/facts.ts';
import type { RestoreResult } from '../../surfaces/database/database.port.ts';
import type { LookContext, WorkContext } from '../../surfaces/surface.port.ts';
import type { Archive } from './archive.ts';
import { type BackupRecord, backupFile } from './backup-record.ts';
import {
  backupId,
  completeBackup,
  readBackup,
  requireWriteAheadLog,
  settleFence,
  takeBackup,
  verifyBackup,
} from './backups.ts';
import { numberOf, openDatabase, whileBusy } from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { checkFence, raiseFence } from './fence.ts';
import { withScratch } from './migration-work.ts';
import { nextMoment } from './moments.ts';
import { quoteText, restoredTable } from './names.ts';
import { countRestoreLoss } from './restore-risk.ts';
import { singleFile } from './single-file.ts';

/** How far a restore got, durable before its effect. The marker inside the database says whether it happened. */
interface RestoreState {
  readonly backup: string;
  readonly safetyBackup: string;
  readonly rowsLost: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

interface Work {
  readonly context: WorkContext;
  readonly core: Core;
  readonly record: BackupRecord;
  readonly maximumRowsLost: number;
  /** Names everything that this restore writes. */
  readonly key: string;
  readonly stateFile: string;
}

/** What to measure the live database against, to find what was written since a backup. */
export interface Baseline {
  readonly file: string;
  /** What the migrations since have done, oldest first; null when one of them was not recorded. */
  readonly archives: readonly Archive[] | null;
}

/** What ran since a state with these versions: ups that are in the ledger, downs whose version is not. */
function archivesSince(
  core: Core,
  database: DatabaseSync,
  applied: readonly string[],
  known: readonly string[],
): readonly Archive[] | null {
  const ledger = ledgerFor(core, database);
  const now = ledger.applied(database, known);
  const added = now.filter((version) => !applied.includes(version));
  const ups = added.map((version) => core.archives.ofLive(version, ledger.mark(database, version)));
  const removed = applied.filter((version) => !now.includes(version));
  const downs = removed.map((version) => core.archives.of(version, 'down')[0]);
  const archives = [...ups, ...downs].filter((archive) => archive !== undefined);
  if (archives.length < ups.length + downs.length) return null;
  return archives.sort((a, b) => a.record.at - b.record.at);
}

/** The restore that the live database's content came from, when there was one. */
function lastRestore(core: Core, database: DatabaseSync): RestoreState | undefined {
  const there = database.prepare('SELECT 1 FROM main.sqlite_schema WHERE name = ?').get(restoredTable);
  if (there === undefined) return undefined;
  const key = String(database.prepare(`SELECT key FROM main.${restoredTable}`).get()?.key);
  return /^[0-9a-f]+$/.test(key)
    ? (readJson(join(core.folder, 'restores', `${key}.json`)) as RestoreState)
    : undefined;
}

/**
 * Writes are counted from the backup itself; but when another backup was restored since, what came before that
 * is lost already, and only what was written after it can be lost now.
 */
export function baselineFor(core: Core, database: DatabaseSync, record: BackupRecord): Baseline {
  const known = core.texts.allKept().map((migration) => migration.version);
  const last = lastRestore(core, database);
  const later = last !== undefined && (last.safetyBackup === record.id || last.at > record.takenAt);
  const installed = later ? readBackup(core, last.backup) : undefined;
  const base = installed !== undefined && existsSync(backupFile(core, installed.id)) ? installed : record;
  return {
    file: backupFile(core, base.id),
    archives: later && base === record ? null : archivesSince(core, database, base.applied, known),
  };
}

function wasRestored(database: DatabaseSync, key: string): boolean {
  const there = database.prepare('SELECT 1 FROM main.sqlite_schema WHERE name = ?').get(restoredTable);
  if (there === undefined) return false;
  return database.prepare(`SELECT 1 FROM main.${restoredTable} WHERE key = ?`).get(key) !== undefined;
}

function stagedFile(core: Core, key: string): string {
  return join(core.folder, 'restores', `${key}.staged.db`);
}

/**
 * A copy of the backup that carries our fence and a mark of this restore, so that both arrive in the same
 * transaction as the content.
 */
async function stage({ context, core, record, key }: Work): Promise<string> {
  const file = stagedFile(core, key);
  removeDatabase(file);
  requireSpace(core.folder, record.bytes, 'preparing the restore');
  await copyFile(backupFile(core, record.id), file);
  using staged = openDatabase(file, 'write');
  raiseFence(staged, context.fence);
  staged.exec(
    `CREATE TABLE IF NOT EXISTS ${restoredTable} (key TEXT NOT NULL); DELETE FROM ${restoredTable}`,
  );
  staged.prepare(`INSERT INTO ${restoredTable} VALUES (?)`).run(key);
  return file;
}

/** What is done under the write lock, synchronously: readers go on, writers wait, nothing else gets between. */
function decide(work: Work, watcher: DatabaseSync, baseline: Baseline, safety: SafetyCopy): RestoreState {
  const { context, core, record, maximumRowsLost } = work;
  checkFence(watcher, context.fence);
  const lost = rowsLost(countRestoreLoss(context, watcher, baseline.file, baseline.archives));
  if (lost > maximumRowsLost) {
    throw new UnshipError('loss-exceeds-consent', {
      happened: `restoring ${record.id} now would lose ${lost} rows; ${maximumRowsLost} were agreed to`,
      done: 'nothing was changed',
    });
  }
  // Somebody wrote after the safety backup: what is about to go is copied once more, now that nobody can.
  const isLate = !safety.fresh || commitCounter(watcher) !== safety.counter;
  if (isLate) {
    removeDatabase(lateCopy(core, safety.lateId));
    watcher.exec(`VACUUM main INTO ${quoteText(lateCopy(core, safety.lateId))}`);
  }
  const state = {
    backup: record.id,
    safetyBackup: isLate ? safety.lateId : safety.id,
    rowsLost: lost,
    at: nextMoment(context, core),
  };
  writeFileDurably(work.stateFile, JSON.stringify(state));
  context.runtime.faults.point('sqlite.restore.before');
  return state;
}

interface SafetyCopy {
  readonly id: string;
  readonly lateId: string;
  /** Taken by this very call, with the database as it was at `counter`. */
  readonly fresh: boolean;
  readonly counter: number;
}

/**
 * Moves whenever another connection has committed. (Never read the live file or its -shm by other means than
 * SQLite: closing them would drop every lock that this process holds on them, as POSIX has it.)
 */
function commitCounter(watcher: DatabaseSync): number {
  return numberOf(watcher, 'PRAGMA main.data_version');
}

function lateCopy(core: Core, id: string): string {
  return `${backupFile(core, id)}.partial`;
}

const pagesPerStep = 256;

/** SQLite's backup reports a lock it could not get as an error without a code. */
function asBusy(error: unknown): unknown {
  if (isUnshipError(error)) return error;
  return /not an error|locked|busy/i.test(messageOf(error))
    ? Object.assign(new Error('locked'), { errcode: 5 })
    : error;
}

/**
 * Writes the staged content over the live database through SQLite's backup: one transaction of the live file,
 * seen whole or not at all by every connection that is open, and rolled back by a crash. The first step takes
 * the write lock and the last commits, so what is decided after the first holds. Steps are small enough for the
 * page cache: nothing reaches the live file's log before the decision.
 */
async function overwrite(work: Work, staged: string, decideUnderLock: () => void): Promise<void> {
  const { context, core } = work;
  using source = openDatabase(staged, 'read', { immutable: true });
  const pages = numberOf(source, 'PRAGMA page_count');
  let refusal: unknown;
  let decided = false;
  await whileBusy(context, core.file, core.lockMs, async () => {
    try {
      await onlineBackup(source, core.file, {
        rate: Math.min(Math.ceil(pages / 2), pagesPerStep),
        progress: () => {
          if (decided) return;
          try {
            decideUnderLock();
            decided = true;
          } catch (error) {
            refusal = error;
            throw error;
          }
        },
      });
    } catch (error) {
      decided = false;
      throw refusal ?? asBusy(error);
    }
  });
}

async function takeSafetyCopy(
  { context, core, record, key }: Work,
  watcher: DatabaseSync,
): Promise<SafetyCopy> {
  const id = backupId(core, record.release, key, 'safety-');
  const lateId = backupId(core, record.release, key, 'safety-late-');
  const fresh = readBackup(core, id) === undefined;
  await settleFence(context, core);
  const counter = commitCounter(watcher);
  await takeBackup(context, core, record.release, id);
  return { id, lateId, fresh, counter };
}

/** Everything after the effect; repeated after a crash it finds the same. */
async function finish(
  context: LookContext,
  core: Core,
  record: BackupRecord,
  state: RestoreState,
): Promise<RestoreResult> {
  if (readBackup(core, state.safetyBackup) === undefined) {
    const partial = lateCopy(core, state.safetyBackup);
    if (existsSync(partial)) singleFile(partial);
    const copied = existsSync(partial) ? partial : backupFile(core, state.safetyBackup);
    await completeBackup(context, core, copied, { id: state.safetyBackup, release: record.release });
  }
  using database = openDatabase(core.file, 'read');
  const fingerprint = fingerprintOf(core, database);
  if (fingerprint !== record.fingerprint) {
    throw new UnshipError('schema-mismatch', {
      happened: `after restoring ${record.id} the live schema is ${fingerprint.slice(0, 12)}, the backup's is ${record.fingerprint.slice(0, 12)}`,
      done: `the state before is kept as backup ${state.safetyBackup}`,
    });
  }
  return { backup: record.id, safetyBackup: state.safetyBackup, rowsLost: state.rowsLost, fingerprint };
}

function isLive(core: Core, key: string): boolean {
  using database = openDatabase(core.file, 'read');
  return wasRestored(database, key);
}

function keyOf({ idempotencyKey }: WorkContext, core: Core, backup: string): string {
  return core.environment.runtime.digest(`${idempotencyKey}\n${backup}`).slice(0, 32);
}

function stateFileOf(core: Core, key: string): string {
  return join(core.folder, 'restores', `${key}.json`);
}

function stateOf(core: Core, key: string): RestoreState {
  const state = readJson(stateFileOf(core, key)) as RestoreState | undefined;
  if (state !== undefined) return state;
  throw new UnshipError('internal', { happened: `the state of the restore ${key} is gone` });
}

/** See DatabasePort.restore. */
export async function restore(
  context: WorkContext,
  core: Core,
  request: { readonly backup: string; readonly maximumRowsLost: number },
): Promise<RestoreResult> {
  await verifyBackup(context, core, request.backup);
  const record = readBackup(core, request.backup);
  if (record === undefined)
    throw new UnshipError('backup-invalid', { happened: `there is no backup ${request.backup}` });
  requireWriteAheadLog(core);
  const key = keyOf(context, core, record.id);
  const stateFile = stateFileOf(core, key);
  ensureFolder(dirname(stateFile));
  const work: Work = { context, core, record, maximumRowsLost: request.maximumRowsLost, key, stateFile };
  await withScratch(core, async (watcher) => {
    if (wasRestored(watcher, key)) {
      removeDatabase(stagedFile(core, key));
      return;
    }
    checkFence(watcher, context.fence);
    requireSpace(core.folder, 2 * liveBytes(core), 'the safety backup');
    const baseline = baselineFor(core, watcher, record);
    const safety = await takeSafetyCopy(work, watcher);
    const staged = await stage(work);
    context.runtime.faults.point('sqlite.restore.staged');
    context.progress(`restoring ${record.id}`);
    try {
      await overwrite(work, staged, () => decide(work, watcher, baseline, safety));
    } finally {
      removeDatabase(staged);
    }
    context.runtime.faults.point('sqlite.restore.after');
  });
  return finish(context, core, record, stateOf(core, key));
}

/** See DatabasePort.restored. */
export async function restored(
  context: WorkContext,
  core: Core,
  backup: string,
): Promise<RestoreResult | null> {
  const key = keyOf(context, core, backup);
  const record = readBackup(core, backup);
  if (record === undefined || !isLive(core, key)) return null;
  return await finish(context, core, record, stateOf(core, key));
}
