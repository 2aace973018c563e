import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UnshipError } from '../../domain/errors.ts';
import { type CapturedCatalogue, nameOf, readCatalogue } from './captured-catalogue.ts';
import { type ClientPrograms, runProgram } from './client-programs.ts';
import { type Connection, connect, databaseOf, identifier } from './connection.ts';
import { lsnOf } from './lsn.ts';
import { codeOf } from './slot-reader.ts';

export interface CaptureWish {
  readonly url: string;
  /** The same for every attempt at it. */
  readonly key: string;
  /** Where the dump goes. */
  readonly folder: string;
  readonly programs: ClientPrograms;
  /** Longest that a writer may wait for one table, in ms. Default 1 s. */
  readonly lockTimeoutMs?: number;
  /** Longest wait for transactions that were under way before the slot, in ms. Default 60 s. */
  readonly slotWithinMs?: number;
  /** Processes that dump side by side. Default 2. */
  readonly jobs?: number;
  readonly faults: { point(name: string): void };
}

/** Everything that was written from one moment on can be read again, and the state of that moment is in `dump`. */
export interface Capture {
  readonly key: string;
  readonly slot: string;
  readonly publication: string;
  readonly origin: string;
  readonly marks: 'origin' | 'message';
  readonly dump: string;
  readonly from: bigint;
  readonly catalogue: CapturedCatalogue;
  readonly identities: readonly Identity[];
}

/** What a table's replica identity was, as `pg_class.relreplident` has it. */
export interface Identity {
  readonly oid: number;
  readonly identity: 'd' | 'n' | 'f' | 'i';
  readonly index: string | null;
}

interface CaptureRow {
  readonly key: string;
  readonly slot: string;
  readonly publication: string;
  readonly origin: string;
  readonly marks: 'origin' | 'message';
  readonly dump: string;
  readonly from_lsn: string | null;
  readonly catalogue: CapturedCatalogue | null;
  readonly identities: readonly Identity[];
  readonly is_ready: boolean;
}

const ownTables = `
  CREATE SCHEMA IF NOT EXISTS unship;
  CREATE TABLE IF NOT EXISTS unship.captures (
    key text PRIMARY KEY, slot text NOT NULL, publication text NOT NULL, origin text NOT NULL, marks text NOT NULL,
    dump text NOT NULL, identities jsonb NOT NULL, from_lsn pg_lsn, catalogue jsonb, is_ready boolean NOT NULL DEFAULT false);
  CREATE TABLE IF NOT EXISTS unship.catalogues (
    key text NOT NULL, lsn pg_lsn NOT NULL, catalogue jsonb NOT NULL);
  CREATE TABLE IF NOT EXISTS unship.markers (key text NOT NULL, number int8 NOT NULL, PRIMARY KEY (key, number));`;

/** Tables of ours that are of no use in a restored database. */
export const ownCaptureTables: readonly string[] = ['unship.captures', 'unship.catalogues'];

/** A short name that is the same for every attempt under one key. */
export function shortName(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12);
}

/** The capture that was begun under this key; null when there is none that is whole. */
export async function findCapture(connection: Connection, key: string): Promise<Capture | null> {
  const row = await captureRow(connection, key);
  return row === undefined || !row.is_ready ? null : captureOf(row);
}

async function captureRow(connection: Connection, key: string): Promise<CaptureRow | undefined> {
  const [there] = await connection.rows<{ there: boolean }>(
    `SELECT to_regclass('unship.captures') IS NOT NULL AS there`,
  );
  if (there?.there !== true) return undefined;
  return (await connection.rows<CaptureRow>('SELECT * FROM unship.captures WHERE key = $1', [key]))[0];
}

function captureOf(row: CaptureRow): Capture {
  const { key, slot, publication, origin, marks, dump, identities } = row;
  const catalogue = row.catalogue ?? { tables: [], sequences: [] };
  return {
    key,
    slot,
    publication,
    origin,
    marks,
    dump,
    identities,
    catalogue,
    from: lsnOf(row.from_lsn ?? '0/0'),
  };
}

/**
 * From here on nothing that is written can be lost by going back. What it changes in the database is written down
 * first, so that `endCapture` puts it back after a kill at any point. A half-made one is put back and made again:
 * the state that its slot showed is gone with its session.
 */
