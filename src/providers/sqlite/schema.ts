import type { DatabaseSync } from 'node:sqlite';
import { isOwnName, qualified, quoteName } from './names.ts';

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** Text of the default expression; null when there is none. */
  readonly default: string | null;
  /** Position in the primary key from 1; 0 when it is no part of it. */
  readonly key: number;
  /** Computed by SQLite: can be read, not written. */
  readonly generated: boolean;
}

export interface Table {
  readonly name: string;
  /** A virtual table is computed or kept by a module; its shadow tables are the module's. */
  readonly kind: 'table' | 'virtual' | 'shadow';
  readonly withoutRowid: boolean;
  readonly strict: boolean;
  readonly columns: readonly Column[];
  readonly sql: string;
}

export interface SchemaObject {
  readonly type: 'index' | 'trigger' | 'view';
  readonly name: string;
  readonly table: string;
  readonly sql: string;
}

export interface Schema {
  /** By name, the application's only. */
  readonly tables: ReadonlyMap<string, Table>;
  readonly objects: readonly SchemaObject[];
}

function readColumns(database: DatabaseSync, schema: string, table: string): readonly Column[] {
  return database
    .prepare(`PRAGMA ${quoteName(schema)}.table_xinfo(${quoteName(table)})`)
    .all()
    .filter((row) => row.hidden !== 1)
    .map((row) => ({
      name: String(row.name),
      type: String(row.type),
      notNull: row.notnull === 1,
      default: row.dflt_value === null ? null : String(row.dflt_value),
      key: Number(row.pk),
      generated: row.hidden !== 0,
    }));
}

/** The application's tables, indexes, triggers and views in one of the connection's databases. */
export function readSchema(database: DatabaseSync, schema = 'main'): Schema {
  const rows = database
    .prepare(`SELECT type, name, tbl_name, sql FROM ${qualified(schema, 'sqlite_schema')}`)
    .all();
  const listed = database.prepare(`PRAGMA ${quoteName(schema)}.table_list`).all();
  const listing = new Map(
    listed.filter((row) => row.schema === schema).map((row) => [String(row.name), row]),
  );
  const tables = new Map<string, Table>();
  const objects: SchemaObject[] = [];
  for (const row of rows) {
    const name = String(row.name);
    const table = String(row.tbl_name);
    if (isOwnName(name) || isOwnName(table) || row.sql === null) continue;
    const sql = String(row.sql);
    if (row.type !== 'table') {
      objects.push({ type: row.type as SchemaObject['type'], name, table, sql });
      continue;
    }
    const entry = listing.get(name);
    tables.set(name, {
      name,
      kind: (entry?.type ?? 'table') as Table['kind'],
      withoutRowid: entry?.wr === 1,
      strict: entry?.strict === 1,
      columns: readColumns(database, schema, name),
      sql,
    });
  }
  return { tables, objects };
}

export function ordinaryTables(schema: Schema): readonly Table[] {
  return [...schema.tables.values()].filter((table) => table.kind === 'table');
}

/** Columns whose values can be written. */
export function storedColumns(table: Table): readonly Column[] {
  return table.columns.filter((column) => !column.generated);
}

/** Finds a table whatever the case of its name, as SQLite does. */
export function findTable(schema: Schema, name: string): Table | undefined {
  const exact = schema.tables.get(name);
  if (exact !== undefined) return exact;
  const lower = name.toLowerCase();
  return [...schema.tables.values()].find((table) => table.name.toLowerCase() === lower);
}

/** How a row is recognised again: by these columns, or by its rowid under a name that no column has taken. */
export interface RowKey {
  readonly columns: readonly string[];
  readonly rowid: boolean;
}

/**
 * A table's primary key; its rowid when it has none, or when SQLite let NULL into it. Null when there is
 * neither, because columns have taken all three names of the rowid.
 */
export function rowKey(database: DatabaseSync, table: Table, schema = 'main'): RowKey | null {
  const columns = table.columns
    .filter((column) => column.key > 0)
    .sort((a, b) => a.key - b.key)
    .map((column) => column.name);
  if (columns.length > 0) {
    const anyNull = columns.map((column) => `${quoteName(column)} IS NULL`).join(' OR ');
    const broken = database
      .prepare(`SELECT 1 FROM ${qualified(schema, table.name)} WHERE ${anyNull} LIMIT 1`)
      .get();
    if (broken === undefined) return { columns, rowid: false };
  }
  if (table.withoutRowid) return null;
  const taken = new Set(table.columns.map((column) => column.name.toLowerCase()));
  const rowid = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name));
  return rowid === undefined ? null : { columns: [rowid], rowid: true };
}

export function countRows(
  database: DatabaseSync,
  schema: Schema,
  name = 'main',
): { [table: string]: number } {
  const rows: { [table: string]: number } = {};
  for (const table of ordinaryTables(schema)) {
    const row = database.prepare(`SELECT count(*) AS n FROM ${qualified(name, table.name)}`).get();
    rows[table.name] = Number(row?.n ?? 0);
  }
  return rows;
}
