import type { DatabaseSync } from 'node:sqlite';
import type { DataAtRisk, TableRisk } from '../../domain/facts.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { Archive, ArchivedTable } from './archive.ts';
import { attach, numberOf } from './connection.ts';
import { rowidEpoch } from './fence.ts';
import { qualified, quoteName } from './names.ts';
import { defaultValue, differs, numbered, sameKey, sameKeyInScratch, scratch } from './rows.ts';
import {
  findTable,
  ordinaryTables,
  type RowKey,
  readSchema,
  rowKey,
  type Schema,
  storedColumns,
  type Table,
} from './schema.ts';

const backupSchema = '_unship_backup';

/** What a table should hold now if nobody but the migrations had written since the backup. */
interface Expected {
  /** A table; its rows are called `e` wherever expressions over them stand. */
  readonly source: string;
  /** Columns of `source` that hold the key, and those of the live table; null when rows can't be recognised. */
  readonly keys: readonly string[];
  readonly liveKeys: RowKey | null;
  /** By name in the live table: an expression over `e`. */
  readonly columns: ReadonlyMap<string, string>;
  /** Expression: the application had changed the row before a migration rewrote it. */
  readonly edited: string;
}

function fromBackup(database: DatabaseSync, table: Table, sameEpoch: boolean): Expected {
  const key = rowKey(database, table, backupSchema);
  return {
    source: qualified(backupSchema, table.name),
    keys: key?.columns ?? [],
    liveKeys: key?.rowid === true && !sameEpoch ? null : key,
    columns: new Map(storedColumns(table).map((column) => [column.name, `e.${quoteName(column.name)}`])),
    edited: '0',
  };
}

/** Only names and shape have changed: columns under their new names, added ones with their default. */
function reshaped(expected: Expected, table: ArchivedTable): Expected {
  const names = new Map(table.mapped);
  const columns = [...expected.columns].flatMap(([live, value]): [string, string][] => {
    const now = names.get(live);
    return now === undefined ? [] : [[now, value]];
  });
  for (const column of table.added) columns.push([column.name, defaultValue(column)]);
  const liveKeys =
    expected.liveKeys === null || expected.liveKeys.rowid
      ? expected.liveKeys
      : { rowid: false, columns: expected.liveKeys.columns.map((column) => names.get(column) ?? '') };
  return { ...expected, columns: new Map(columns), liveKeys: table.unmatched === null ? liveKeys : null };
}

function liveKeysOf(table: ArchivedTable): RowKey | null {
  return table.key === null ? null : { columns: table.key.after, rowid: table.key.rowid };
}

function indexKeys(database: DatabaseSync, target: string, keys: readonly string[]): void {
  if (keys.length === 0) return;
  const bare = target.slice(scratch.length + 1);
  database.exec(`CREATE INDEX ${scratch}.${bare}_key ON ${bare} (${keys.join(', ')})`);
}