export async function beginCapture(wish: CaptureWish): Promise<Capture> {
  await using connection = await connect(wish.url, { purpose: 'capture' });
  await requireLogical(connection);
  await connection.run(ownTables);
  const row = await captureRow(connection, wish.key);
  if (row?.is_ready && existsSync(row.dump)) return captureOf(row);
  if (row !== undefined) await endCapture(wish, wish.key);
  try {
    return await begin(connection, wish);
  } catch (error) {
    // What can't be put back now, the next attempt finds written down.
    await endCapture(wish, wish.key).catch(() => {});
    // Settings that allow no more slots or senders, a missing right.
    if (['53400', '53300', '42501'].includes(codeOf(error))) throw impossible(messageOf(error), error);
    throw error;
  }
}

async function requireLogical(connection: Connection): Promise<void> {
  const [settings] = await connection.rows<{ level: string; server: number; identity: boolean }>(
    `SELECT current_setting('wal_level') AS level, current_setting('server_version_num')::int AS server`,
  );
  if (settings?.level === 'logical' && settings.server >= 140_000) return;
  throw impossible(`wal_level is ${settings?.level}, the server's version ${settings?.server}`);
}

function impossible(happened: string, cause?: unknown): UnshipError {
  return new UnshipError('capture-impossible', {
    happened,
    done: 'what was changed for it is put back',
    cause,
  });
}

