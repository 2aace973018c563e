import type { ReleaseId } from '../../domain/release.ts';
import type { Connection } from './connection.ts';
import { ownSchema } from './names.ts';

export type Direction = 'up' | 'down';

export interface TableName {
  readonly schema: string;
  readonly name: string;
  readonly label: string;
}

/**
 * One table in an archive. Its rows, when any are kept, are in the table `rows` of our schema. Every value is its text
 * there, as pg_dump would write it: a column of the application's own type would stand in the way of dropping the type.
 * `k` the key; `v` the transaction that wrote the row before; `d` what happened (0 only shape, 1 changed, 2 deleted,
 * 3 inserted, 4 kept, can't be matched); `m` one digit for each mapped column, 1 where its value changed; `b` values
 * before, mapped columns then dropped ones; `a` values after of the mapped columns that changed; `x` of added columns.
 */
export interface ArchivedTable {
  readonly before: TableName | null;
  readonly after: TableName | null;
  readonly mapped: readonly (readonly [before: string, after: string])[];
  readonly dropped: readonly string[];
  readonly added: readonly string[];
  readonly rebuilt: boolean;
  readonly rows: string | null;
  readonly keyBefore: readonly string[];
  readonly keyAfter: readonly string[];
  /** Where the sequences of its columns stood. */
  readonly sequences: readonly (readonly [column: string, last: string])[];
  /** Why its values can't be given back by themselves; null when they can. */
  readonly unmatched: string | null;
}

/** What one application of one migration, in one direction, overwrote. */
export interface ArchiveRecord {
  readonly schema: 'unship.archive/1';
  readonly release: ReleaseId;
  readonly version: string;
  readonly name: string;
  readonly direction: Direction;
  /** SHA-256 of the text that ran upwards: a changed migration is another one. */
  readonly checksum: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly tables: readonly ArchivedTable[];
  readonly archived: number;
  readonly givenBack: number;
  readonly keptEdits: number;
  readonly withheld: number;
  /** The archive that holds what was withheld. */
  readonly withheldIn: string | null;
}

export interface Archive {
  readonly id: string;
  /** The ledger's mark of the application that made it; null for a down. */
  readonly mark: string | null;
  /** Transactions whose writes were the migration's own. */
  readonly own: readonly string[];
  readonly record: ArchiveRecord;
}

type Row = { id: string; mark: string | null; own: string[]; record: ArchiveRecord };

async function isThere(connection: Connection): Promise<boolean> {
  const [row] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.archive') IS NOT NULL AS is`,
  );
  return row?.is === true;
}

/** Every archive of a version that is not given back, newest first. */
export async function archivesOf(
  connection: Connection,
  version: string,
  direction: Direction,
): Promise<readonly Archive[]> {
  if (!(await isThere(connection))) return [];
  return await connection.rows<Row>(
    `SELECT id::text, mark, own::text[] AS own, record FROM ${ownSchema}.archive
     WHERE version = $1 AND direction = $2 AND NOT returned ORDER BY id DESC`,
    [version, direction],
  );
}

/** What the application of `version` that is live now overwrote; undefined when another tool applied it. */
export async function archiveOfLive(
  connection: Connection,
  version: string,
  mark: string | undefined,
): Promise<Archive | undefined> {
  if (mark === undefined) return undefined;
  return (await archivesOf(connection, version, 'up')).find((archive) => archive.mark === mark);
}

export async function newArchiveId(connection: Connection): Promise<string> {
  const [row] = await connection.rows<{ id: string }>(
    `SELECT nextval(pg_get_serial_sequence('${ownSchema}.archive', 'id'))::text AS id`,
  );
  return row?.id ?? '';
}

export async function writeArchive(
  connection: Connection,
  { id, mark, own, record }: Archive,
): Promise<void> {
  await connection.rows(
    `INSERT INTO ${ownSchema}.archive (id, version, direction, mark, own, record) OVERRIDING SYSTEM VALUE
     VALUES ($1, $2, $3, $4, $5::bigint[], $6)`,
    [id, record.version, record.direction, mark, own, JSON.stringify(record)],
  );
}

/** What a down had dropped is back: it is kept for people, and not used again. */
export async function retire(connection: Connection, version: string): Promise<void> {
  await connection.rows(
    `UPDATE ${ownSchema}.archive SET returned = true WHERE version = $1 AND direction = 'down'`,
    [version],
  );
}

/** How people find it. */
export function placeOf(database: string, id: string): string {
  return `database ${database}, tables ${ownSchema}.a${id}_… (${ownSchema}.archive ${id})`;
}
