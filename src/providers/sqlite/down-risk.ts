import type { DatabaseSync } from 'node:sqlite';
import type { DataAtRisk, TableRisk } from '../../domain/facts.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { Archive, ArchivedTable } from './archive.ts';
import { attach, numberOf } from './connection.ts';
import { correspond, type TableChange } from './correspondence.ts';
import { dryRun } from './dry-run.ts';
import { migrationStatements } from './guard-statements.ts';
import { qualified, quoteName } from './names.ts';
import { differs, numbered, sameKey } from './rows.ts';
import { findTable, type Schema, storedColumns } from './schema.ts';

/** Rows of one table that hold a value in what the downs drop. */
function countArchived(database: DatabaseSync, change: TableChange): number {
  const table = qualified('main', change.before ?? '');
  if (change.after === null) return numberOf(database, `SELECT count(*) FROM ${table}`);
  if (change.dropped.length === 0) return 0;
  const held = change.dropped.map((column) => `${quoteName(column)} IS NOT NULL`).join(' OR ');
  return numberOf(database, `SELECT count(*) FROM ${table} WHERE ${held}`);
}

/** Rows with a value that a migration had rewritten and the application has changed since. */
function countEdited(database: DatabaseSync, schema: Schema, table: ArchivedTable): number {
  const live = table.after === null ? undefined : findTable(schema, table.after);
  if (live === undefined || table.rows === null || table.key === null || table.unmatched !== null) return 0;
  const names = new Set(storedColumns(live).map((column) => column.name));
  if (!table.key.rowid && table.key.after.some((key) => !names.has(key))) return 0;
  const edits = table.mapped.flatMap(([, after], at) =>
    names.has(after)
      ? [`(substr(r.m, ${at + 1}, 1) = '1' AND ${differs(`r.a${at}`, `t.${quoteName(after)}`)})`]
      : [],
  );
  if (edits.length === 0 || table.key.after.length === 0) return 0;
  const match = sameKey('t', table.key.after, 'r', numbered('k', table.key.after.length));
  return numberOf(
    database,
    `SELECT count(*) FROM _unship_archive.rows_${table.rows} AS r JOIN ${qualified('main', live.name)} AS t ON ${match}
     WHERE r.d = 1 AND (${edits.join(' OR ')})`,
  );
}

function editedPerTable(
  database: DatabaseSync,
  schema: Schema,
  archives: readonly (Archive | undefined)[],
): ReadonlyMap<string, number> {
  const edited = new Map<string, number>();
  for (const archive of archives) {
    if (archive === undefined) continue;
    attach(database, archive.file, '_unship_archive', 'read');
    for (const table of archive.record.tables) {
      const count = countEdited(database, schema, table);
      if (table.after !== null && count > 0) edited.set(table.after, (edited.get(table.after) ?? 0) + count);
    }
    database.exec('DETACH _unship_archive');
  }
  return edited;
}

/**
 * What taking back these migrations would do to rows: nothing is lost, but what the downs drop goes into an
 * archive. `written` are the rows the application has written since the backup, per table, when that is known.
 *
 * @param open newest first, with the archive of each
 */
export function countDownRisk(
  context: LookContext,
  database: DatabaseSync,
  open: readonly { readonly migration: Migration; readonly archive: Archive | undefined }[],
  written: ReadonlyMap<string, number> | null,
): DataAtRisk {
  const statements = open.flatMap(({ migration }) =>
    migrationStatements(migration.name, migration.down ?? ''),
  );
  const run = dryRun(database, 'the down migrations', statements);
  const edited = editedPerTable(
    database,
    run.before,
    open.map(({ archive }) => archive),
  );
  const tables: TableRisk[] = [];
  const dropped: string[] = [];
  for (const change of correspond(run)) {
    context.signal.throwIfAborted();
    const { before } = change;
    if (before === null) continue;
    if (change.after === null) dropped.push(before);
    else dropped.push(...change.dropped.map((column) => `${before}.${column}`));
    const all = numberOf(database, `SELECT count(*) FROM ${qualified('main', before)}`);
    tables.push({
      table: before,
      kept: change.after === null ? 0 : (written?.get(before) ?? all),
      archived: countArchived(database, change),
      lost: 0,
      editedSince: edited.get(before) ?? 0,
    });
  }
  return { tables, dropped, exact: open.every(({ archive }) => archive !== undefined) };
}
