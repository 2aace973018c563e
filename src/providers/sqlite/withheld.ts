import type { DatabaseSync } from 'node:sqlite';
import type { Archive, ArchivedTable } from './archive.ts';
import { numberOf } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import type { DryRun } from './dry-run.ts';
import { canReturn, carriedFrom, keyNames } from './loaded-archive.ts';
import { qualified } from './names.ts';
import { sameKey } from './rows.ts';
import { findTable, storedColumns, type Table } from './schema.ts';

/** Rows of an archive that hold something overwritten, deleted or dropped. */
export function countRecorded(database: DatabaseSync, rows: string, table: ArchivedTable): number {
  const held = table.dropped.map((_, at) => `g.b${table.mapped.length + at} IS NOT NULL`);
  const dropped = held.length === 0 ? 'FALSE' : held.join(' OR ');
  return numberOf(
    database,
    `SELECT count(*) FROM ${rows} AS g WHERE g.d IN (1, 2, 4) OR (g.d = 0 AND (${dropped}))`,
  );
}

/** Recorded values whose column is not there after the way back. */
export function countHomeless(
  database: DatabaseSync,
  rows: string,
  table: ArchivedTable,
  live: Table,
): number {
  const names = new Set(storedColumns(live).map((column) => column.name));
  const conditions = [
    ...table.mapped.flatMap(([before], at) =>
      names.has(before) ? [] : [`g.d = 1 AND substr(g.m, ${at + 1}, 1) = '1'`],
    ),
    ...table.dropped.flatMap((column, at) =>
      names.has(column) ? [] : [`g.d IN (0, 1) AND g.b${table.mapped.length + at} IS NOT NULL`],
    ),
  ];
  if (conditions.length === 0) return 0;
  const counts = conditions.map((condition) => `count(CASE WHEN ${condition} THEN 1 END)`);
  return numberOf(database, `SELECT ${counts.join(' + ')} FROM ${rows} AS g`);
}

/** Deleted rows that will not come back: their key was given away, or they may have been moved and deleted. */
function countDeleted(
  database: DatabaseSync,
  run: DryRun,
  rows: string,
  table: ArchivedTable,
  carried: readonly string[],
): { readonly rows: number; readonly exact: boolean } {
  const before = table.key?.before ?? [];
  const keys = keyNames(table);
  if (carried.length === 0) {
    const live = table.after === null ? undefined : findTable(run.before, table.after);
    const after = table.key?.after ?? [];
    const names = new Set(live?.columns.map((column) => column.name));
    const canBeTaken = table.key?.rowid === false && after.every((column) => names.has(column));
    if (live === undefined || after.length === 0 || !canBeTaken) return { rows: 0, exact: true };
    const taken = `EXISTS (SELECT 1 FROM ${qualified('main', live.name)} AS t WHERE ${sameKey('t', after, 'g', keys)})`;
    return {
      rows: numberOf(database, `SELECT count(*) FROM ${rows} AS g WHERE g.d = 2 AND ${taken}`),
      exact: true,
    };
  }
  const sources = carried.flatMap((name) => findTable(run.before, name) ?? []);
  const hasKey = (source: Table): boolean =>
    before.length > 0 && before.every((key) => source.columns.some((column) => column.name === key));
  const comparable = table.key?.rowid === false ? sources.filter(hasKey) : [];
  if (comparable.length < sources.length || comparable.length === 0) return { rows: 0, exact: false };
  const absent = comparable.map(
    (source) =>
      `NOT EXISTS (SELECT 1 FROM ${qualified('main', source.name)} AS t WHERE ${sameKey('t', before, 'g', keys)})`,
  );
  return {
    rows: numberOf(database, `SELECT count(*) FROM ${rows} AS g WHERE g.d = 2 AND ${absent.join(' AND ')}`),
    exact: true,
  };
}

export interface Withheld {
  /** By the table's name now, or its name before when the migration dropped it. */
  readonly tables: ReadonlyMap<string, number>;
  readonly exact: boolean;
}

/**
 * What an archive holds and the way back will not give back, told from the structure and keys before it runs.
 * The archive is attached as `_unship_archive`.
 */
export function countWithheld(
  database: DatabaseSync,
  run: DryRun,
  { record }: Archive,
  changes: readonly TableChange[],
  epoch: string | null,
): Withheld {
  const tables = new Map<string, number>();
  let exact = true;
  for (const table of record.tables) {
    if (table.rows === null || table.before === null) continue;
    const rows = `_unship_archive.rows_${table.rows}`;
    const after = findTable(run.after, table.before);
    const change = changes.find((candidate) => candidate.after === after?.name);
    const name = table.after ?? table.before;
    if (after === undefined || !canReturn(record, table, after, change, epoch)) {
      tables.set(name, countRecorded(database, rows, table));
      continue;
    }
    const deleted = countDeleted(database, run, rows, table, carriedFrom(record, table, change));
    exact &&= deleted.exact;
    tables.set(name, deleted.rows + countHomeless(database, rows, table, after));
  }
  return { tables, exact };
}
