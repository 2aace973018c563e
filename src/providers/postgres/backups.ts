import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  ensureFolder,
  publishFile,
  requireSpace,
  sha256OfFile,
  writeFileDurably,
} from '../../databases/files.ts';
import { isUnshipError, UnshipError } from '../../domain/errors.ts';
import type { BackupFacts } from '../../domain/facts.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext, Observation, WorkContext } from '../../surfaces/surface.port.ts';
import {
  type BackupRecord,
  backupFolder,
  backupsFolder,
  bytesIn,
  factsOf,
  listBackups,
  looksWhole,
  nextMoment,
  readBackup,
  recordFile,
  requireBackup,
  sealed,
} from './backup-record.ts';
import { countRows, readCatalogue } from './catalogue.ts';
import type { Connection } from './connection.ts';
import { type Core, open } from './core.ts';
import { checkFence } from './fence.ts';
import { fingerprintOf } from './fingerprint.ts';
import { ledgerFor } from './ledger.ts';
import { foundPrograms, programsFor, runProgram } from './programs.ts';
import { serverFacts } from './server.ts';

export function backupId(core: Core, release: ReleaseId, key: string, kind = ''): string {
  return `${release}-${kind}${core.environment.runtime.digest(key).slice(0, 16)}`;
}

/** What a database holds, as one snapshot sees it. */
export type Content = Pick<BackupRecord, 'fingerprint' | 'applied' | 'marks' | 'rows' | 'columns'>;

export async function contentOf(core: Core, connection: Connection): Promise<Content> {
  const catalogue = await readCatalogue(connection);
  const known = core.texts.allKept().map((migration) => migration.version);
  const ledger = await ledgerFor(core, connection);
  return {
    fingerprint: await fingerprintOf(core, connection),
    applied: await ledger.applied(known),
    marks: Object.fromEntries(await ledger.marks()),
    rows: await countRows(connection, catalogue),
    columns: Object.fromEntries(
      [...catalogue.values()].map((table) => [table.label, table.columns.map((column) => column.name)]),
    ),
  };
}

interface Dump extends Content {
  readonly snapshot: string;
  readonly server: string;
}