/** The migration's recorded effect on one table's expected rows, as a new table in scratch space. */
function applyRecorded(
  database: DatabaseSync,
  expected: Expected,
  table: ArchivedTable,
  target: string,
): Expected {
  const keys = numbered('k', expected.keys.length);
  const recorded = `${target}_recorded`;
  database.exec(`CREATE TABLE ${recorded} AS SELECT * FROM _unship_archive.rows_${table.rows}`);
  indexKeys(database, recorded, keys);
  const mapped = table.mapped.map(([before], at) => ({
    value: expected.columns.get(before) ?? 'NULL',
    isChanged: `substr(r.m, ${at + 1}, 1) = '1'`,
    before: `r.b${at}`,
    after: `r.a${at}`,
  }));
  const values = mapped.map(
    ({ value, isChanged, after }) => `CASE WHEN ${isChanged} THEN ${after} ELSE ${value} END`,
  );
  const added = table.added.map(
    (column, at) => `CASE WHEN r.d IS NULL THEN ${defaultValue(column)} ELSE r.x${at} END`,
  );
  const edits = mapped.map(
    ({ value, isChanged, before }) => `coalesce(${isChanged} AND ${differs(before, value)}, 0)`,
  );
  const columns = numbered('c', values.length + added.length);
  const selected = [
    ...expected.keys.map((key) => `e.${quoteName(key)}`),
    ...values,
    ...added,
    [expected.edited, ...edits].join(' OR '),
  ];
  const made = [...keys, ...numbered('a', mapped.length), ...numbered('x', added.length)].map(
    (name) => `r.${name}`,
  );
  database.exec(
    `CREATE TABLE ${target} (${[...keys, ...columns, 'edited'].join(', ')});
     INSERT INTO ${target} SELECT ${selected.join(', ')} FROM ${expected.source} AS e
       LEFT JOIN ${recorded} AS r ON ${sameKeyInScratch('r', keys, 'e', expected.keys)}
       WHERE r.d IS NULL OR r.d IN (0, 1);
     INSERT INTO ${target} SELECT ${[...made, '0'].join(', ')} FROM ${recorded} AS r WHERE r.d = 3;`,
  );
  indexKeys(database, target, keys);
  const names = [...table.mapped.map(([, after]) => after), ...table.added.map((column) => column.name)];
  return {
    source: target,
    keys,
    liveKeys: expected.liveKeys === null ? null : liveKeysOf(table),
    columns: new Map(names.map((name, at) => [name, `e.c${at}`])),
    edited: 'e.edited',
  };
}

/** A table the migration made: its own rows are what is expected. */
function fromMigration(database: DatabaseSync, table: ArchivedTable, target: string): Expected {
  const keys = numbered('k', table.key?.after.length ?? 0);
  const selected = [...keys, ...numbered('x', table.added.length)];
  const from = `_unship_archive.rows_${table.rows} WHERE d = 3`;
  database.exec(`CREATE TABLE ${target} AS SELECT ${selected.join(', ')} FROM ${from}`);
  indexKeys(database, target, keys);
  return {
    source: target,
    keys,
    liveKeys: liveKeysOf(table),
    columns: new Map(table.added.map((column, at) => [column.name, `e.x${at}`])),
    edited: '0',
  };
}

/** Follows every table of the backup through the migrations since; by name at the end. */
function expectedNow(
  database: DatabaseSync,
  start: ReadonlyMap<string, Expected>,
  archives: readonly Archive[],
): ReadonlyMap<string, Expected> {
  let current = start;
  for (const [step, { file, record }] of archives.entries()) {
    attach(database, file, '_unship_archive', 'read');
    const next = new Map<string, Expected>();
    for (const [at, table] of record.tables.entries()) {
      if (table.after === null) continue;
      const target = `${scratch}.expected_${step}_${at}`;
      const before = table.before === null ? undefined : current.get(table.before);
      const recorded = table.rows !== null && table.unmatched === null;
      if (table.before === null && recorded) next.set(table.after, fromMigration(database, table, target));
      if (before === undefined) continue;
      const usable = recorded && before.keys.length > 0;
      next.set(
        table.after,
        usable ? applyRecorded(database, before, table, target) : reshaped(before, table),
      );
    }
    current = next;
    database.exec('DETACH _unship_archive');
  }
  return current;
}

interface Counts {
  /** Rows made or changed by the application since. */
  readonly written: number;
  /** Rows the application has deleted since. */
  readonly deleted: number;
  readonly exact: boolean;
}

