import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { breathe } from './connection.ts';
import { quoteName } from './names.ts';

/** Space beside the live database, attached to the migrating connection: nothing in it outlives the work. */
export const scratch = '_unship_scratch';

/**
 * True where two values differ in type or content, whatever the collations and affinities of their columns:
 * 'A' and 'a', '1' and 1 are different values.
 */
export function differs(left: string, right: string): string {
  return `(+${left} COLLATE BINARY IS NOT +${right} OR typeof(${left}) <> typeof(${right}))`;
}

/** Rows of two tables that have the same key. */
export function sameKey(
  left: string,
  leftNames: readonly string[],
  right: string,
  rightNames: readonly string[],
): string {
  if (leftNames.length === 0) return 'FALSE';
  return leftNames
    .map((name, at) => `${left}.${quoteName(name)} = ${right}.${quoteName(rightNames[at] ?? '')}`)
    .join(' AND ');
}

/** The same with the right side's affinity and collation taken off, for finding it in a scratch table's index. */
export function sameKeyInScratch(
  left: string,
  leftNames: readonly string[],
  right: string,
  rightNames: readonly string[],
): string {
  return sameKey(left, leftNames, `+${right}`, rightNames);
}

/** What a fresh column holds, as it is stored: with the affinity of its type applied. */
export function defaultValue(column: { readonly type: string; readonly default: string | null }): string {
  const value = `(${column.default ?? 'NULL'})`;
  if (/int/i.test(column.type)) return `CAST(${value} AS INTEGER)`;
  if (/char|clob|text/i.test(column.type)) return `CAST(${value} AS TEXT)`;
  return /real|floa|doub/i.test(column.type) ? `CAST(${value} AS REAL)` : value;
}

export function numbered(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${at}`);
}

const rowsBetweenBreaths = 2000;

/**
 * Copies the rows of a table from one connection to another, where one must see what the other does not yet.
 * Every value arrives byte for byte: texts travel as bytes, because they need not be valid UTF-8.
 */
export async function copyRows(
  context: LookContext,
  from: DatabaseSync,
  source: string,
  to: DatabaseSync,
  target: string,
  columns: readonly string[],
): Promise<number> {
  // Rows may come as objects, in which two columns of one name would be one value.
  const parts = columns.flatMap((column, at) => [
    `CASE WHEN typeof(${column}) = 'text' THEN CAST(${column} AS BLOB) END AS t${at}`,
    `CASE WHEN typeof(${column}) <> 'text' THEN ${column} END AS v${at}`,
  ]);
  const read = from.prepare(`SELECT ${parts.join(', ')} FROM ${source}`);
  read.setReadBigInts(true);
  const asArrays = typeof read.setReturnArrays === 'function';
  if (asArrays) read.setReturnArrays(true);
  const write = to.prepare(
    `INSERT INTO ${target} VALUES (${columns.map(() => 'coalesce(CAST(? AS TEXT), ?)').join(', ')})`,
  );
  let copied = 0;
  for (const row of read.iterate()) {
    write.run(...(asArrays ? (row as unknown as SQLOutputValue[]) : Object.values(row)));
    copied += 1;
    if (copied % rowsBetweenBreaths === 0) await breathe(context);
  }
  return copied;
}
