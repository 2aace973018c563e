import type { ArchivedTable, TableName } from './archive.ts';
import type { Table } from './catalogue.ts';
import { type Connection, identifier, literal } from './connection.ts';
import { keyOf, type TableChange } from './correspondence.ts';
import { ownSchema } from './names.ts';
import { fullXid } from './transactions.ts';

/** A table's rows as they were before the statements ran, in a table that goes with the transaction. */
export interface Snapshot {
  readonly name: string;
  readonly table: Table;
  /** Places of stored columns in `b`. */
  readonly columns: readonly string[];
  readonly sequences: readonly (readonly [column: string, last: string])[];
}

export function texts(alias: string, columns: readonly string[]): string {
  return `ARRAY[${columns.map((column) => `${alias}.${identifier(column)}::text`).join(', ')}]::text[]`;
}

/** Copies every row of a table that the statements may change. */
export async function takeSnapshot(
  connection: Connection,
  table: Table,
  at: number,
  newest: string,
): Promise<Snapshot> {
  const name = `unship_before_${at}`;
  const columns = table.columns.filter((column) => !column.generated).map((column) => column.name);
  await connection.run(
    `CREATE TEMP TABLE ${name} ON COMMIT DROP AS
     SELECT ${texts('t', table.key)} AS k, ${fullXid('t.xmin', newest)} AS v, ${texts('t', columns)} AS b FROM ${table.from} AS t;
     ANALYZE ${name}`,
  );
  const sequences: (readonly [string, string])[] = [];
  for (const [column, sequence] of table.sequences) {
    const [row] = await connection.rows<{ last: string | null }>(
      'SELECT pg_sequence_last_value($1::regclass)::text AS last',
      [sequence],
    );
    if (row?.last != null) sequences.push([column, row.last]);
  }
  return { name, table, columns, sequences };
}

function nameOf(table: Table | null): TableName | null {
  return table === null ? null : { schema: table.schema, name: table.name, label: table.label };
}

export function archivedTable(
  change: TableChange,
  snapshot: Snapshot | undefined,
  rows: string | null,
): ArchivedTable {
  const key = keyOf(change);
  const names = new Map(change.mapped);
  const keyBefore = typeof key === 'string' ? [] : change.before === null ? [] : key;
  return {
    before: nameOf(change.before),
    after: nameOf(change.after),
    mapped: change.mapped,
    dropped: change.dropped,
    added: change.added.map((column) => column.name),
    rebuilt: change.rebuilt,
    rows,
    keyBefore,
    keyAfter:
      change.before === null
        ? (change.after?.key ?? [])
        : keyBefore.flatMap((column) => names.get(column) ?? []),
    sequences: snapshot?.sequences ?? [],
    unmatched: typeof key === 'string' && change.after !== null ? key : null,
  };
}

/** Values before, mapped columns then dropped ones, out of a snapshot `p`. */
function before(change: TableChange, snapshot: Snapshot): { mapped: string[]; dropped: string[] } {
  const place = new Map(snapshot.columns.map((column, at) => [column, at + 1]));
  const value = (column: string): string => `p.b[${place.get(column)}]`;
  return {
    mapped: change.mapped.map(([column]) => value(column)),
    dropped: change.dropped.map(value),
  };
}

function array(values: readonly string[]): string {
  return `ARRAY[${values.join(', ')}]::text[]`;
}

function nulls(count: number): readonly string[] {
  return Array.from({ length: count }, () => 'NULL');
}

/** Rows that are there only before; all of them where they can't be matched. */
function selectGone(change: TableChange, snapshot: Snapshot, fate: 2 | 4, where: string): string {
  const { mapped, dropped } = before(change, snapshot);
  const after = `${array(nulls(mapped.length))}, ${array(nulls(change.added.length))}`;
  return `SELECT p.k, p.v, ${fate}, '', ${array([...mapped, ...dropped])}, ${after} FROM ${snapshot.name} AS p WHERE ${where}`;
}

