import type { DatabaseSync } from 'node:sqlite';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { ArchivedKey, ArchivedTable } from './archive.ts';
import { breathe, numberOf } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import { qualified, quoteName } from './names.ts';
import { copyRows, differs, numbered, sameKey, sameKeyInScratch, scratch } from './rows.ts';
import { findTable, type RowKey, rowKey, type Schema, type Table } from './schema.ts';

/** A table's rows as they were before the statements ran, in scratch space. */
export interface Snapshot {
  readonly change: TableChange;
  readonly at: number;
  readonly key: RowKey | null;
  readonly sequence: number | null;
}

function sequenceOf(database: DatabaseSync, table: Table): number | null {
  if (!/\bautoincrement\b/i.test(table.sql)) return null;
  return numberOf(database, 'SELECT seq FROM main.sqlite_sequence WHERE name = ?', table.name);
}

function columnsBefore(change: TableChange): readonly string[] {
  return [...change.mapped.map(([before]) => before), ...change.dropped];
}

/** Copies every row of the tables that the statements may change. */
export async function takeSnapshots(
  context: LookContext,
  database: DatabaseSync,
  schema: Schema,
  changes: readonly TableChange[],
): Promise<readonly Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const [at, change] of changes.entries()) {
    const table = change.before === null ? undefined : findTable(schema, change.before);
    if (table === undefined) {
      snapshots.push({ change, at, key: null, sequence: null });
      continue;
    }
    const key = rowKey(database, table);
    const keys = key?.columns ?? [];
    const values = columnsBefore(change);
    const target = `${scratch}.before_${at}`;
    const names = [...numbered('k', keys.length), ...numbered('b', values.length)];
    const read = [...keys, ...values].map((name) => quoteName(name));
    database.exec(`CREATE TABLE ${target} (${names.join(', ')})`);
    database.exec(`INSERT INTO ${target} SELECT ${read.join(', ')} FROM ${qualified('main', table.name)}`);
    if (keys.length > 0) {
      database.exec(
        `CREATE INDEX ${scratch}.before_${at}_key ON before_${at} (${numbered('k', keys.length).join(', ')})`,
      );
    }
    snapshots.push({ change, at, key, sequence: sequenceOf(database, table) });
    await breathe(context);
  }
  return snapshots;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}

/** The key on both sides, or why rows can't be recognised. */
function matchKeys(database: DatabaseSync, snapshot: Snapshot, after: Table): ArchivedKey | string {
  const { change, key } = snapshot;
  const afterKey = rowKey(database, after);
  if (key === null || afterKey === null) return `${after.name} has no key to recognise its rows by`;
  if (key.rowid !== afterKey.rowid) return `the key of ${after.name} is another one afterwards`;
  if (key.rowid && change.rebuilt) return `${after.name} has no primary key and was rebuilt`;
  if (key.rowid) return { before: key.columns, after: afterKey.columns, rowid: true };
  const names = new Map(change.mapped);
  const mapped = key.columns.map((column) => names.get(column) ?? '');
  if (!sameSet(mapped, afterKey.columns)) return `the key of ${after.name} is another one afterwards`;
  return { before: key.columns, after: mapped, rowid: false };
}

/** Columns of `rows_N`; see ArchivedTable. */
export function rowColumns(keys: number, change: TableChange): readonly string[] {
  return [
    ...numbered('k', keys),
    'd',
    'm',
    ...numbered('b', change.mapped.length + change.dropped.length),
    ...numbered('a', change.mapped.length),
    ...numbered('x', change.added.length),
  ];
}

interface RowSelect {
  readonly expressions: readonly string[];
  readonly from: string;
}

function nulls(count: number): readonly string[] {
  return Array.from({ length: count }, () => 'NULL');
}

/** Rows on both sides that differ, or whose shape does. `p` is before, `t` after. */
function selectChanged(snapshot: Snapshot, table: Table, key: ArchivedKey): RowSelect {
  const { change, at } = snapshot;
  const keys = numbered('k', key.before.length);
  const values = change.mapped.map(([, after], index) => ({ p: `p.b${index}`, t: `t.${quoteName(after)}` }));
  const changed = values.map(({ p, t }) => differs(p, t));
  const digits = changed.map((test) => `(CASE WHEN ${test} THEN '1' ELSE '0' END)`);
  const dropped = change.dropped.map((_, index) => `p.b${change.mapped.length + index}`);
  const added = change.added.map((column) => `t.${quoteName(column.name)}`);
  const filled = change.added.map(
    (column) => `t.${quoteName(column.name)} IS NOT (${column.default ?? 'NULL'})`,
  );
  const any = changed.length === 0 ? 'FALSE' : changed.join(' OR ');
  const wanted = change.dropped.length > 0 ? 'TRUE' : [any, ...filled].join(' OR ');
  return {
    expressions: [
      ...keys.map((name) => `p.${name}`),
      `CASE WHEN ${any} THEN 1 ELSE 0 END`,
      digits.length === 0 ? "''" : digits.join(' || '),
      ...values.map(({ p, t }) => `(CASE WHEN ${differs(p, t)} THEN ${p} END)`),
      ...dropped,
      ...values.map(({ p, t }) => `(CASE WHEN ${differs(p, t)} THEN ${t} END)`),
      ...added,
    ],
    from: `${scratch}.before_${at} AS p JOIN ${qualified('main', table.name)} AS t
      ON ${sameKey('t', key.after, 'p', keys)} WHERE ${wanted}`,
  };
}

