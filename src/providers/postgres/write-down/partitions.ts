import { type Connection, identifier } from '../connection.ts';

interface Partition {
  readonly id: string;
  readonly name: string;
  readonly parent: string;
  readonly bound: string;
}

/** Partitions by their OID. */
export type Partitions = ReadonlyMap<string, Partition>;

export async function readPartitions(connection: Connection): Promise<Partitions> {
  const rows = await connection.rows<{ id: string; bound: string; names: readonly string[] }>(
    `SELECT c.oid::text AS id, pg_get_expr(c.relpartbound, c.oid) AS bound,
       ARRAY[n.nspname, c.relname, pn.nspname, p.relname]::text[] AS names
     FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
     WHERE c.relispartition AND c.relkind IN ('r', 'p')`,
  );
  return new Map(
    rows.map(({ id, bound, names }) => [
      id,
      {
        id,
        bound,
        name: identifier(names[0] ?? '', names[1] ?? ''),
        parent: identifier(names[2] ?? '', names[3] ?? ''),
      },
    ]),
  );
}

/**
 * Statements that put partitions back where they were, once names are as before: a differ would drop and make them
 * again, without their rows. `isThere` tells of a table from before whether it still is.
 */
export function undoPartitions(
  before: Partitions,
  now: Partitions,
  isThere: (id: string) => boolean,
): { readonly detach: readonly string[]; readonly attach: readonly string[] } {
  const isSame = (a: Partition, b: Partition | undefined): boolean =>
    b !== undefined && a.parent === b.parent && a.bound === b.bound;
  const detach = [...now.values()]
    .filter((one) => isThere(one.id) && !isSame(one, before.get(one.id)))
    .map(({ name, parent }) => `ALTER TABLE ${parent} DETACH PARTITION ${name}`);
  const attach = [...before.values()]
    .filter((one) => isThere(one.id) && !isSame(one, now.get(one.id)))
    .map(({ name, parent, bound }) => `ALTER TABLE ${parent} ATTACH PARTITION ${name} ${bound}`);
  return { detach, attach };
}
