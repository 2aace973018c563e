import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import type { Runtime } from '../domain/runtime.ts';
import { explainOpeningError } from './explain-sqlite-error.ts';
import { type Keeping, plainKeeping } from './keeping.ts';
import { isLocked, NodeSqliteDialect } from './node-sqlite-dialect.ts';
import type { Tables } from './schema.ts';
import { SqlStore } from './sql-store.ts';
import { assertReadable, newestStateVersion, stateMigrations } from './state-migrations.ts';
import type { Store } from './store.port.ts';

/**
 * Opens, or makes, the embedded state: SQLite in WAL mode, every commit synced. Throws `state-version` when a
 * newer program wrote it in a way this one can't read. Leases get fences above `lowestFence`: on a copy, what
 * was copied has seen the live ones; for a new state, see `firstFence`.
 */
export function openSqliteStore(
  file: string,
  runtime: Runtime,
  lowestFence = 0,
  keeping: Keeping = plainKeeping,
): Store {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    database.exec('pragma busy_timeout = 5000; pragma synchronous = full; pragma foreign_keys = on');
    useWriteAheadLog(database);
    migrate(database, file);
    // From here on waiting for others is the connection's, which does not block.
    database.exec('pragma busy_timeout = 0');
  } catch (error) {
    database?.close();
    throw explainOpeningError(error, file);
  }
  if (lowestFence > 0) database.prepare('update lease set fence = max(fence, ?)').run(lowestFence);
  const opened = database;
  const db = new Kysely<Tables>({ dialect: new NodeSqliteDialect(opened) });
  return new SqlStore(db, runtime, keeping, async () => {
    if (opened.isOpen) opened.close();
  });
}

/**
 * For a state that is made now: seconds since the epoch. A state that was lost has left its fences in databases
 * and gateways; counting from 1 again, every run would be refused there as an older holder.
 */
export function firstFence(file: string, runtime: Runtime): number {
  return existsSync(file) ? 0 : Math.floor(runtime.clock.now() / 1000);
}

function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`pragma ${name}`).get() as { readonly [key: string]: number };
  return Number(row[name]);
}

/** Longest wait for another process that is making the same file, in ms. */
const makingLimitMs = 10_000;

/**
 * The mode is a property of the file, so it is asked for whenever it is not there: the process that made the file
 * may have been killed before it. SQLite does not wait for others here, whatever the busy timeout.
 */
function useWriteAheadLog(database: DatabaseSync): void {
  const begun = performance.now();
  for (;;) {
    try {
      const row = database.prepare('pragma journal_mode').get() as { readonly journal_mode: string };
      if (row.journal_mode === 'wal') return;
      database.exec('pragma journal_mode = wal');
    } catch (error) {
      if (!isLocked(error) || performance.now() - begun > makingLimitMs) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** `application_id` carries the oldest version that can read the file, `user_version` the version it has. */
function migrate(database: DatabaseSync, file: string): void {
  const version = pragma(database, 'user_version');
  if (version === newestStateVersion) return;
  if (version > newestStateVersion) {
    assertReadable(file, version, pragma(database, 'application_id'));
    return;
  }
  database.exec('begin immediate');
  try {
    // Another process may have brought it forward while this one waited for the lock.
    const current = pragma(database, 'user_version');
    for (const migration of stateMigrations.filter((item) => item.version > current)) {
      for (const statement of migration.sqlite) database.exec(statement);
      database.exec(`pragma user_version = ${migration.version}`);
      database.exec(`pragma application_id = ${migration.readableFrom}`);
    }
    database.exec('commit');
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}
