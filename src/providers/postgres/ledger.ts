import { randomBytes } from 'node:crypto';
import { UnshipError } from '../../domain/errors.ts';
import { compareVersions, type MigrationFormat } from '../../domain/migrations/migration-files.ts';
import { type Connection, identifier } from './connection.ts';
import type { Core } from './core.ts';
import { ledgerTable, ownSchema } from './names.ts';

/**
 * The migration tool's own table, kept as the tool keeps it, so that both can be used side by side.
 * dbmate: one row for each applied version. up-down (golang-migrate): one row with the newest version.
 */
export interface Ledger {
  readonly format: MigrationFormat;
  /** Oldest first. `known` are all versions that there are files for: up-down does not write the older ones. */
  applied(known: readonly string[]): Promise<readonly string[]>;
  add(version: string): Promise<void>;
  remove(version: string, known: readonly string[]): Promise<void>;
  /** By version: tells two applications of the same version apart; left out where that can't be told. */
  marks(): Promise<ReadonlyMap<string, string>>;
}

/** The table that is there, told by its columns; before the first migration, the one of the files' format. */
export async function ledgerFor(
  core: Core,
  connection: Connection,
  files?: MigrationFormat,
): Promise<Ledger> {
  const [found] = await connection.rows<{ schema: string; dirty: boolean }>(
    `SELECT n.nspname AS schema, EXISTS (SELECT 1 FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname = 'dirty' AND NOT a.attisdropped) AS dirty
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = '${ledgerTable}' AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
     ORDER BY c.oid IS DISTINCT FROM to_regclass('${ledgerTable}'), n.nspname LIMIT 1`,
  );
  // A migration may leave an empty search path behind: the table's place is settled before.
  const [path] = await connection.rows<{ schema: string | null }>('SELECT current_schema()::text AS schema');
  const table = identifier(found?.schema ?? path?.schema ?? 'public', ledgerTable);
  const isThere = found !== undefined;
  if (isThere ? found.dirty : (files ?? core.format) === 'up-down') return upDown(connection, table, isThere);
  return dbmate(connection, table, isThere);
}

function dbmate(connection: Connection, table: string, isThere: boolean): Ledger {
  return {
    format: 'dbmate',
    async applied() {
      if (!isThere) return [];
      const rows = await connection.rows<{ version: string }>(`SELECT version::text FROM ${table}`);
      return rows.map((row) => row.version).sort(compareVersions);
    },
    async add(version) {
      await connection.run(`CREATE TABLE IF NOT EXISTS ${table} (version varchar(128) PRIMARY KEY)`);
      await connection.rows(`INSERT INTO ${table} (version) VALUES ($1) ON CONFLICT DO NOTHING`, [version]);
    },
    async remove(version) {
      await connection.rows(`DELETE FROM ${table} WHERE version = $1`, [version]);
    },
    // The transaction that wrote the row: taken back and applied again by the tool, it is another one.
    async marks() {
      if (!isThere && !(await exists(connection, table))) return new Map();
      const rows = await connection.rows<{ version: string; mark: string }>(
        `SELECT version::text, xmin::text AS mark FROM ${table}`,
      );
      return new Map(rows.map(({ version, mark }) => [version, mark]));
    },
  };
}

async function exists(connection: Connection, table: string): Promise<boolean> {
  const [row] = await connection.rows<{ is: boolean }>('SELECT to_regclass($1) IS NOT NULL AS is', [table]);
  return row?.is === true;
}

function upDown(connection: Connection, table: string, isThere: boolean): Ledger {
  const setCurrent = async (version: string | null): Promise<void> => {
    await connection.run(
      `CREATE TABLE IF NOT EXISTS ${table} (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL); DELETE FROM ${table}`,
    );
    if (version === null) return;
    await connection.rows(`INSERT INTO ${table} (version, dirty) VALUES ($1, false)`, [
      String(BigInt(version)),
    ]);
  };
  return {
    format: 'up-down',
    async applied(known) {
      if (!isThere) return [];
      const [row] = await connection.rows<{ version: string; dirty: boolean }>(
        `SELECT version::text, dirty FROM ${table} LIMIT 1`,
      );
      if (row === undefined || !/^\d+$/.test(row.version)) return [];
      if (row.dirty) throw dirty(row.version);
      const current = BigInt(row.version);
      const applied = known.filter((version) => BigInt(version) <= current).sort(compareVersions);
      // The tool's own record goes before what files say: a version without a file is still applied.
      return applied.some((version) => BigInt(version) === current) ? applied : [...applied, String(current)];
    },
    async add(version) {
      await setCurrent(version);
      await connection.rows(
        `INSERT INTO ${ownSchema}.applied VALUES ($1, $2) ON CONFLICT (version) DO UPDATE SET mark = excluded.mark`,
        [version, randomBytes(8).toString('hex')],
      );
    },
    async remove(version, known) {
      await connection.rows(`DELETE FROM ${ownSchema}.applied WHERE version = $1`, [version]);
      const older = known.filter((other) => BigInt(other) < BigInt(version)).sort(compareVersions);
      await setCurrent(older.at(-1) ?? null);
    },
    // golang-migrate's one row says nothing about one application, so a table of our own does.
    async marks() {
      if (!(await exists(connection, `${ownSchema}.applied`))) return new Map();
      const rows = await connection.rows<{ version: string; mark: string }>(
        `SELECT version, mark FROM ${ownSchema}.applied`,
      );
      return new Map(rows.map(({ version, mark }) => [version, mark]));
    },
  };
}

function dirty(version: string): UnshipError {
  return new UnshipError('migration-failed', {
    happened: `the ledger says that migration ${version} was left half done by another tool (dirty)`,
    done: 'nothing was changed',
    next: 'mend the schema by hand, clear the flag with the tool that set it, then repeat',
  });
}