async function begin(connection: Connection, wish: CaptureWish): Promise<Capture> {
  const short = shortName(wish.key);
  const names = { slot: `unship_${short}`, publication: `unship_${short}`, origin: `unship_${short}` };
  const dump = join(wish.folder, `capture-${short}`);
  const { tables } = await readCatalogue(connection);
  const identities = await identitiesOf(
    connection,
    tables.map(({ oid }) => oid),
  );
  const marks = await mayMark(connection);
  await connection.rows(
    `INSERT INTO unship.captures (key, slot, publication, origin, marks, dump, identities)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [wish.key, names.slot, names.publication, names.origin, marks, dump, JSON.stringify(identities)],
  );
  wish.faults.point('postgres.capture.written-down');
  for (const table of tables) {
    await lockedBriefly(
      connection,
      wish,
      `ALTER TABLE ${identifier(table.schema, table.name)} REPLICA IDENTITY FULL`,
    );
  }
  wish.faults.point('postgres.capture.identities');
  const list = [...tables.map((table) => identifier(table.schema, table.name)), 'unship.markers'].join(', ');
  await lockedBriefly(
    connection,
    wish,
    `CREATE PUBLICATION ${identifier(names.publication)} FOR TABLE ${list}`,
  );
  if (marks === 'origin') await connection.rows('SELECT pg_replication_origin_create($1)', [names.origin]);
  wish.faults.point('postgres.capture.publication');
  const { from, catalogue } = await dumpAtSlot(wish, names.slot, dump);
  await connection.rows(
    'UPDATE unship.captures SET from_lsn = $2, catalogue = $3, is_ready = true WHERE key = $1',
    [wish.key, from, JSON.stringify(catalogue)],
  );
  wish.faults.point('postgres.capture.ready');
  return { key: wish.key, ...names, marks, dump, from: lsnOf(from), catalogue, identities };
}

async function identitiesOf(connection: Connection, oids: readonly number[]): Promise<readonly Identity[]> {
  return await connection.rows<{ oid: number; identity: Identity['identity']; index: string | null }>(
    `SELECT c.oid, c.relreplident AS identity, i.relname AS index FROM pg_class c
     LEFT JOIN pg_index x ON x.indrelid = c.oid AND x.indisreplident LEFT JOIN pg_class i ON i.oid = x.indexrelid
     WHERE c.oid = ANY ($1::oid[])`,
    [oids],
  );
}

async function mayMark(connection: Connection): Promise<'origin' | 'message'> {
  const [may] = await connection.rows<{ may: boolean }>(
    `SELECT bool_and(has_function_privilege(f, 'EXECUTE')) AS may FROM unnest(ARRAY[
       'pg_replication_origin_create(text)', 'pg_replication_origin_drop(text)',
       'pg_replication_origin_session_setup(text)', 'pg_replication_origin_session_reset()']) f`,
  );
  return may?.may === true ? 'origin' : 'message';
}

/** Waits for a lock no longer than writers may wait behind it, and tries again in between them. */
export async function lockedBriefly(
  connection: Connection,
  { lockTimeoutMs = 1_000 }: { readonly lockTimeoutMs?: number },
  sql: string,
): Promise<void> {
  const attempts = 10;
  await connection.run(`SET lock_timeout = ${Math.round(lockTimeoutMs)}`);
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await connection.run(sql);
      } catch (error) {
        // lock_not_available, deadlock_detected
        if (!['55P03', '40P01'].includes(codeOf(error))) throw error;
        if (attempt === attempts) throw locked(sql, error);
        await sleep(50 * attempt);
      }
    }
  } finally {
    await connection.run('RESET lock_timeout').catch(() => {});
  }
}

function locked(sql: string, cause: unknown): UnshipError {
  return new UnshipError('database-locked', {
    happened: `no lock for: ${sql.slice(0, 200)}`,
    done: 'the attempt was taken back; nobody waited longer for it than the time limit of a lock',
    cause,
  });
}

/** The slot's session is what holds the moment: catalogue and dump are read while it is open. */
async function dumpAtSlot(
  wish: CaptureWish,
  slot: string,
  dump: string,
): Promise<{ readonly from: string; readonly catalogue: CapturedCatalogue }> {
  await using walsender = await connect(wish.url, { purpose: 'slot of a capture', replication: true });
  const made = await createSlot(walsender, wish, slot);
  wish.faults.point('postgres.capture.slot');
  await using reader = await connect(wish.url, { purpose: 'catalogue of a capture' });
  await reader.run(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '${made.snapshot.replaceAll("'", '')}'`,
  );
  const catalogue = await readCatalogue(reader);
  await reader.run('COMMIT');
  const partial = `${dump}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(wish.folder, { recursive: true, mode: 0o700 });
  await runProgram(
    wish.programs,
    'pg_dump',
    [
      ...[
        '--format=directory',
        `--jobs=${wish.jobs ?? 2}`,
        `--snapshot=${made.snapshot}`,
        `--file=${partial}`,
      ],
      ...['--no-publications', '--no-subscriptions', '--compress=1', '--no-password'],
      // A writer in between must not wait behind a dump that waits.
      `--lock-wait-timeout=${wish.lockTimeoutMs ?? 1_000}`,
      ...ownCaptureTables.map((table) => `--exclude-table=${table}`),
    ],
    { url: wish.url, database: databaseOf(wish.url) },
  );
  wish.faults.point('postgres.capture.dumped');
  await rm(dump, { recursive: true, force: true });
  await rename(partial, dump);
  return { from: made.from, catalogue };
}

async function createSlot(
  walsender: Connection,
  { slotWithinMs = 60_000 }: CaptureWish,
  slot: string,
): Promise<{ readonly snapshot: string; readonly from: string }> {
  const made = walsender.client.query<{ snapshot_name: string; consistent_point: string }>(
    `CREATE_REPLICATION_SLOT ${identifier(slot)} LOGICAL pgoutput EXPORT_SNAPSHOT`,
  );
  made.catch(() => {});
  const late = Symbol('late');
  const timer = new AbortController();
  const won = await Promise.race([made, sleep(slotWithinMs, late, { signal: timer.signal })]);
  timer.abort();
  if (typeof won === 'symbol') {
    (
      walsender.client as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    throw new UnshipError('database-locked', {
      happened: `a transaction that began before the capture has not ended within ${slotWithinMs} ms`,
      done: 'nothing is captured; what was changed for it is put back',
    });
  }
  const [row] = won.rows;
  if (row === undefined) throw new Error('CREATE_REPLICATION_SLOT returned nothing');
  return { snapshot: row.snapshot_name, from: row.consistent_point };
}

export interface EndWish {
  readonly url: string;
  readonly lockTimeoutMs?: number;
  readonly faults: { point(name: string): void };
  /** Database to put in order, where it has another name now. */
  readonly database?: string;
}

/**
 * Puts identities, publication, slot and origin back as they were, and removes the dump. Repeated after a kill it
 * goes on. The publication goes before the identities: the other way round, UPDATEs on tables without a key fail.
 */
export async function endCapture(wish: EndWish, key: string): Promise<void> {
  const where = {
    purpose: 'end of a capture',
    ...(wish.database === undefined ? {} : { database: wish.database }),
  };
  await using connection = await connect(wish.url, where);
  const row = await captureRow(connection, key);
  if (row === undefined) return;
  await dropSlot(connection, row.slot);
  wish.faults.point('postgres.capture-end.slot');
  await lockedBriefly(connection, wish, `DROP PUBLICATION IF EXISTS ${identifier(row.publication)}`);
  wish.faults.point('postgres.capture-end.publication');
  await restoreIdentities(connection, wish, row.identities);
  wish.faults.point('postgres.capture-end.identities');
  await dropOrigin(connection, row);
  for (const folder of [row.dump, `${row.dump}.partial`]) await rm(folder, { recursive: true, force: true });
  await connection.run('BEGIN');
  await connection.rows('DELETE FROM unship.catalogues WHERE key = $1', [key]);
  await connection.rows('DELETE FROM unship.markers WHERE key = $1', [key]);
  await connection.rows('DELETE FROM unship.captures WHERE key = $1', [key]);
  await connection.run('COMMIT');
}

/** Who still reads it is a session of ours that was killed and that the server has not noticed yet. */
export async function dropSlot(connection: Connection, slot: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const [there] = await connection.rows<{ pid: number | null }>(
      'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    if (there === undefined) return;
    if (there.pid !== null)
      await connection.rows('SELECT pg_terminate_backend($1)', [there.pid]).catch(() => undefined);
    try {
      await connection.rows('SELECT pg_drop_replication_slot($1)', [slot]);
      return;
    } catch (error) {
      if (attempt === 40 || !['55006', '42704'].includes(codeOf(error))) throw error;
      await sleep(100);
    }
  }
}

async function dropOrigin(connection: Connection, row: CaptureRow): Promise<void> {
  if (row.marks !== 'origin') return;
  const [there] = await connection.rows<{ there: boolean }>(
    'SELECT EXISTS (SELECT 1 FROM pg_replication_origin WHERE roname = $1) AS there',
    [row.origin],
  );
  if (there?.there !== true) return;
  for (let attempt = 0; ; attempt += 1) {
    try {
      await connection.rows('SELECT pg_replication_origin_drop($1)', [row.origin]);
      return;
    } catch (error) {
      if (attempt === 20) throw stillUsed(row.origin, error);
      await sleep(100);
    }
  }
}

function stillUsed(origin: string, cause: unknown): UnshipError {
  return new UnshipError('database-locked', {
    happened: `a session still works under the origin ${origin}: ${messageOf(cause)}`,
    done: 'slot, publication and identities are put back',
    cause,
  });
}

export async function restoreIdentities(
  connection: Connection,
  wish: { readonly lockTimeoutMs?: number },
  identities: readonly Identity[],
): Promise<void> {
  for (const { oid, identity, index } of identities) {
    const [table] = await connection.rows<{ schema: string; name: string; index: boolean }>(
      `SELECT n.nspname AS schema, c.relname AS name, EXISTS (
         SELECT 1 FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid AND i.relname = $2) AS index
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.oid = $1 AND c.relkind = 'r' AND c.relreplident = 'f'`,
      [oid, index],
    );
    if (table === undefined || identity === 'f') continue;
    await lockedBriefly(connection, wish, identityStatement(table, identity, table.index ? index : null));
  }
}

export function identityStatement(
  table: { readonly schema: string; readonly name: string },
  identity: Identity['identity'],
  index: string | null,
): string {
  // The index may have gone with the migration: then its table is told by its key.
  const using = index === null ? 'DEFAULT' : `USING INDEX ${identifier(index)}`;
  const what = identity === 'n' ? 'NOTHING' : identity === 'i' ? using : 'DEFAULT';
  return `ALTER TABLE ${identifier(table.schema, table.name)} REPLICA IDENTITY ${what}`;
}

export interface SlotHealth {
  readonly status: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  /** Bytes of the log that the server keeps for it. */
  readonly keptBytes: number;
  /** Bytes until it is lost; null without a limit. */
  readonly leftBytes: number | null;
}

/** Null when there is no such slot. */
export async function slotHealth(connection: Connection, slot: string): Promise<SlotHealth | null> {
  const [row] = await connection.rows<{
    status: SlotHealth['status'];
    kept: string | null;
    room: string | null;
  }>(
    `SELECT wal_status AS status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS kept, safe_wal_size AS room
     FROM pg_replication_slots WHERE slot_name = $1`,
    [slot],
  );
  if (row === undefined) return null;
  return {
    status: row.status,
    keptBytes: Number(row.kept ?? 0),
    leftBytes: row.room === null ? null : Number(row.room),
  };
}

/** Throws `capture-lost` unless everything since its beginning can still be read. */
export async function requireReadable(connection: Connection, capture: Capture): Promise<void> {
  const health = await slotHealth(connection, capture.slot);
  if (health !== null && health.status !== 'lost') return;
  const tables = capture.catalogue.tables.map(nameOf).join(', ');
  throw new UnshipError('capture-lost', {
    happened:
      health === null
        ? `slot ${capture.slot} is gone`
        : `slot ${capture.slot} needed more of the log than max_slot_wal_keep_size keeps`,
    done: `what was written since ${capture.dump} to ${tables} can't be read from the log; nothing was changed`,
  });
}
