import { createHash } from 'node:crypto';

/** Everything of ours inside a database lies in this schema: no part of a fingerprint, a count or an archive. */
export const ownSchema = 'unship';

/** The migration tools' own table. */
export const ledgerTable = 'schema_migrations';

/** How people see a table: without the schema that everybody has. */
export function label(schema: string, name: string): string {
  return schema === 'public' ? name : `${schema}.${name}`;
}

const longestName = 63;

/**
 * A database beside the live one. Names are cut at 63 bytes by the server, and two that are cut to the same one would
 * be one database: what is cut is told apart by its hash.
 */
export function besides(live: string, purpose: string): string {
  const name = `${live}_unship_${purpose}`;
  if (Buffer.byteLength(name) <= longestName) return name;
  const hash = createHash('sha256').update(live).digest('hex').slice(0, 12);
  return `unship_${hash}_${purpose}`;
}
