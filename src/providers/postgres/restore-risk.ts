import type { DataAtRisk, TableRisk } from '../../domain/facts.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { type Archive, type ArchivedTable, archiveOfLive } from './archive.ts';
import { type BackupRecord, readBackup } from './backup-record.ts';
import { type Catalogue, readCatalogue, type Table } from './catalogue.ts';
import { type Connection, identifier, literal } from './connection.ts';
import type { Core } from './core.ts';
import { ledgerFor } from './ledger.ts';
import { ownSchema } from './names.ts';
import { texts } from './record.ts';
import { serverFacts } from './server.ts';
import { fullXid, isAfter, newestXid } from './transactions.ts';

/** The restore that the live database's content came from. */
export interface Restored {
  readonly key: string;
  readonly backup: string;
  readonly safety: string;
  readonly kept: string;
  readonly rowsLost: number;
  readonly at: number;
  readonly snapshot: string;
}

export async function lastRestore(connection: Connection): Promise<Restored | undefined> {
  const [there] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.restored') IS NOT NULL AS is`,
  );
  if (there?.is !== true) return undefined;
  const [row] = await connection.rows<{ [column: string]: string }>(
    `SELECT key, backup, safety, kept, rows_lost::text, at::text, snapshot FROM ${ownSchema}.restored ORDER BY at DESC LIMIT 1`,
  );
  if (row === undefined) return undefined;
  const { key = '', backup = '', safety = '', kept = '', snapshot = '' } = row;
  return { key, backup, safety, kept, snapshot, rowsLost: Number(row.rows_lost), at: Number(row.at) };
}

/** What the live database's rows are measured against. */
interface Baseline {
  readonly snapshot: string;
  readonly applied: readonly string[] | null;
}

/**
 * Writes are counted from the backup; but when another backup was restored since, what came before that is lost
 * already, and only what was written after it can be lost now.
 */
async function baselineFor(core: Core, connection: Connection, record: BackupRecord): Promise<Baseline> {
  const last = await lastRestore(connection);
  if (last === undefined || (last.safety !== record.id && last.at <= record.takenAt)) return record;
  return { snapshot: last.snapshot, applied: readBackup(core, last.backup)?.applied ?? null };
}

/** Archives of everything that ran after the baseline, oldest first. */
async function archivesAfter(connection: Connection, snapshot: string): Promise<readonly Archive[]> {
  const [there] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.archive') IS NOT NULL AS is`,
  );
  if (there?.is !== true) return [];
  return await connection.rows<{ id: string; mark: string | null; own: string[]; record: Archive['record'] }>(
    `SELECT id::text, mark, own::text[] AS own, record FROM ${ownSchema}.archive
     WHERE ${isAfter('own[1]', literal(snapshot))} ORDER BY id`,
  );
}

/** Every migration that stands between then and now has told what it did. */
async function areAllRecorded(
  core: Core,
  connection: Connection,
  applied: readonly string[],
  archives: readonly Archive[],
): Promise<boolean> {
  const ledger = await ledgerFor(core, connection);
  const now = await ledger.applied(core.texts.allKept().map((migration) => migration.version));
  const marks = await ledger.marks();
  for (const version of now.filter((one) => !applied.includes(one)))
    if ((await archiveOfLive(connection, version, marks.get(version))) === undefined) return false;
  const downs = new Set(
    archives.flatMap(({ record }) => (record.direction === 'down' ? [record.version] : [])),
  );
  return applied.every((version) => now.includes(version) || downs.has(version));
}

/** What became of a table through the archives after this one; null when it is gone. */
function nowOf(archives: readonly Archive[], at: number, table: ArchivedTable): string | null {
  let label = table.after?.label ?? null;
  for (const { record } of archives.slice(at + 1)) {
    const next = record.tables.find((candidate) => candidate.before?.label === label);
    if (next !== undefined) label = next.after?.label ?? null;
  }
  return label;
}

interface Count {
  readonly connection: Connection;
  readonly snapshot: string;
  readonly newest: string;
  readonly own: readonly string[];
  readonly archives: readonly Archive[];
}

/** True for a recorded row that the application had written after the baseline, before a migration took it. */
function wasEdited({ snapshot, own }: Count): string {
  return `v IS NOT NULL AND ${isAfter('v', literal(snapshot))} AND v <> ALL(${ownList(own)})`;
}

