import type { Value } from '../pgoutput.ts';
import type { Net, RowChange } from './changes.ts';
import type { TargetColumn, TargetTable } from './target.ts';

/** A statement, and the changes whose numbers it returns. */
export interface Statement {
  readonly sql: string;
  readonly kind: 'insert' | 'update' | 'delete';
  readonly nets: readonly Net[];
  /** Places of the columns that it writes. */
  readonly columns: readonly number[];
}

/** What an update returns for a row that it changed. */
export interface Updated {
  readonly n: number;
  /** The values that were there, if they are not the old ones of the change: the migration had rewritten them. */
  readonly before: readonly (string | null)[] | null;
}

/** Rows in one statement: beyond that a longer one is no faster. */
const rowsAtOnce = 1_000;

/** What stands in for a required column without a default that the application no longer knows, by `schema.table.column`. */
export type Fills = { readonly [column: string]: string };

function textLiteral(value: string): string {
  return value.includes("'") ? `'${value.replaceAll("'", "''")}'` : `'${value}'`;
}

function valueLiteral(value: string | null): string {
  return value === null ? 'NULL' : textLiteral(value);
}

function column(table: TargetTable, place: number): TargetColumn {
  const found = table.columns[place];
  if (found === undefined) throw new Error(`${table.sql} has no column at ${place}`);
  return found;
}

/** Fewest statements that bring a table from before these changes to after them: deletes make room first. */
export function statementsFor(
  table: TargetTable,
  key: readonly number[],
  nets: readonly Net[],
  fills: Fills,
): readonly Statement[] {
  const removed = nets.filter(({ kind, deletes }) => kind === 'delete' || deletes);
  const updates = new Map<string, Net[]>();
  for (const net of nets) {
    if (net.kind !== 'update') continue;
    const columns = placesOf(net.row).join();
    // An update that changes nothing here changed only what the migration added.
    if (columns === '') continue;
    const same = updates.get(columns);
    if (same === undefined) updates.set(columns, [net]);
    else same.push(net);
  }
  const inserted = nets.filter(({ kind }) => kind === 'insert');
  return [
    ...portions(removed).map((part) => deletion(table, key, part)),
    ...[...updates.values()].flatMap((same) => portions(same)).map((part) => update(table, key, part)),
    ...portions(inserted).map((part) => insertion(table, part, fills)),
  ];
}

function placesOf(row: readonly Value[]): readonly number[] {
  return row.flatMap((value, place) => (value === undefined ? [] : [place]));
}

function portions<T>(all: readonly T[]): readonly (readonly T[])[] {
  if (all.length <= rowsAtOnce) return all.length === 0 ? [] : [all];
  const count = Math.ceil(all.length / rowsAtOnce);
  return Array.from({ length: count }, (_, at) => all.slice(at * rowsAtOnce, (at + 1) * rowsAtOnce));
}

/** A row of values whose first one carries the types for all that follow. */
function typedRow(n: number, values: readonly (string | null)[], types: readonly string[]): string {
  if (n > 0) return `(${n},${values.map(valueLiteral).join()})`;
  return `(${n},${values.map((value, at) => `${valueLiteral(value)}::${types[at]}`).join()})`;
}

function deletion(table: TargetTable, key: readonly number[], nets: readonly Net[]): Statement {
  const types = key.map((place) => column(table, place).type);
  const rows = nets.map(({ old }, n) =>
    typedRow(
      n,
      key.map((place) => old[place] ?? null),
      types,
    ),
  );
  const names = key.map((_, at) => `k${at}`);
  const match = key.map((place, at) => `t.${column(table, place).sql} = v.k${at}`).join(' AND ');
  const sql = `DELETE FROM ONLY ${table.sql} t USING (VALUES ${rows.join()}) v(n,${names.join()}) WHERE ${match} RETURNING v.n`;
  return { sql, kind: 'delete', nets, columns: [] };
}

/**
 * Values as the server tells them: `concat` writes any type the way its changes are written. `IS NULL` would also be
 * true for a composite value of nothing but NULLs.
 */
function told(alias: string, name: string): string {
  return `CASE num_nulls(${alias}.${name}) WHEN 0 THEN concat(${alias}.${name}) END`;
}

