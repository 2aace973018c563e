import type { DatabaseSync } from 'node:sqlite';
import type { Archive, ArchivedTable, ArchiveRecord } from './archive.ts';
import { attach } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import { numbered, scratch } from './rows.ts';
import type { Table } from './schema.ts';

/** An archive whose rows have been copied into scratch space, ready to be given back. */
export interface LoadedArchive {
  readonly archive: Archive;
  /** Prefix of its tables in scratch space. */
  readonly prefix: string;
  /** False for a migration whose text has changed since: then only what it dropped comes back. */
  readonly rewrites: boolean;
}

export interface ReturnTable {
  readonly table: ArchivedTable;
  /** Rows of the archive, and the judgement made on them before the statements ran. */
  readonly rows: string;
  readonly judged: string;
  readonly keys: readonly string[];
}

export function keyNames(table: ArchivedTable): readonly string[] {
  return numbered('k', Math.max(table.key?.before.length ?? 0, table.key?.after.length ?? 0));
}

/** Copies an archive's rows into scratch space. Before the transaction: it may take long, and locks nothing. */
export function loadArchive(
  database: DatabaseSync,
  archive: Archive,
  prefix: string,
  rewrites: boolean,
): LoadedArchive {
  attach(database, archive.file, '_unship_archive', 'read');
  try {
    for (const table of archive.record.tables) {
      if (table.rows === null) continue;
      const target = `${prefix}_rows_${table.rows}`;
      database.exec(`CREATE TABLE ${scratch}.${target} AS SELECT * FROM _unship_archive.rows_${table.rows}`);
      const keys = keyNames(table);
      if (keys.length > 0) {
        database.exec(`CREATE INDEX ${scratch}.${target}_key ON ${target} (${keys.join(', ')})`);
      }
    }
  } finally {
    database.exec('DETACH _unship_archive');
  }
  return { archive, prefix, rewrites };
}

/** Rows are still called what they were called when the archive was written, so that they can be found again. */
function isRecognisable(record: ArchiveRecord, table: ArchivedTable, epoch: string | null): boolean {
  if (table.unmatched !== null) return false;
  return table.key?.rowid !== true || (record.epoch !== null && record.epoch === epoch);
}

/** Whether a table's rows can be put back into what stands in its place after the way back. */
export function canReturn(
  record: ArchiveRecord,
  table: ArchivedTable,
  live: Table | undefined,
  change: TableChange | undefined,
  epoch: string | null,
): boolean {
  if (live === undefined || live.kind !== 'table' || !isRecognisable(record, table, epoch)) return false;
  if (table.key?.rowid === true) return change?.rebuilt !== true;
  const names = new Set(live.columns.map((column) => column.name));
  return table.key === null || table.key.before.every((column) => names.has(column));
}

/**
 * Tables, by their names before the way back, that this migration had rows moved to and that the way back brings
 * rows from: those are the newer truth, some may have been deleted since. A rebuilt table's own rows are none.
 */
export function carriedFrom(
  record: ArchiveRecord,
  table: ArchivedTable,
  change: TableChange | undefined,
): readonly string[] {
  const wasWritten = (name: string): boolean =>
    record.tables.find((other) => other.after === name)?.rows !== null;
  return (change?.filledFrom ?? []).filter((name) => name !== table.after && wasWritten(name));
}

/** Where an archived table's rows lie in scratch space. */
export function rowsOf(loaded: LoadedArchive, table: ArchivedTable): string {
  return `${scratch}.${loaded.prefix}_rows_${table.rows}`;
}

export function returnTables(loaded: LoadedArchive, epoch: string | null): readonly ReturnTable[] {
  const { record } = loaded.archive;
  return record.tables
    .filter((table) => table.rows !== null && table.before !== null)
    .filter((table) => isRecognisable(record, table, epoch))
    .map((table) => ({
      table,
      rows: rowsOf(loaded, table),
      judged: `${scratch}.${loaded.prefix}_judged_${table.rows}`,
      keys: keyNames(table),
    }));
}

/** Tables that giving back will write, by their names before the statements of the way back run. */
export function tablesToWrite(loaded: LoadedArchive): ReadonlySet<string> {
  return new Set(
    loaded.archive.record.tables
      .filter((table) => table.rows !== null)
      .flatMap((table) => table.before ?? []),
  );
}
