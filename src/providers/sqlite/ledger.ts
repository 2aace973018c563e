import { randomInt } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { UnshipError } from '../../domain/errors.ts';
import { compareVersions, type MigrationFormat } from '../../domain/migrations/migration-files.ts';
import { appliedTable, ledgerTable, qualified } from './names.ts';

/**
 * The migration tool's own table, kept as the tool keeps it, so that both can be used side by side.
 * dbmate: one row for each applied version. up-down (golang-migrate): one row with the newest version.
 */
export interface Ledger {
  readonly format: MigrationFormat;
  /** Oldest first. `known` are all versions that there are files for: up-down does not write the older ones. */
  applied(database: DatabaseSync, known: readonly string[], schema?: string): readonly string[];
  add(database: DatabaseSync, version: string): void;
  remove(database: DatabaseSync, version: string, known: readonly string[]): void;
  /** Tells two applications of the same version apart; null when it can't be told. */
  mark(database: DatabaseSync, version: string): string | null;
}

function hasTable(database: DatabaseSync, schema: string, table: string): boolean {
  const sql = `SELECT 1 FROM ${qualified(schema, 'sqlite_schema')} WHERE type = 'table' AND name = ?`;
  return database.prepare(sql).get(table) !== undefined;
}

function exists(database: DatabaseSync, schema: string): boolean {
  return hasTable(database, schema, ledgerTable);
}

// A rowid of our own choosing: when another tool takes a migration back and applies it again, the row has
// another one, and what was recorded at our own application is known to be out of date.
function freshRowid(): number {
  return randomInt(2 ** 40, 2 ** 47);
}

const dbmate: Ledger = {
  format: 'dbmate',
  applied(database, _known, schema = 'main') {
    if (!exists(database, schema)) return [];
    const rows = database.prepare(`SELECT version FROM ${qualified(schema, ledgerTable)}`).all();
    return rows.map((row) => String(row.version)).sort(compareVersions);
  },
  add(database, version) {
    database.exec(`CREATE TABLE IF NOT EXISTS main."${ledgerTable}" (version varchar(128) primary key)`);
    const insert = `INSERT OR IGNORE INTO main."${ledgerTable}" (rowid, version) VALUES (?, ?)`;
    database.prepare(insert).run(freshRowid(), version);
  },
  remove(database, version) {
    database.prepare(`DELETE FROM main."${ledgerTable}" WHERE version = ?`).run(version);
  },
  mark(database, version) {
    if (!exists(database, 'main')) return null;
    const row = database
      .prepare(`SELECT rowid AS mark FROM main."${ledgerTable}" WHERE version = ?`)
      .get(version);
    return row === undefined ? null : String(row.mark);
  },
};

function currentVersion(database: DatabaseSync, schema: string): bigint | null {
  if (!exists(database, schema)) return null;
  const row = database
    .prepare(`SELECT CAST(version AS TEXT) AS version, dirty FROM ${qualified(schema, ledgerTable)}`)
    .get();
  if (row === undefined || !/^\d+$/.test(String(row.version))) return null;
  if (Number(row.dirty) !== 0) {
    throw new UnshipError('migration-failed', {
      happened: `the ledger says that migration ${String(row.version)} was left half done by another tool (dirty)`,
      done: 'nothing was changed',
      next: 'mend the schema by hand, clear the flag with the tool that set it, then repeat',
    });
  }
  return BigInt(String(row.version));
}

function setCurrent(database: DatabaseSync, version: string | null): void {
  database.exec(
    `CREATE TABLE IF NOT EXISTS main."${ledgerTable}" (version uint64, dirty bool);
     CREATE UNIQUE INDEX IF NOT EXISTS main.version_unique ON "${ledgerTable}" (version);
     DELETE FROM main."${ledgerTable}";`,
  );
  if (version === null) return;
  const insert = database.prepare(`INSERT INTO main."${ledgerTable}" (version, dirty) VALUES (?, 0)`);
  insert.run(BigInt(version));
}

const upDown: Ledger = {
  format: 'up-down',
  applied(database, known, schema = 'main') {
    const current = currentVersion(database, schema);
    if (current === null) return [];
    const applied = known.filter((version) => BigInt(version) <= current).sort(compareVersions);
    // The tool's own record goes before what files say: a version without a file is still applied.
    return applied.some((version) => BigInt(version) === current) ? applied : [...applied, String(current)];
  },
  add(database, version) {
    setCurrent(database, version);
    database.exec(
      `CREATE TABLE IF NOT EXISTS main.${appliedTable} (version TEXT PRIMARY KEY, mark TEXT NOT NULL)`,
    );
    const insert = database.prepare(`INSERT OR REPLACE INTO main.${appliedTable} VALUES (?, ?)`);
    insert.run(version, String(freshRowid()));
  },
  remove(database, version, known) {
    if (hasTable(database, 'main', appliedTable)) {
      database.prepare(`DELETE FROM main.${appliedTable} WHERE version = ?`).run(version);
    }
    const older = known.filter((other) => BigInt(other) < BigInt(version)).sort(compareVersions);
    setCurrent(database, older.at(-1) ?? null);
  },
  // golang-migrate's one row says nothing about one application, so a table of our own does.
  mark(database, version) {
    if (!hasTable(database, 'main', appliedTable)) return null;
    const row = database.prepare(`SELECT mark FROM main.${appliedTable} WHERE version = ?`).get(version);
    return row === undefined ? null : String(row.mark);
  },
};

/** The ledger that a format's tool keeps. */
export function ledgerOf(format: MigrationFormat): Ledger {
  return format === 'dbmate' ? dbmate : upDown;
}

/** The format that an existing ledger has; undefined when there is none. */
export function formatOfLedger(database: DatabaseSync): MigrationFormat | undefined {
  const columns = database.prepare(`PRAGMA main.table_info("${ledgerTable}")`).all();
  if (columns.length === 0) return undefined;
  return columns.some((column) => column.name === 'dirty') ? 'up-down' : 'dbmate';
}
