import { type Connection, literal } from '../connection.ts';
import { lsnText } from '../lsn.ts';
import type { Value } from '../pgoutput.ts';
import type { CommitOf } from './changes.ts';
import type { TargetTable } from './target.ts';

/** A change that could not be carried over: kept aside, with its reason. */
export interface Conflict {
  readonly table: string;
  readonly kind: string;
  /** `row-missing`, `unique`, `not-null`, `check`, `invalid-value`, `orphan`, `other` */
  readonly reason: string;
  readonly detail: string;
  readonly old: { readonly [column: string]: string | null } | null;
  readonly row: { readonly [column: string]: string | null } | null;
  readonly commit: CommitOf;
}

/** The application changed a value that the migration had rewritten: the application's is kept. */
export interface RewrittenEdit {
  readonly table: string;
  readonly row: { readonly [column: string]: string | null };
  readonly column: string;
  readonly before: string | null;
  readonly migration: string | null;
  readonly application: string | null;
  readonly commit: CommitOf;
}

/** Counts that are committed together with what they count. */
export interface Totals {
  transactions: number;
  migrationTransactions: number;
  rows: number;
  conflicts: number;
  rewrittenEdits: number;
  /** Deletes of rows that only the migration had put there. */
  alreadyGone: number;
  /** Updates that were applied whole, as the server did not tell their old rows. */
  wholeRows: number;
  /** Values of new rows for columns that the application no longer knew, by `schema.table.column`. */
  filled: { [column: string]: number };
  /** Values in columns that only the migrated database has. */
  newColumns: { [column: string]: number };
  /** Rows in tables that only the migrated database has. */
  newTables: { [table: string]: number };
}

export function noTotals(): Totals {
  return {
    ...{ transactions: 0, migrationTransactions: 0, rows: 0, conflicts: 0, rewrittenEdits: 0 },
    ...{ alreadyGone: 0, wholeRows: 0, filled: {}, newColumns: {}, newTables: {} },
  };
}

export function count(counts: { [name: string]: number }, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

export const recordTables = `
  CREATE SCHEMA IF NOT EXISTS unship;
  CREATE TABLE IF NOT EXISTS unship.salvage (
    key text PRIMARY KEY, live_oid oid NOT NULL, applied pg_lsn NOT NULL, totals jsonb NOT NULL,
    not_copied jsonb NOT NULL);
  CREATE TABLE IF NOT EXISTS unship.markers (key text NOT NULL, number int8 NOT NULL, PRIMARY KEY (key, number));
  CREATE TABLE IF NOT EXISTS unship.conflicts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name text NOT NULL, kind text NOT NULL, reason text NOT NULL,
    detail text NOT NULL, old_row jsonb, new_row jsonb, xid bigint NOT NULL, lsn pg_lsn NOT NULL, committed_at timestamptz NOT NULL);
  CREATE TABLE IF NOT EXISTS unship.rewritten (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name text NOT NULL, row_key jsonb NOT NULL, column_name text NOT NULL,
    before_migration text, by_migration text, by_application text, xid bigint NOT NULL, lsn pg_lsn NOT NULL, committed_at timestamptz NOT NULL);
  CREATE TABLE IF NOT EXISTS unship.adopted (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name text NOT NULL, row_key jsonb NOT NULL, because text NOT NULL);`;

export function named(table: TargetTable, row: readonly Value[]): { [column: string]: string | null } {
  const values: { [column: string]: string | null } = Object.create(null);
  for (const [place, value] of row.entries()) {
    const name = table.columns[place]?.name;
    if (value !== undefined && name !== undefined) values[name] = value;
  }
  return values;
}

function text(value: string | null): string {
  // A jsonb text can hold anything but the character that PostgreSQL's texts can't hold either.
  return value === null ? 'NULL' : literal(value).trim();
}

function committed({ xid, endLsn, at }: CommitOf): string {
  return `${xid}, '${lsnText(endLsn)}', to_timestamp(${at / 1_000})`;
}

export function conflictStatement(conflicts: readonly Conflict[]): string {
  const rows = conflicts.map(({ table, kind, reason, detail, old, row, commit }) => {
    const json = (values: Conflict['old']): string => text(values === null ? null : JSON.stringify(values));
    return `(${text(table)}, ${text(kind)}, ${text(reason)}, ${text(detail)}, ${json(old)}, ${json(row)}, ${committed(commit)})`;
  });
  return `INSERT INTO unship.conflicts (table_name, kind, reason, detail, old_row, new_row, xid, lsn, committed_at) VALUES ${rows.join()}`;
}

export function rewrittenStatement(edits: readonly RewrittenEdit[]): string {
  const rows = edits.map((edit) => {
    const values = [
      edit.table,
      JSON.stringify(edit.row),
      edit.column,
      edit.before,
      edit.migration,
      edit.application,
    ];
    return `(${values.map(text).join()}, ${committed(edit.commit)})`;
  });
  return `INSERT INTO unship.rewritten (table_name, row_key, column_name, before_migration, by_migration, by_application, xid, lsn, committed_at) VALUES ${rows.join()}`;
}

export interface Progress {
  readonly applied: bigint;
  readonly totals: Totals;
}

export function progressStatement(key: string, { applied, totals }: Progress): string {
  return `UPDATE unship.salvage SET applied = '${lsnText(applied)}', totals = ${text(JSON.stringify(totals))} WHERE key = ${text(key)}`;
}

/** Conflicts are listed up to this many; all of them stay in `unship.conflicts`. */
const listed = 100;

export async function readConflicts(side: Connection): Promise<
  readonly {
    readonly table: string;
    readonly kind: string;
    readonly reason: string;
    readonly detail: string;
  }[]
> {
  return await side.rows(
    `SELECT table_name AS table, kind, reason, detail FROM unship.conflicts ORDER BY id LIMIT ${listed}`,
  );
}