/** Rows on both sides that differ, that were written anew, or whose shape is another one. */
function selectChanged(change: TableChange, snapshot: Snapshot, now: string, newest: string): string {
  const { mapped, dropped } = before(change, snapshot);
  const differs = mapped.map((value, at) => `${value} IS DISTINCT FROM n.a[${at + 1}]`);
  const digits = differs.map((test) => `CASE WHEN ${test} THEN '1' ELSE '0' END`);
  const any = differs.length === 0 ? 'false' : `(${differs.join(' OR ')})`;
  const filled = change.added.map(
    ({ missing }, at) =>
      `n.x[${at + 1}] IS DISTINCT FROM ${missing === null ? 'NULL::text' : literal(missing)}`,
  );
  const wanted =
    change.dropped.length > 0 ? 'true' : [any, ...filled, `${fullXid('n.xmin', newest)} <> p.v`].join(' OR ');
  const kept = mapped.map((value, at) => `CASE WHEN ${differs[at]} THEN ${value} END`);
  const made = differs.map((test, at) => `CASE WHEN ${test} THEN n.a[${at + 1}] END`);
  return `SELECT p.k, p.v, CASE WHEN ${any} THEN 1 ELSE 0 END, ${digits.length === 0 ? "''" : digits.join(' || ')},
    ${array([...kept, ...dropped])}, ${array(made)}, n.x FROM ${snapshot.name} AS p JOIN ${now} AS n ON n.k = p.k WHERE ${wanted}`;
}

/** The rows of a table as it is now: key, mapped columns, added columns. */
function rowsNow(change: TableChange, table: Table, key: readonly string[]): string {
  const mapped = change.mapped.map(([, after]) => after);
  const added = change.added.map((column) => column.name);
  return `(SELECT ${texts('t', key)} AS k, ${texts('t', mapped)} AS a, ${texts('t', added)} AS x, t.xmin FROM ${table.from} AS t)`;
}

function selects(
  change: TableChange,
  snapshot: Snapshot | undefined,
  archived: ArchivedTable,
  newest: string,
): readonly string[] {
  const { after } = change;
  if (snapshot === undefined) return [];
  if (after === null) return [selectGone(change, snapshot, 2, 'true')];
  if (archived.unmatched !== null) return [selectGone(change, snapshot, 4, 'true')];
  const now = rowsNow(change, after, archived.keyAfter);
  const gone = `NOT EXISTS (SELECT 1 FROM ${now} AS n WHERE n.k = p.k)`;
  const nothing = array(nulls(change.mapped.length + change.dropped.length));
  return [
    selectChanged(change, snapshot, now, newest),
    selectGone(change, snapshot, 2, gone),
    `SELECT n.k, NULL::bigint, 3, '', ${nothing}, n.a, n.x FROM ${now} AS n
     WHERE NOT EXISTS (SELECT 1 FROM ${snapshot.name} AS p WHERE p.k = n.k)`,
  ];
}

/** Rows that held a value in a column or table that is gone now. */
async function countArchived(connection: Connection, change: TableChange, rows: string): Promise<number> {
  if (change.before === null || (change.after !== null && change.dropped.length === 0)) return 0;
  const held = change.dropped.map((_, at) => `b[${change.mapped.length + at + 1}] IS NOT NULL`).join(' OR ');
  const where = change.after === null ? 'true' : `d IN (0, 1) AND (${held})`;
  const [row] = await connection.rows<{ n: string }>(`SELECT count(*) AS n FROM ${rows} WHERE ${where}`);
  return Number(row?.n ?? 0);
}

/** Writes into the archive what the statements did to each table's rows, read inside their own transaction. */
export async function recordChanges(
  connection: Connection,
  id: string,
  changes: readonly TableChange[],
  snapshots: ReadonlyMap<string, Snapshot>,
  newest: string,
): Promise<{ readonly tables: readonly ArchivedTable[]; readonly archived: number }> {
  const tables: ArchivedTable[] = [];
  let archived = 0;
  for (const [at, change] of changes.entries()) {
    const snapshot = change.before === null ? undefined : snapshots.get(change.before.oid);
    const rows = snapshot === undefined ? null : `a${id}_${at}`;
    const table = archivedTable(change, snapshot, rows);
    tables.push(table);
    if (rows === null) continue;
    const target = `${ownSchema}.${rows}`;
    await connection.run(
      `CREATE TABLE ${target} (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text[], v bigint, d smallint NOT NULL, m text NOT NULL, b text[], a text[], x text[])`,
    );
    for (const select of selects(change, snapshot, table, newest))
      await connection.run(`INSERT INTO ${target} (k, v, d, m, b, a, x) ${select}`);
    archived += await countArchived(connection, change, target);
  }
  return { tables, archived };
}
