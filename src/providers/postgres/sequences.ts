import type { CapturedCatalogue } from './captured-catalogue.ts';
import { type Connection, identifier, literal } from './connection.ts';

interface SequenceRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly last: string | null;
  readonly step: string;
  /** Table and column that it belongs to. */
  readonly owner: string | null;
  readonly column: string | null;
}

async function sequencesOf(connection: Connection): Promise<readonly SequenceRow[]> {
  return await connection.rows<SequenceRow>(`
    SELECT c.oid, n.nspname AS schema, c.relname AS name, pg_sequence_last_value(c.oid) AS last, s.seqincrement AS step,
      CASE WHEN t.oid IS NOT NULL THEN format('%I.%I', tn.nspname, t.relname) END AS owner, a.attname AS column
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
      AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
    LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE n.nspname <> 'unship'`);
}

/**
 * Sequences are not in the log: each goes on where the live one stands, or where its own column does if the
 * migration dropped it. None goes back: what is there may have rows that the migration had deleted.
 */
export async function copySequences(
  live: Connection,
  side: Connection,
  captured: CapturedCatalogue,
): Promise<void> {
  const there = await sequencesOf(live);
  const statements: string[] = [];
  for (const sequence of await sequencesOf(side)) {
    const same = ({ schema, name }: { readonly schema: string; readonly name: string }): boolean =>
      schema === sequence.schema && name === sequence.name;
    const oid = captured.sequences.find(same)?.oid;
    const source = there.find((each) => each.oid === oid) ?? there.find(same);
    const name = literal(identifier(sequence.schema, sequence.name));
    const end = BigInt(sequence.step) > 0n ? 'greatest' : 'least';
    const [extreme, first] = end === 'greatest' ? ['max', sequence.last] : ['min', sequence.last];
    const values = [source?.last, first].filter((value) => value !== null && value !== undefined);
    if (source === undefined && sequence.owner !== null && sequence.column !== null)
      values.push(`(SELECT ${extreme}(${identifier(sequence.column)}) FROM ${sequence.owner})`);
    if (values.length > 0)
      statements.push(
        `SELECT setval(${name}, ${end}(${values.join()})) WHERE ${end}(${values.join()}) IS NOT NULL`,
      );
  }
  if (statements.length > 0) await side.run(statements.join(';'));
}