/** Rows that are there only before; all of them when the table is gone or can't be matched. */
function selectGone(snapshot: Snapshot, keys: number, fate: 2 | 4, where: string): RowSelect {
  const { change, at } = snapshot;
  return {
    expressions: [
      ...numbered('k', keys).map((name) => `p.${name}`),
      String(fate),
      "''",
      ...numbered('b', change.mapped.length + change.dropped.length).map((name) => `p.${name}`),
      ...nulls(change.mapped.length + change.added.length),
    ],
    from: `${scratch}.before_${at} AS p WHERE ${where}`,
  };
}

/** Rows that are there only after: the migration's own. */
function selectMade(change: TableChange, table: Table, keys: readonly string[], where: string): RowSelect {
  return {
    expressions: [
      ...keys.map((name) => `t.${quoteName(name)}`),
      '3',
      "''",
      ...nulls(change.mapped.length + change.dropped.length),
      ...change.mapped.map(([, after]) => `t.${quoteName(after)}`),
      ...change.added.map((column) => `t.${quoteName(column.name)}`),
    ],
    from: `${qualified('main', table.name)} AS t WHERE ${where}`,
  };
}

function selectsFor(
  database: DatabaseSync,
  snapshot: Snapshot,
  table: Table | undefined,
): {
  readonly key: ArchivedKey | null;
  readonly unmatched: string | null;
  readonly selects: readonly RowSelect[];
} {
  const { change, key, at } = snapshot;
  const beforeKeys = key?.columns ?? [];
  if (table === undefined) {
    const archived = key === null ? null : { before: key.columns, after: [], rowid: key.rowid };
    return { key: archived, unmatched: null, selects: [selectGone(snapshot, beforeKeys.length, 2, 'TRUE')] };
  }
  if (change.before === null) {
    const made = rowKey(database, table);
    const archived = made === null ? null : { before: [], after: made.columns, rowid: made.rowid };
    return {
      key: archived,
      unmatched: null,
      selects: [selectMade(change, table, made?.columns ?? [], 'TRUE')],
    };
  }
  const matched = matchKeys(database, snapshot, table);
  if (typeof matched === 'string') {
    const archived = key === null ? null : { before: key.columns, after: [], rowid: key.rowid };
    return {
      key: archived,
      unmatched: matched,
      selects: [selectGone(snapshot, beforeKeys.length, 4, 'TRUE')],
    };
  }
  const keys = numbered('k', matched.before.length);
  const live = qualified('main', table.name);
  const gone = `NOT EXISTS (SELECT 1 FROM ${live} AS t WHERE ${sameKey('t', matched.after, 'p', keys)})`;
  const made = `NOT EXISTS (SELECT 1 FROM ${scratch}.before_${at} AS p WHERE ${sameKeyInScratch('p', keys, 't', matched.after)})`;
  return {
    key: matched,
    unmatched: null,
    selects: [
      selectChanged(snapshot, table, matched),
      selectGone(snapshot, keys.length, 2, gone),
      selectMade(change, table, matched.after, made),
    ],
  };
}

/**
 * Writes into the archive what the statements did to each table's rows, read inside their own transaction.
 * Returns the tables as the archive's record holds them, those without recorded rows included.
 */
export async function recordChanges(
  context: LookContext,
  database: DatabaseSync,
  after: Schema,
  snapshots: readonly Snapshot[],
  all: readonly TableChange[],
  archive: DatabaseSync,
): Promise<{ readonly tables: readonly ArchivedTable[]; readonly archived: number }> {
  const tables: ArchivedTable[] = [];
  let archived = 0;
  for (const snapshot of snapshots) {
    const { change, at, sequence } = snapshot;
    const table = change.after === null ? undefined : findTable(after, change.after);
    const { key, unmatched, selects } = selectsFor(database, snapshot, table);
    const keyCount = Math.max(key?.before.length ?? 0, key?.after.length ?? 0);
    const columns = rowColumns(keyCount, change);
    const found = `${scratch}.rows_${at}`;
    // Found out in one connection at SQL's speed, and only the result is carried over to the other.
    database.exec(`CREATE TABLE ${found} (${columns.join(', ')})`);
    for (const select of selects) {
      database.exec(`INSERT INTO ${found} SELECT ${select.expressions.join(', ')} FROM ${select.from}`);
      await breathe(context);
    }
    archive.exec(`CREATE TABLE rows_${at} (${columns.join(', ')})`);
    await copyRows(context, database, found, archive, `rows_${at}`, columns);
    database.exec(`DROP TABLE ${found}`);
    tables.push({ ...change, rows: at, key, sequence, unmatched });
    archived += countArchived(archive, change, at);
    if (change.before !== null) database.exec(`DROP TABLE ${scratch}.before_${at}`);
  }
  const recorded = new Set(snapshots.map((snapshot) => snapshot.change));
  for (const change of all) {
    if (!recorded.has(change))
      tables.push({ ...change, rows: null, key: null, sequence: null, unmatched: null });
  }
  return { tables, archived };
}

/** Rows that held a value in a column or table that is gone now. */
function countArchived(archive: DatabaseSync, change: TableChange, at: number): number {
  if (change.after === null) return numberOf(archive, `SELECT count(*) FROM rows_${at}`);
  if (change.dropped.length === 0) return 0;
  const held = change.dropped.map((_, index) => `b${change.mapped.length + index} IS NOT NULL`).join(' OR ');
  return numberOf(archive, `SELECT count(*) FROM rows_${at} WHERE d IN (0, 1) AND (${held})`);
}