function ownList(own: readonly string[]): string {
  return `ARRAY[${own.join(', ')}]::bigint[]`;
}

async function lostOf(
  count: Count,
  table: Table,
): Promise<{ readonly total: number; readonly lost: number }> {
  const { connection, snapshot, newest, own, archives } = count;
  const recorded = archives.flatMap(({ record }, at) =>
    record.tables.filter(
      (candidate) => candidate.rows !== null && nowOf(archives, at, candidate) === table.label,
    ),
  );
  const edited = recorded.map(
    ({ rows }) => `SELECT k FROM ${ownSchema}.${rows} WHERE d IN (0, 1) AND ${wasEdited(count)}`,
  );
  const underneath =
    edited.length === 0 || table.key.length === 0
      ? 'false'
      : `${texts('t', table.key)} IN (${edited.join(' UNION ALL ')})`;
  const keys = table.key.map((column) => `s.${identifier(column)}, `).join('');
  const [row] = await connection.rows<{ total: string; lost: string }>(
    `SELECT count(*) AS total, count(*) FILTER (WHERE ${isAfter('t.unship_xid', literal(snapshot))}
       AND (t.unship_xid <> ALL(${ownList(own)}) OR ${underneath})) AS lost
     FROM (SELECT ${keys}${fullXid('s.xmin', newest)} AS unship_xid FROM ${table.from} AS s) AS t`,
  );
  let lost = Number(row?.lost ?? 0);
  for (const { rows } of recorded) lost += await goneOf(count, rows ?? '');
  return { total: Number(row?.total ?? 0), lost };
}

/** Rows that the application had written and a migration deleted: restoring the backup does not bring them. */
async function goneOf(count: Count, rows: string): Promise<number> {
  const [row] = await count.connection.rows<{ n: string }>(
    `SELECT count(*) AS n FROM ${ownSchema}.${rows} WHERE d = 2 AND ${wasEdited(count)}`,
  );
  return Number(row?.n ?? 0);
}

function droppedBy(live: Catalogue, record: BackupRecord): readonly string[] {
  return [...live.values()].flatMap((table) => {
    const then = record.columns[table.label];
    if (then === undefined) return [table.label];
    return table.columns
      .filter((column) => !column.generated && !then.includes(column.name))
      .map((column) => `${table.label}.${column.name}`);
  });
}

/**
 * Rows that putting the backup's content in the live database's place would lose: those that a transaction has written
 * which the backup has not seen, unless that was a migration of ours and nothing of the application's lay underneath.
 * The server keeps with every row who wrote it last, so nothing has to be compared.
 */
export async function countRestoreLoss(
  context: LookContext,
  core: Core,
  connection: Connection,
  record: BackupRecord,
): Promise<DataAtRisk> {
  const baseline = await baselineFor(core, connection, record);
  const archives = await archivesAfter(connection, baseline.snapshot);
  const newest = await newestXid(connection);
  const count = {
    connection,
    newest,
    archives,
    snapshot: baseline.snapshot,
    own: archives.flatMap(({ own }) => own),
  };
  const catalogue = await readCatalogue(connection);
  const isSameServer = record.server === (await serverFacts(connection)).id;
  const isRecorded =
    baseline.applied !== null && (await areAllRecorded(core, connection, baseline.applied, archives));
  const tables: TableRisk[] = [];
  const risk = (table: string, total: number, lost: number): TableRisk => {
    // Deletions leave no row that could tell: fewer than there were is what can be said of them.
    const returning = Math.max(0, (record.rows[table] ?? 0) - total);
    const more = returning === 0 ? {} : { returning };
    return { table, kept: Math.max(0, total - lost), archived: 0, lost, editedSince: 0, ...more };
  };
  for (const table of catalogue.values()) {
    context.signal.throwIfAborted();
    const { total, lost } = await lostOf(count, table);
    tables.push(risk(table.label, total, isSameServer ? lost : total));
  }
  for (const [at, { record: archive }] of archives.entries()) {
    for (const table of archive.tables) {
      if (table.rows === null || table.before === null || nowOf(archives, at, table) !== null) continue;
      const lost = await goneOf(count, table.rows);
      if (lost > 0) tables.push(risk(table.before.label, 0, lost));
    }
  }
  return { tables, dropped: droppedBy(catalogue, record), exact: isSameServer && isRecorded };
}
