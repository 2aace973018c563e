import { type CapturedCatalogue, nameOf } from '../captured-catalogue.ts';
import { type Connection, identifier, literal } from '../connection.ts';

export interface TargetColumn {
  readonly name: string;
  /** Quoted. */
  readonly sql: string;
  readonly type: string;
  /** Its number in the captured catalogue. */
  readonly number: number;
  readonly isRequired: boolean;
  readonly hasDefault: boolean;
}

/** A table of the restored database. */
export interface TargetTable {
  /** In the captured database. */
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly sql: string;
  /** Those that can be written to: generated ones compute themselves. */
  readonly columns: readonly TargetColumn[];
  /** Unique indexes that tell every row, the primary key first, as places in `columns`. */
  readonly keys: readonly (readonly number[])[];
  /** Column with an index of ours, for a table that has no key. */
  readonly helper: number | null;
}

export interface TargetReference {
  readonly name: string;
  readonly child: TargetTable;
  readonly childColumns: readonly number[];
  readonly parent: TargetTable;
  readonly parentColumns: readonly number[];
  /** As `pg_constraint.confdeltype` has it. */
  readonly onDelete: string;
}

export interface Target {
  readonly tables: ReadonlyMap<number, TargetTable>;
  readonly references: readonly TargetReference[];
}

interface TableRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly {
    readonly number: number;
    readonly name: string;
    readonly type: string;
    readonly isRequired: boolean;
    readonly hasDefault: boolean;
    readonly isGenerated: boolean;
  }[];
  readonly keys: readonly (readonly number[])[];
}

/** Name of the index that finds rows of a table without a key; it goes before the cutover. */
export const helperPrefix = 'unship_helper_';

/** The tables of the restored database that the captured ones are now. Throws when one is missing. */
export async function readTarget(side: Connection, captured: CapturedCatalogue): Promise<Target> {
  const rows = await side.rows<TableRow & { helper: number | null }>(`
    SELECT c.oid, n.nspname AS schema, c.relname AS name,
      (SELECT json_agg(json_build_object('number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, -1),
         'isRequired', a.attnotnull, 'hasDefault', a.atthasdef OR a.attidentity <> '', 'isGenerated', a.attgenerated <> '')
         ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
      coalesce((SELECT json_agg(i.indkey::int2[] ORDER BY i.indisprimary DESC, i.indnatts) FROM pg_index i
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
           AND i.indnatts = i.indnkeyatts AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid
             AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull)), '[]') AS keys,
      (SELECT i.indkey[0]::int FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND starts_with(x.relname, ${literal(helperPrefix)}) LIMIT 1) AS helper
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'`);
  const byName = new Map(rows.map((row) => [nameOf(row), row]));
  const tables = new Map<number, TargetTable>();
  const byOid = new Map<number, TargetTable & { readonly numbers: readonly number[] }>();
  for (const table of captured.tables) {
    const row = byName.get(nameOf(table));
    if (row === undefined) throw new Error(`${nameOf(table)} is not in the restored database`);
    const numbers = new Map(table.columns.map(({ name, number }) => [name, number]));
    const writable = row.columns.filter(({ isGenerated }) => !isGenerated);
    const place = (number: number): number => writable.findIndex((column) => column.number === number);
    const target = {
      ...{ oid: table.oid, schema: row.schema, name: row.name, sql: identifier(row.schema, row.name) },
      columns: writable.map(({ name, type, isRequired, hasDefault }) => ({
        ...{ name, type, isRequired, hasDefault, sql: identifier(name), number: numbers.get(name) ?? 0 },
      })),
      keys: row.keys.map((key) => key.map(place)).filter((key) => !key.includes(-1)),
      helper: row.helper === null ? null : place(row.helper),
      numbers: writable.map(({ number }) => number),
    };
    tables.set(table.oid, target);
    byOid.set(row.oid, target);
  }
  return { tables, references: await readReferences(side, byOid) };
}

interface ReferenceRow {
  readonly name: string;
  readonly child: number;
  readonly parent: number;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly action: string;
}

async function readReferences(
  side: Connection,
  byOid: ReadonlyMap<number, TargetTable & { readonly numbers: readonly number[] }>,
): Promise<readonly TargetReference[]> {
  const rows =
    await side.rows<ReferenceRow>(`SELECT conname AS name, conrelid AS child, confrelid AS parent, conkey AS ours, confkey AS theirs, confdeltype AS action
     FROM pg_constraint WHERE contype = 'f'`);
  return rows.flatMap(({ name, ours, theirs, action, ...at }) => {
    const child = byOid.get(at.child);
    const parent = byOid.get(at.parent);
    if (child === undefined || parent === undefined) return [];
    const childColumns = ours.map((number) => child.numbers.indexOf(number));
    const parentColumns = theirs.map((number) => parent.numbers.indexOf(number));
    return [{ name, child, childColumns, parent, parentColumns, onDelete: action }];
  });
}

/** Tables without a key get an index on the column that tells their rows apart best. */
export async function addHelperIndexes(side: Connection, target: Target): Promise<void> {
  for (const table of target.tables.values()) {
    if (table.keys.length > 0 || table.helper !== null) continue;
    const [best] = await side.rows<{ column: string }>(
      `SELECT s.attname AS column FROM pg_stats s JOIN pg_attribute a ON a.attrelid = ${literal(table.sql)}::regclass
         AND a.attname = s.attname JOIN pg_opclass o ON o.opcintype = a.atttypid AND o.opcdefault
         JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'hash'
       WHERE s.schemaname = $1 AND s.tablename = $2
       ORDER BY CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * 1e9 ELSE s.n_distinct END DESC LIMIT 1`,
      [table.schema, table.name],
    );
    if (best === undefined) continue;
    const name = identifier(`${helperPrefix}${table.oid}`);
    await side.run(`CREATE INDEX ${name} ON ${table.sql} USING hash (${identifier(best.column)})`);
  }
}

export async function dropHelperIndexes(side: Connection): Promise<void> {
  const indexes = await side.rows<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'i' AND starts_with(c.relname, $1)`,
    [helperPrefix],
  );
  for (const { schema, name } of indexes) await side.run(`DROP INDEX ${identifier(schema, name)}`);
}
