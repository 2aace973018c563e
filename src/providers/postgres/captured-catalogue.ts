import type { Connection } from './connection.ts';

/** A column as it was at one moment. Its number never changes, whatever it is called. */
export interface CapturedColumn {
  readonly number: number;
  readonly name: string;
  /** As SQL writes it, without its length: a cast to it cuts nothing off. */
  readonly type: string;
  readonly isRequired: boolean;
  readonly hasDefault: boolean;
  readonly isGenerated: boolean;
}

export interface CapturedTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly CapturedColumn[];
}

/** The tables of a database at one moment, our own left out. */
export interface CapturedCatalogue {
  readonly tables: readonly CapturedTable[];
  readonly sequences: readonly CapturedSequence[];
}

export interface CapturedSequence {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

/** Schemas that hold nothing of the application. */
export const foreignSchemas = `n.nspname NOT IN ('pg_catalog', 'information_schema', 'unship')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'`;

/**
 * Ordinary tables (partitions are some; the partitioned ones hold no rows), with their columns in the order in
 * which changes tell them. Tables of extensions belong to the extension.
 */
export async function readCatalogue(connection: Connection): Promise<CapturedCatalogue> {
  const tables = await connection.rows<{ oid: number; schema: string; name: string; columns: unknown }>(`
    SELECT c.oid, n.nspname AS schema, c.relname AS name,
      (SELECT coalesce(json_agg(json_build_object(
          'number', a.attnum, 'name', a.attname, 'type', format_type(a.atttypid, -1),
          'isRequired', a.attnotnull, 'hasDefault', a.atthasdef OR a.attidentity <> '',
          'isGenerated', a.attgenerated <> '') ORDER BY a.attnum), '[]')
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ${foreignSchemas}
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY n.nspname, c.relname`);
  const sequences = await connection.rows<{ oid: number; schema: string; name: string }>(`
    SELECT c.oid, n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND ${foreignSchemas}`);
  return { tables: tables as readonly CapturedTable[], sequences };
}

export function nameOf(table: { readonly schema: string; readonly name: string }): string {
  return `${table.schema}.${table.name}`;
}
