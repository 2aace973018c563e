import { type Connection, identifier } from './connection.ts';
import { label, ledgerTable, ownSchema } from './names.ts';

export interface Column {
  readonly name: string;
  readonly attnum: number;
  /** As a cast needs it: `character varying(20)`, `app.mood`. */
  readonly type: string;
  readonly notNull: boolean;
  /** Computed by the server: can be read, not written. */
  readonly generated: boolean;
  /** What rows from before the column hold, as text; null for NULL. */
  readonly missing: string | null;
}

export interface Table {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** How people see it. */
  readonly label: string;
  /** As SQL reads exactly its own rows: partitions belong to their table, children of INHERITS do not. */
  readonly from: string;
  readonly sql: string;
  readonly columns: readonly Column[];
  /** Primary key, or else a unique index over columns that are never null; empty when there is neither. */
  readonly key: readonly string[];
  /** Another one after a rewrite or TRUNCATE. */
  readonly storage: string;
  /** Sequences that belong to its columns: column and qualified name. */
  readonly sequences: readonly (readonly [column: string, sequence: string])[];
}

/** By OID: the application's tables, partitions as part of theirs. */
export type Catalogue = ReadonlyMap<string, Table>;

interface Row {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly columns: readonly Column[] | null;
  readonly key: readonly string[] | null;
  readonly storage: string;
  readonly sequences: readonly (readonly [string, string])[] | null;
}

/** `n` and `c`: namespace and class of a query over them. */
export const isApplications: string = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '${ownSchema}')
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')`;

const query = `
SELECT c.oid::text, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
  (SELECT json_agg(json_build_object('name', a.attname, 'attnum', a.attnum, 'type', format_type(a.atttypid, a.atttypmod),
      'notNull', a.attnotnull, 'generated', a.attgenerated <> '',
      'missing', CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END) ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT json_agg(a.attname ORDER BY p.at)
    FROM (SELECT i.indkey::int2[] AS cols, i.indrelid FROM pg_index i
          WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate
            AND NOT EXISTS (SELECT 1 FROM unnest(i.indkey::int2[]) u(num) JOIN pg_attribute b ON b.attrelid = c.oid AND b.attnum = u.num
                            WHERE NOT b.attnotnull)
          ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) best
      CROSS JOIN LATERAL unnest(best.cols) WITH ORDINALITY p(num, at) JOIN pg_attribute a ON a.attrelid = best.indrelid AND a.attnum = p.num) AS key,
  coalesce((SELECT string_agg(pg_relation_filenode(t.relid)::text, ',' ORDER BY t.relid) FROM pg_partition_tree(c.oid) t),
    pg_relation_filenode(c.oid)::text, '') AS storage,
  (SELECT json_agg(json_build_array(a.attname, format('%s.%I', s.relnamespace::regnamespace, s.relname)))
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype IN ('a', 'i')) AS sequences
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND c.relname <> '${ledgerTable}'
  AND ${isApplications}
ORDER BY n.nspname, c.relname`;

export async function readCatalogue(connection: Connection): Promise<Catalogue> {
  const rows = await connection.rows<Row & { [column: string]: unknown }>(query);
  return new Map(
    rows.map(({ kind, columns, key, sequences, ...row }) => {
      const sql = identifier(row.schema, row.name);
      return [
        row.oid,
        {
          ...row,
          label: label(row.schema, row.name),
          from: kind === 'p' ? sql : `ONLY ${sql}`,
          sql,
          columns: columns ?? [],
          key: key ?? [],
          sequences: sequences ?? [],
        },
      ];
    }),
  );
}

export function storedColumns(table: Table): readonly Column[] {
  return table.columns.filter((column) => !column.generated);
}

export function findTable(catalogue: Catalogue, schema: string, name: string): Table | undefined {
  return [...catalogue.values()].find((table) => table.schema === schema && table.name === name);
}

export async function countRows(
  connection: Connection,
  catalogue: Catalogue,
): Promise<{ [table: string]: number }> {
  const counted: { [table: string]: number } = {};
  for (const table of catalogue.values()) {
    const [row] = await connection.rows<{ n: string }>(`SELECT count(*) AS n FROM ${table.from}`);
    counted[table.label] = Number(row?.n ?? 0);
  }
  return counted;
}
