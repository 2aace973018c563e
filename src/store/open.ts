import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { UnshipError } from '../domain/errors.ts';
import type { Runtime } from '../domain/runtime.ts';
import { NodeSqliteDialect } from './node-sqlite-dialect.ts';
import { stateMigrations, type Tables } from './schema.ts';
import { SqlStore } from './sql-store.ts';
import type { Store } from './store.port.ts';

/**
 * Opens, or makes, the embedded state: SQLite in WAL mode, every commit synced. Throws `state-version` when a
 * newer program wrote it in a way this one can't read.
 */
export function openSqliteStore(file: string, runtime: Runtime): Store {
  const fresh = !existsSync(file);
  const database = new DatabaseSync(file);
  database.exec('pragma busy_timeout = 5000; pragma synchronous = full; pragma foreign_keys = on');
  if (fresh) database.exec('pragma journal_mode = wal');
  migrate(database, file);
  return new SqlStore(new Kysely<Tables>({ dialect: new NodeSqliteDialect(database) }), runtime);
}

function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`pragma ${name}`).get() as { readonly [key: string]: number };
  return Number(row[name]);
}

/** `application_id` carries the oldest version that can read the file, `user_version` the version it has. */
function migrate(database: DatabaseSync, file: string): void {
  const newest = stateMigrations.at(-1)?.version ?? 0;
  const version = pragma(database, 'user_version');
  if (version === newest) return;
  if (version > newest) {
    const readableFrom = pragma(database, 'application_id');
    if (readableFrom <= newest) return;
    throw new UnshipError('state-version', {
      happened: `${file} has version ${version}, readable from ${readableFrom}; this program knows ${newest}`,
      done: 'nothing',
    });
  }
  database.exec('begin immediate');
  try {
    // Another process may have brought it forward while this one waited for the lock.
    const current = pragma(database, 'user_version');
    for (const migration of stateMigrations.filter((item) => item.version > current)) {
      for (const statement of migration.statements) database.exec(statement);
      database.exec(`pragma user_version = ${migration.version}`);
      database.exec(`pragma application_id = ${migration.readableFrom}`);
    }
    database.exec('commit');
  } catch (error) {
    database.exec('rollback');
    throw error;
  }
}
