import type { Connection } from './connection.ts';

const epoch = 2n ** 32n;
/** Transactions that may begin between asking for the newest and reading rows. */
const ahead = 2n ** 20n;

/**
 * The 64-bit number of the transaction in a 32-bit column such as `xmin`. What is so old that its number has come round
 * again counts as new: that makes a count of what would be lost too high, never too low.
 *
 * @param newest number of the newest transaction
 */
export function fullXid(column: string, newest: string): string {
  const base = (BigInt(newest) / epoch) * epoch;
  const top = BigInt(newest) + ahead;
  const number = `(${base} + ${column}::text::bigint)`;
  return `(CASE WHEN ${number} > ${top} THEN ${number} - ${epoch} WHEN ${number} <= ${top - epoch} THEN ${number} + ${epoch} ELSE ${number} END)`;
}

export async function newestXid(connection: Connection): Promise<string> {
  const [row] = await connection.rows<{ xid: string }>(
    'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xid',
  );
  return row?.xid ?? '0';
}

/** True where a transaction's writes are not seen by a snapshot: they came after it. */
export function isAfter(xid: string, snapshot: string): string {
  return `NOT pg_visible_in_snapshot((${xid})::text::xid8, ${snapshot}::pg_snapshot)`;
}
