import { UnshipError } from '../../domain/errors.ts';
import { type Archive, type ArchivedTable, newArchiveId } from './archive.ts';
import { type Catalogue, findTable, readCatalogue, type Table } from './catalogue.ts';
import type { Connection } from './connection.ts';
import { type Core, exactTexts, ownTexts } from './core.ts';
import { correspond } from './correspondence.ts';
import { type Back, giveBack, judge } from './give-back.ts';
import { recordChanges, type Snapshot, takeSnapshot } from './record.ts';
import { alters, likelyTouched, runScript, type Script } from './scripts.ts';
import { limits } from './session.ts';
import { fullXid, newestXid } from './transactions.ts';

/** More was changed than the text had told: the same again, with these tables kept as well. */
export class TouchedMore extends Error {
  readonly tables: ReadonlySet<string>;

  constructor(tables: ReadonlySet<string>) {
    super('more tables were changed than their snapshots were taken of');
    this.tables = tables;
  }
}

/** One migration in one direction, to be run inside the caller's transaction. */
export interface Transition {
  readonly script: Script;
  /** What the opposite direction overwrote when it ran last, to be given back. */
  readonly back: Back | null;
  /** By OID: tables that an attempt before has found to be changed. */
  readonly touched: ReadonlySet<string>;
}

export interface TransitionResult {
  readonly id: string;
  readonly own: Archive['own'];
  readonly tables: readonly ArchivedTable[];
  readonly archived: number;
  readonly givenBack: number;
  readonly keptEdits: number;
  readonly withheld: number;
}

interface Written {
  readonly oid: string;
  readonly changed: string;
}

/** What this transaction has written so far, as the server counts it: also through triggers, functions and cascades. */
async function writtenTables(connection: Connection): Promise<readonly Written[]> {
  const [setting] = await connection.rows<{ counts: string }>(
    `SELECT current_setting('track_counts') AS counts`,
  );
  const root = 'coalesce(pg_partition_root(relid), relid)::oid::text';
  // Where nothing is counted, a lock tells at least that something may have been written.
  return await connection.rows<Written & { [column: string]: unknown }>(
    setting?.counts === 'on'
      ? `SELECT ${root} AS oid, sum(n_tup_upd + n_tup_del) AS changed FROM pg_stat_xact_all_tables
         WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 GROUP BY 1`
      : `SELECT relation::oid::text AS oid, 1 AS changed FROM pg_locks
         WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode = 'RowExclusiveLock'`,
  );
}

/** What has changed in a way that needs the rows from before. */
function changedTables(
  before: Catalogue,
  after: Catalogue,
  written: readonly Written[],
): ReadonlySet<string> {
  const changed = new Set(written.filter((table) => Number(table.changed) > 0).map((table) => table.oid));
  for (const table of before.values()) {
    const now = after.get(table.oid);
    const numbers = new Set(now?.columns.map((column) => column.attnum));
    const drops = table.columns.some((column) => !column.generated && !numbers.has(column.attnum));
    if (now === undefined || drops || now.storage !== table.storage) changed.add(table.oid);
  }
  return new Set([...changed].filter((oid) => before.has(oid)));
}

/** Transactions of ours, savepoints' included, that have written rows of these tables. */
async function ownTransactions(
  connection: Connection,
  top: string,
  tables: readonly Table[],
  newest: string,
): Promise<readonly string[]> {
  const own = new Set([top]);
  for (const table of tables) {
    const xid = fullXid('t.xmin', newest);
    const rows = await connection.rows<{ xid: string }>(
      `SELECT xid::text FROM (SELECT DISTINCT ${xid} AS xid FROM ${table.from} AS t) AS all_xids
       WHERE CASE WHEN xid > ${top} THEN pg_xact_status(xid::text::xid8) = 'in progress' ELSE false END`,
    );
    for (const row of rows) own.add(row.xid);
  }
  return [...own];
}

async function currentXid(connection: Connection): Promise<string> {
  const [row] = await connection.rows<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
  return row?.xid ?? '0';
}

/** Waits for those who write these tables now, and keeps others from writing them until the end. */
async function lock(connection: Connection, script: Script, tables: readonly Table[]): Promise<void> {
  // At once what the statements will ask for: a lock that grows later meets readers that have begun to wait for us.
  for (const table of tables) {
    const mode = alters(script, table) ? 'ACCESS EXCLUSIVE' : 'SHARE ROW EXCLUSIVE';
    await connection.run(`LOCK TABLE ${table.sql} IN ${mode} MODE`);
  }
}

/**
 * Up and down are the same thing in opposite directions: remember the rows that can change, judge what is still to be
 * given back, run, give back, and record what is different now. Nothing is committed here.
 */
export async function runTransition(
  core: Core,
  connection: Connection,
  { script, back, touched }: Transition,
): Promise<TransitionResult> {
  const before = await readCatalogue(connection);
  const tables = tablesToKeep(before, script, back, touched);
  await lock(connection, script, tables);
  const id = await newArchiveId(connection);
  const top = await currentXid(connection);
  const newest = await newestXid(connection);
  await connection.run(exactTexts);
  const snapshots = new Map<string, Snapshot>();
  for (const [at, table] of tables.entries())
    snapshots.set(table.oid, await takeSnapshot(connection, table, Number(`${id}${at}`), newest));
  const judged = back === null ? [] : await judge(connection, before, back, `unship_judged_${id}`);
  await connection.run(ownTexts);
  await runScript(connection, script);
  await requireSameTransaction(connection, script, top);
  await connection.run(`${limits(core)}; ${exactTexts}`);
  const after = await readCatalogue(connection);
  const written = await writtenTables(connection);
  const missing = [...changedTables(before, after, written)].filter((oid) => !snapshots.has(oid));
  if (missing.length > 0) throw new TouchedMore(new Set([...touched, ...missing]));
  const given =
    back === null
      ? { givenBack: 0, keptEdits: 0, withheld: 0 }
      : await giveBack(connection, after, back, judged);
  const changes = correspond(before, after);
  const recorded = await recordChanges(connection, id, changes, snapshots, newest);
  const writes = new Set([...written.map(({ oid }) => oid), ...snapshots.keys()]);
  const kept = [...after.values()].filter((table) => writes.has(table.oid) || !before.has(table.oid));
  const own = await ownTransactions(connection, top, kept, newest);
  await connection.run(ownTexts);
  return { id, own, ...recorded, ...given };
}

function tablesToKeep(
  before: Catalogue,
  script: Script,
  back: Back | null,
  touched: ReadonlySet<string>,
): readonly Table[] {
  const wanted = new Set([...likelyTouched(script, before), ...touched]);
  for (const table of back?.archive.record.tables ?? []) {
    const now = table.after;
    const live = now === null || table.rows === null ? undefined : findTable(before, now.schema, now.name);
    if (live !== undefined) wanted.add(live.oid);
  }
  return [...before.values()].filter((table) => wanted.has(table.oid));
}

/** A COMMIT that a text hides from us would have ended what everything here rests on. */
async function requireSameTransaction(connection: Connection, { file }: Script, top: string): Promise<void> {
  const [row] = await connection.rows<{ xid: string | null }>(
    'SELECT pg_current_xact_id_if_assigned()::text AS xid',
  );
  if (row?.xid === top) return;
  throw new UnshipError('migration-failed', {
    happened: `${file} ended the transaction that it ran in`,
    done: 'what it had done by then has stayed',
    next: 'take the COMMIT out of the migration, and see with unship plan what is there now',
  });
}