/** A consistent copy in `folder`, with what is in it: all of one snapshot, which is held open as long. */
export async function dumpInto(context: LookContext, core: Core, folder: string): Promise<Dump> {
  await using connection = await open(core, 'backup');
  const { major, id } = await serverFacts(connection);
  const programs = await programsFor(core, major);
  await connection.run(
    `SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = '10s';
     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`,
  );
  const [row] = await connection.rows<{ exported: string; snapshot: string }>(
    'SELECT pg_export_snapshot() AS exported, pg_current_snapshot()::text AS snapshot',
  );
  const args = [
    ...['--format=directory', '--jobs=2', '--compress=1', '--no-password', '--lock-wait-timeout=10s'],
    ...[`--snapshot=${row?.exported ?? ''}`, `--file=${folder}`],
  ];
  // A dump whose unship was killed goes on by itself: into files that nobody wants, under locks that others wait for.
  await connection.rows(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND application_name = 'unship: pg_dump'`,
  );
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const dumped = runProgram(programs, 'pg_dump', args, core.url(), signal);
  dumped.catch(() => {});
  try {
    const content = await contentOf(core, connection);
    await dumped;
    await connection.run('COMMIT');
    return { ...content, snapshot: row?.snapshot ?? '', server: id };
  } finally {
    stop.abort();
    await dumped.catch(() => {});
  }
}

/** Over the hashes of all files, in the order of their names. */
async function hashOf(context: LookContext, core: Core, folder: string): Promise<string> {
  const lines: string[] = [];
  for (const name of readdirSync(folder).sort())
    lines.push(`${name} ${await sha256OfFile(join(folder, name), context.signal)}`);
  return core.environment.runtime.digest(lines.join('\n'));
}

/** Reads the dump's table of contents as pg_restore would. */
async function requireReadable(context: LookContext, core: Core, folder: string): Promise<void> {
  const programs = (await foundPrograms(core)).at(-1) ?? (await programsFor(core, 0));
  try {
    await runProgram(programs, 'pg_restore', ['--list', folder], null, context.signal);
  } catch (error) {
    if (!isUnshipError(error)) throw error;
    throw new UnshipError('backup-invalid', { happened: error.details.happened, done: 'it is not used' });
  }
}

/** What killed runs had begun and nobody goes on with: as large as the database, and in nobody's list. */
function clearAbandoned(core: Core): void {
  for (const name of readdirSync(backupsFolder(core))) {
    const isRecord = /^\..*\.json\.\d+\.partial$/.test(name);
    if (name.endsWith('.dump.partial') || isRecord) remove(join(backupsFolder(core), name));
  }
}

export function remove(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 });
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
    remove(recordFile(core, backup.id));
    remove(backupFolder(core, backup.id));
  }
}

/**
 * Takes a backup under this id, or returns the one that is there.
 *
 * @param from the database that is copied, where it is not the live one
 */
export async function takeBackup(
  context: WorkContext,
  core: Core,
  release: ReleaseId,
  id: string,
  from: Core = core,
): Promise<BackupFacts> {
  const existing = readBackup(core, id);
  if (existing !== undefined && looksWhole(core, existing)) {
    await verifyBackup(context, core, id);
    return factsOf(core, existing);
  }
  const folder = backupFolder(core, id);
  ensureFolder(backupsFolder(core));
  clearAbandoned(core);
  await refuseWhereItCant(context, from, core);
  context.progress('backing up');
  context.runtime.faults.point('postgres.backup.before');
  const partial = `${folder}.partial`;
  const dump = await dumpInto(context, from, partial);
  context.runtime.faults.point('postgres.backup.copied');
  for (const name of readdirSync(partial)) chmodSync(join(partial, name), 0o600);
  chmodSync(partial, 0o700);
  await requireReadable(context, core, partial);
  const sha256 = await hashOf(context, core, partial);
  // Whole, but without a record it was none: from a run that was killed between the two.
  remove(folder);
  publishFile(partial, folder);
  context.runtime.faults.point('postgres.backup.named');
  const record = sealed(core, {
    schema: 'unship.postgres-backup/1',
    ...{ id, release, takenAt: nextMoment(context, core), sha256, bytes: bytesIn(folder) },
    ...dump,
  });
  writeFileDurably(recordFile(core, id), JSON.stringify(record, null, 1));
  context.runtime.faults.point('postgres.backup.after');
  prune(core, id);
  return factsOf(core, record);
}

async function refuseWhereItCant(context: WorkContext, from: Core, core: Core): Promise<void> {
  await using connection = await open(from, 'look');
  await checkFence(connection, context.fence);
  const { bytes } = await serverFacts(connection);
  // Compressed and without indexes it is smaller; how much, nobody knows before.
  requireSpace(backupsFolder(core), bytes, 'the backup');
}

/** See DatabasePort.discardUnfinishedBackup: without its record a copy is none, whole as it may be. */
export function discardUnfinished(core: Core, id: string): void {
  const folder = backupFolder(core, id);
  remove(`${folder}.partial`);
  if (readBackup(core, id) === undefined) remove(folder);
}

/** See DatabasePort.verifyBackup: every byte is hashed and the table of contents is read. Throws `backup-invalid`. */
export async function verifyBackup(context: LookContext, core: Core, id: string): Promise<Observation> {
  const record = requireBackup(core, id);
  const folder = backupFolder(core, id);
  const found =
    existsSync(folder) && looksWhole(core, record) ? await hashOf(context, core, folder) : undefined;
  if (found !== record.sha256) {
    throw new UnshipError('backup-invalid', {
      happened: `backup ${id} is not what it was when it was taken`,
      done: 'it is not used',
    });
  }
  await requireReadable(context, core, folder);
  const rows = Object.values(record.rows).reduce((sum, count) => sum + count, 0);
  return {
    observed: `backup ${id}: ${Math.ceil(record.bytes / 1e6)} MB, ${rows} rows, hash and table of contents checked`,
  };
}
