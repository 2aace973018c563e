import type { Connection } from '../connection.ts';

export interface KnownColumn {
  /** As `format_type` writes it. */
  readonly type: string;
  readonly hasDefault: boolean;
  /** It is NOT NULL, or a valid CHECK constraint proves that it is never null. */
  readonly isProvenNotNull: boolean;
  /** A CHECK constraint looks at it. */
  readonly isChecked: boolean;
}

/** What is known of a table, view or materialised view. */
export interface KnownTable {
  readonly columns: ReadonlyMap<string, KnownColumn>;
  /** Tables that its foreign keys refer to, by name of the constraint. */
  readonly references: ReadonlyMap<string, string>;
  readonly indexes: readonly string[];
  /** Partitions and tables that inherit from it, however deep. */
  readonly children: readonly string[];
  readonly defaultPartition: string | null;
  /** A partitioned table or a view holds none itself. */
  readonly holdsRows: boolean;
  /** Views that are made of it, however many others lie between. */
  readonly views: readonly string[];
  /** A subscriber can tell which of its rows was changed; without that, a publication stops UPDATE and DELETE. */
  readonly hasReplicaIdentity: boolean;
}

/** Facts that a statement's text does not hold. Names of schema `public` are written without it. */
export interface Known {
  readonly tables: ReadonlyMap<string, KnownTable>;
  /** Functions that are there, by name, of every schema but the server's own. */
  readonly functions: ReadonlySet<string>;
  /** Types with a rule of their own: a column of one is looked at row by row. */
  readonly constrainedDomains: ReadonlySet<string>;
  /** Table of each statistics object. */
  readonly statistics: ReadonlyMap<string, string>;
}

export function nameIn(schema: string, name: string): string {
  return schema === 'public' || schema === '' ? name : `${schema}.${name}`;
}

type Pair = readonly [string, string];

const relations = `
  SELECT n.nspname AS schema, c.relname AS name,
    ARRAY(SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
          WHERE x.indrelid = c.oid) AS indexes,
    COALESCE((SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.atthasdef,
        a.attnotnull OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.convalidated
                AND k.conkey = ARRAY[a.attnum]
                AND pg_get_expr(k.conbin, k.conrelid) = '(' || quote_ident(a.attname) || ' IS NOT NULL)'),
        EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
                AND a.attnum = ANY (k.conkey))))
      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
    COALESCE((SELECT json_agg(json_build_array(k.conname, rn.nspname, r.relname)) FROM pg_constraint k
      JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
      WHERE k.conrelid = c.oid AND k.contype = 'f'), '[]') AS foreign_keys,
    (WITH RECURSIVE below AS (
       SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid
       UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.inhrelid)
     SELECT COALESCE(json_agg(json_build_array(bn.nspname, b.relname)), '[]') FROM below
     JOIN pg_class b ON b.oid = below.inhrelid JOIN pg_namespace bn ON bn.oid = b.relnamespace) AS children,
    (SELECT json_build_array(dn.nspname, d.relname) FROM pg_partitioned_table p
     JOIN pg_class d ON d.oid = p.partdefid JOIN pg_namespace dn ON dn.oid = d.relnamespace
     WHERE p.partrelid = c.oid) AS default_partition,
    c.relkind IN ('r', 'm') AS holds_rows,
    c.relreplident IN ('f', 'i') OR c.relreplident = 'd' AND
      EXISTS (SELECT 1 FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS has_replica_identity,
    (WITH RECURSIVE over AS (
       SELECT w.ev_class FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
       WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = c.oid AND w.ev_class <> c.oid
       UNION SELECT w.ev_class FROM over JOIN pg_depend d ON d.refobjid = over.ev_class
       JOIN pg_rewrite w ON w.oid = d.objid AND d.classid = 'pg_rewrite'::regclass)
     SELECT COALESCE(json_agg(json_build_array(vn.nspname, v.relname)), '[]') FROM over
     JOIN pg_class v ON v.oid = over.ev_class JOIN pg_namespace vn ON vn.oid = v.relnamespace
     WHERE v.oid <> c.oid AND v.relkind IN ('v', 'm')) AS views
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema$)'`;

interface RelationRow {
  readonly schema: string;
  readonly name: string;
  readonly indexes: readonly string[];
  readonly columns: readonly (readonly [string, string, boolean, boolean, boolean])[];
  readonly foreign_keys: readonly (readonly [string, string, string])[];
  readonly children: readonly Pair[];
  readonly default_partition: Pair | null;
  readonly holds_rows: boolean;
  readonly has_replica_identity: boolean;
  readonly views: readonly Pair[];
}

function tableOf(row: RelationRow): KnownTable {
  return {
    columns: new Map(
      row.columns.map(([name, type, hasDefault, isProvenNotNull, isChecked]) => [
        name,
        { type, hasDefault, isProvenNotNull, isChecked },
      ]),
    ),
    references: new Map(row.foreign_keys.map(([key, schema, name]) => [key, nameIn(schema, name)])),
    indexes: row.indexes.map((index) => nameIn(row.schema, index)),
    children: row.children.map(([schema, name]) => nameIn(schema, name)),
    defaultPartition: row.default_partition === null ? null : nameIn(...row.default_partition),
    holdsRows: row.holds_rows,
    hasReplicaIdentity: row.has_replica_identity,
    views: row.views.map(([schema, name]) => nameIn(schema, name)),
  };
}

/** Reads what verdicts on statements need to know of a live database. */
export async function readKnown(connection: Connection): Promise<Known> {
  const rows = await connection.rows<RelationRow & { readonly [column: string]: unknown }>(relations);
  const functions = await connection.rows<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname !~ '^(pg_|information_schema$)'`,
  );
  const domains = await connection.rows<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, t.typname AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
     WHERE t.typtype = 'd' AND (t.typnotnull OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.contypid = t.oid))
       AND n.nspname !~ '^(pg_|information_schema$)'`,
  );
  const statistics = await connection.rows<{ schema: string; name: string; of: string; table: string }>(
    `SELECT n.nspname AS schema, s.stxname AS name, tn.nspname AS of, c.relname AS table
     FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
     JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace tn ON tn.oid = c.relnamespace`,
  );
  const names = (found: readonly { schema: string; name: string }[]): ReadonlySet<string> =>
    new Set(found.map(({ schema, name }) => nameIn(schema, name)));
  return {
    tables: new Map(rows.map((row) => [nameIn(row.schema, row.name), tableOf(row)])),
    functions: names(functions),
    constrainedDomains: names(domains),
    statistics: new Map(statistics.map((one) => [nameIn(one.schema, one.name), nameIn(one.of, one.table)])),
  };
}
