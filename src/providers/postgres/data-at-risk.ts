import type { Capture } from './capture.ts';
import { type CapturedCatalogue, nameOf } from './captured-catalogue.ts';
import { type Connection, identifier } from './connection.ts';
import { readConflicts, type Totals } from './replay/records.ts';
import type { Orphans } from './replay/references.ts';

/** What carrying over has come to, in counts that are exact. */
export interface SalvageReport {
  readonly carried: {
    readonly transactions: number;
    readonly rows: number;
    /** The migration's own, left out. */
    readonly migrationTransactions: number;
  };
  readonly conflicts: {
    readonly count: number;
    readonly byReason: { readonly [reason: string]: number };
    /** The first hundred; all of them are in `unship.conflicts`. */
    readonly first: readonly {
      readonly table: string;
      readonly kind: string;
      readonly reason: string;
      readonly detail: string;
    }[];
  };
  /** Values that the migration had rewritten and the application then changed: the application's are kept. */
  readonly rewrittenEdits: {
    readonly count: number;
    readonly byColumn: { readonly [column: string]: number };
  };
  /** Rows of the migration that rows of the application refer to, by table. */
  readonly adopted: { readonly [table: string]: number };
  readonly orphans: readonly Orphans[];
  /** Values for columns that the application no longer knew, by column. */
  readonly filled: { readonly [column: string]: number };
  /** What only the database set aside has. */
  readonly newColumns: { readonly [column: string]: number };
  readonly newTables: { readonly [table: string]: number };
  /** Updates whose old rows the server did not tell: whole rows were applied, with what the migration had rewritten. */
  readonly wholeRows: number;
  readonly notCovered: readonly string[];
  /** Rights and settings of the database that this role may not give to another one. */
  readonly notCopied: readonly string[];
  readonly ledger: LedgerCheck;
}

/** Commits of our own in the live database, made among those of the application, looked for in the restored one. */
export interface LedgerCheck {
  readonly markers: number;
  readonly found: number;
  /** True only when it was checked after the last commit of the application. */
  readonly isFinal: boolean;
}

/**
 * Only this may be called "no acknowledged commit is missing": every marker up to the last is there, and nothing was
 * written where nobody looked.
 */
export function nothingIsMissing({
  ledger,
  notCovered,
  conflicts,
  orphans,
  wholeRows,
}: SalvageReport): boolean {
  const isWhole = ledger.isFinal && ledger.markers > 0 && ledger.found === ledger.markers;
  return (
    isWhole && notCovered.length === 0 && conflicts.count === 0 && orphans.length === 0 && wholeRows === 0
  );
}

export async function checkLedger(
  live: Connection,
  side: Connection,
  key: string,
  isFinal: boolean,
): Promise<LedgerCheck> {
  const numbers = async (connection: Connection): Promise<readonly string[]> =>
    (
      await connection.rows<{ number: string }>('SELECT number FROM unship.markers WHERE key = $1', [key])
    ).map(({ number }) => String(number));
  const found = new Set(await numbers(side));
  const sent = await numbers(live);
  return { markers: sent.length, found: sent.filter((number) => found.has(number)).length, isFinal };
}

/** Writes a marker together with a token, so that its arrival can be waited for. */
export async function writeMarker(live: Connection, key: string, token: string): Promise<void> {
  await live.rows(
    `WITH marker AS (INSERT INTO unship.markers (key, number)
       SELECT $1, coalesce(max(number), 0) + 1 FROM unship.markers WHERE key = $1 RETURNING number)
     SELECT pg_logical_emit_message(true, 'unship', $2) FROM marker`,
    [key, token],
  );
}

/** Things of the live database whose later writes are not in its log, or that nobody watches. */
export async function notCovered(
  live: Connection,
  capture: Capture,
  now: CapturedCatalogue,
): Promise<readonly string[]> {
  const published = await live.rows<{ oid: number }>(
    `SELECT r.prrelid AS oid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1`,
    [capture.publication],
  );
  const watched = new Set(published.map(({ oid }) => oid));
  const names: string[] = [];
  for (const table of now.tables) {
    if (watched.has(table.oid)) continue;
    const [row] = await live.rows<{ count: string }>(
      `SELECT count(*) FROM (SELECT 1 FROM ${identifier(table.schema, table.name)} LIMIT 1000) rows`,
    );
    if (Number(row?.count ?? 0) > 0)
      names.push(`table ${nameOf(table)}: made after the capture, not watched`);
  }
  const others = await live.rows<{ kind: string; name: string }>(`
    SELECT 'unlogged table' AS kind, c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND n.nspname <> 'unship'
    UNION ALL SELECT 'large objects', count(*)::text FROM pg_largeobject_metadata HAVING count(*) > 0
    UNION ALL SELECT 'materialized view', c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'm'`);
  return [...names, ...others.map(({ kind, name }) => `${kind} ${name}: as in the backup`)];
}

export async function reportOn(
  side: Connection,
  totals: Totals,
  seen: Pick<SalvageReport, 'orphans' | 'notCovered' | 'ledger'>,
): Promise<SalvageReport> {
  const counts = async (sql: string): Promise<{ readonly [name: string]: number }> => {
    const rows = await side.rows<{ name: string; count: string }>(sql);
    return Object.fromEntries(rows.map(({ name, count }) => [name, Number(count)]));
  };
  const [salvage] = await side.rows<{ left: readonly string[] }>(
    'SELECT not_copied AS left FROM unship.salvage',
  );
  const { transactions, rows, migrationTransactions, filled, newColumns, newTables, wholeRows } = totals;
  return {
    carried: { transactions, rows, migrationTransactions },
    conflicts: {
      count: totals.conflicts,
      byReason: await counts('SELECT reason AS name, count(*) FROM unship.conflicts GROUP BY reason'),
      first: await readConflicts(side),
    },
    rewrittenEdits: {
      count: totals.rewrittenEdits,
      byColumn: await counts(
        `SELECT table_name || '.' || column_name AS name, count(*) FROM unship.rewritten GROUP BY 1`,
      ),
    },
    adopted: await counts('SELECT table_name AS name, count(*) FROM unship.adopted GROUP BY 1'),
    ...{ filled, newColumns, newTables, wholeRows, notCopied: salvage?.left ?? [] },
    ...seen,
  };
}