function compare(database: DatabaseSync, live: Table, expected: Expected | undefined): Counts {
  const name = qualified('main', live.name);
  const all = numberOf(database, `SELECT count(*) FROM ${name}`);
  if (expected === undefined) return { written: all, deleted: 0, exact: true };
  const names = new Set(storedColumns(live).map((column) => column.name));
  const { keys, liveKeys, source } = expected;
  const pairs = [...expected.columns].filter(([column]) => names.has(column));
  const known =
    liveKeys !== null &&
    keys.length > 0 &&
    (liveKeys.rowid || liveKeys.columns.every((key) => names.has(key)));
  if (!known) return compareWhole(database, name, source, pairs, all);
  const inLive = sameKey('l', liveKeys.columns, 'e', keys);
  const inExpected = source.startsWith(scratch)
    ? sameKeyInScratch('e', keys, 'l', liveKeys.columns)
    : sameKey('e', keys, 'l', liveKeys.columns);
  const edits = [
    expected.edited,
    ...pairs.map(([column, value]) => differs(value, `l.${quoteName(column)}`)),
  ].join(' OR ');
  const count = (sql: string): number => numberOf(database, `SELECT count(*) FROM ${sql}`);
  const changed = count(`${source} AS e JOIN ${name} AS l ON ${inLive} WHERE ${edits}`);
  const made = count(`${name} AS l WHERE NOT EXISTS (SELECT 1 FROM ${source} AS e WHERE ${inExpected})`);
  const deleted = count(`${source} AS e WHERE NOT EXISTS (SELECT 1 FROM ${name} AS l WHERE ${inLive})`);
  return { written: changed + made, deleted, exact: true };
}

/** Without a key, rows that are equal in what both sides have count as the same. */
function compareWhole(
  database: DatabaseSync,
  live: string,
  source: string,
  pairs: readonly (readonly [column: string, value: string])[],
  all: number,
): Counts {
  if (pairs.length === 0) return { written: all, deleted: 0, exact: false };
  const now = `SELECT ${pairs.map(([column]) => `+l.${quoteName(column)}`).join(', ')} FROM ${live} AS l`;
  const then = `SELECT ${pairs.map(([, value]) => `+${value}`).join(', ')} FROM ${source} AS e`;
  const count = (a: string, b: string): number =>
    numberOf(database, `SELECT count(*) FROM (${a} EXCEPT ${b})`);
  return { written: count(now, then), deleted: count(then, now), exact: false };
}

function riskOf(table: string, total: number, counts: Counts): TableRisk {
  const returning = counts.deleted === 0 ? {} : { returning: counts.deleted };
  return {
    table,
    kept: total - counts.written,
    archived: 0,
    lost: counts.written,
    editedSince: 0,
    ...returning,
  };
}

function droppedBy(live: Schema, backup: Schema): readonly string[] {
  return ordinaryTables(live).flatMap((table) => {
    const then = findTable(backup, table.name);
    if (then === undefined) return [table.name];
    const names = new Set(then.columns.map((column) => column.name));
    return storedColumns(table)
      .filter((column) => !names.has(column.name))
      .map((column) => `${table.name}.${column.name}`);
  });
}

/**
 * Rows that putting `file`'s content into the live database would lose: made or changed by the application since
 * the backup. What the migrations themselves did is recorded in `archives` (oldest first) and not counted; null
 * when one of them was not recorded, which makes the count an upper bound that is not exact.
 *
 * @param database a connection to the live file with scratch space attached, inside no transaction
 */
export function countRestoreLoss(
  context: LookContext,
  database: DatabaseSync,
  file: string,
  archives: readonly Archive[] | null,
): DataAtRisk {
  attach(database, file, backupSchema, 'read');
  try {
    const live = readSchema(database);
    const backup = readSchema(database, backupSchema);
    const epoch = rowidEpoch(database);
    const sameEpoch = epoch !== null && epoch === rowidEpoch(database, backupSchema);
    const start = new Map(
      ordinaryTables(backup).map((table) => [table.name, fromBackup(database, table, sameEpoch)]),
    );
    const expected = expectedNow(database, start, archives ?? []);
    let exact = archives !== null;
    const tables: TableRisk[] = [];
    for (const table of ordinaryTables(live)) {
      context.signal.throwIfAborted();
      const counts = compare(database, table, expected.get(table.name));
      exact &&= counts.exact;
      const total = numberOf(database, `SELECT count(*) FROM ${qualified('main', table.name)}`);
      tables.push(riskOf(table.name, total, counts));
    }
    return { tables, dropped: droppedBy(live, backup), exact };
  } finally {
    database.exec(`DETACH ${backupSchema}`);
  }
}