function update(table: TargetTable, key: readonly number[], nets: readonly Net[]): Statement {
  const columns = placesOf(nets[0]?.row ?? []);
  const at = (place: number): TargetColumn => column(table, place);
  const types = [...key, ...columns].map((place) => at(place).type).concat(columns.map(() => 'text'));
  const rows = nets.map(({ old, row }, n) => {
    const values = [
      ...key.map((place) => old[place] ?? null),
      ...columns.map((place) => row[place] ?? null),
      ...columns.map((place) => old[place] ?? null),
    ];
    return typedRow(n, values, types);
  });
  const names = [
    ...key.map((_, i) => `k${i}`),
    ...columns.map((_, i) => `c${i}`),
    ...columns.map((_, i) => `o${i}`),
  ];
  const match = (alias: string): string =>
    key.map((place, i) => `${alias}.${at(place).sql} = v.k${i}`).join(' AND ');
  const before = `ARRAY[${columns.map((place) => told('b', at(place).sql)).join()}]`;
  const expected = `ARRAY[${columns.map((_, i) => `v.o${i}`).join()}]`;
  // The table stands beside itself, as RETURNING knows only the new row.
  const sql = `UPDATE ONLY ${table.sql} t SET ${columns.map((place, i) => `${at(place).sql} = v.c${i}`).join()}
    FROM (VALUES ${rows.join()}) v(n,${names.join()}) JOIN ONLY ${table.sql} b ON ${match('b')}
    WHERE ${match('t')} RETURNING v.n, CASE WHEN ${before} IS DISTINCT FROM ${expected} THEN to_json(${before}) END AS before`;
  return { sql, kind: 'update', nets, columns };
}

/** What a column gets that the application's row does not have any more: its fill, else its default. */
function missingValue(table: TargetTable, place: number, fills: Fills): string {
  const fill = fills[`${table.schema}.${table.name}.${column(table, place).name}`];
  return fill === undefined ? 'DEFAULT' : textLiteral(fill);
}

function insertion(table: TargetTable, nets: readonly Net[], fills: Fills): Statement {
  const missing = table.columns.map((_, place) => missingValue(table, place, fills));
  const rows = nets.map(({ row }) => {
    const values = table.columns.map((_, place) => {
      const value = row[place];
      return value === undefined ? missing[place] : valueLiteral(value);
    });
    return `(${values.join()})`;
  });
  // A table without columns has rows all the same.
  const sql =
    table.columns.length === 0
      ? `INSERT INTO ${table.sql} SELECT FROM generate_series(1, ${nets.length})`
      : `INSERT INTO ${table.sql} (${table.columns.map((each) => each.sql).join()}) OVERRIDING SYSTEM VALUE VALUES ${rows.join()}`;
  return { sql, kind: 'insert', nets, columns: [] };
}

/** One change of a table without a key: of rows that are alike in everything, one. */
export function keylessStatement(change: RowChange, net: Net, fills: Fills): Statement {
  const { table } = change;
  if (net.kind === 'insert') return insertion(table, [net], fills);
  const known = placesOf(net.old);
  const alike = known.map((place) => {
    const { sql, type } = column(table, place);
    const value = net.old[place] ?? null;
    if (value === null) return `num_nulls(${sql}) = 1`;
    const same = `concat(${sql}) = ${textLiteral(value)} AND num_nulls(${sql}) = 0`;
    return place === table.helper ? `${sql} = ${textLiteral(value)}::${type} AND ${same}` : same;
  });
  const one = `ctid = (SELECT ctid FROM ONLY ${table.sql} WHERE ${alike.length === 0 ? 'false' : alike.join(' AND ')} LIMIT 1)`;
  if (net.kind === 'delete')
    return {
      sql: `DELETE FROM ONLY ${table.sql} WHERE ${one} RETURNING 0 AS n`,
      kind: 'delete',
      nets: [net],
      columns: [],
    };
  const columns = placesOf(net.row);
  const set = columns.map((place) => `${column(table, place).sql} = ${valueLiteral(net.row[place] ?? null)}`);
  const sql = `UPDATE ONLY ${table.sql} SET ${set.join()} WHERE ${one} RETURNING 0 AS n, NULL AS before`;
  return { sql, kind: 'update', nets: [net], columns };
}
