import type { DatabaseSync } from 'node:sqlite';
import type { DataAtRisk, TableRisk } from '../../domain/facts.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { Archive, ArchivedTable } from './archive.ts';
import { attach, numberOf } from './connection.ts';
import { correspond, type TableChange } from './correspondence.ts';
import { downScript } from './down-script.ts';
import { type DryRun, dryRun } from './dry-run.ts';
import { rowidEpoch } from './fence.ts';
import { qualified, quoteName } from './names.ts';
import { differs, numbered, sameKey } from './rows.ts';
import { findTable, type Schema, storedColumns } from './schema.ts';
import { countWithheld } from './withheld.ts';

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

interface RecordedRisk {
  readonly edited: ReadonlyMap<string, number>;
  readonly withheld: ReadonlyMap<string, number>;
  readonly exact: boolean;
}

/** What the records of the ups tell, per table. */
function recordedRisk(
  database: DatabaseSync,
  run: DryRun,
  changes: readonly TableChange[],
  archives: readonly (Archive | undefined)[],
): RecordedRisk {
  const edited = new Map<string, number>();
  const withheld = new Map<string, number>();
  const add = (counts: Map<string, number>, table: string, count: number): void => {
    if (count > 0) counts.set(table, (counts.get(table) ?? 0) + count);
  };
  const epoch = rowidEpoch(database);
  let exact = true;
  for (const archive of archives) {
    if (archive === undefined) continue;
    attach(database, archive.file, '_unship_archive', 'read');
    for (const table of archive.record.tables) {
      if (table.after !== null) add(edited, table.after, countEdited(database, run.before, table));
    }
    const counted = countWithheld(database, run, archive, changes, epoch);
    for (const [table, count] of counted.tables) add(withheld, table, count);
    exact &&= counted.exact;
    database.exec('DETACH _unship_archive');
  }
  return { edited, withheld, exact };
}

/**
 * What taking back these migrations would do to rows: nothing is lost, but what the downs drop goes into an
 * archive, and what the ups overwrote may not all find its place again. `written` are the rows the application has written since the backup, per table, when that is known.
 *
 * @param open newest first, with the archive of each
 */
export function countDownRisk(
  context: LookContext,
  database: DatabaseSync,
  open: readonly { readonly migration: Migration; readonly archive: Archive | undefined }[],
  written: ReadonlyMap<string, number> | null,
): DataAtRisk {
  const run = dryRun(
    database,
    open.map(({ migration }) => downScript(migration)),
  );
  const changes = correspond(run);
  const archives = open.map(({ archive }) => archive);
  const { edited, withheld, exact } = recordedRisk(database, run, changes, archives);
  const tables: TableRisk[] = [];
  const dropped: string[] = [];
  for (const change of changes) {
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
      ...(withheld.has(before) ? { withheld: withheld.get(before) ?? 0 } : {}),
    });
  }
  const listed = new Set(tables.map(({ table }) => table));
  for (const [table, count] of withheld) {
    if (!listed.has(table))
      tables.push({ table, kept: 0, archived: 0, lost: 0, editedSince: 0, withheld: count });
  }
  return { tables, dropped, exact: exact && archives.every((archive) => archive !== undefined) };
}
