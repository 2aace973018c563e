import { Kysely } from 'kysely';
import { UnshipError } from '../domain/errors.ts';
import type { Runtime } from '../domain/runtime.ts';
import { explainPostgresError, pooler, quoted, sqlState } from './explain-postgres-error.ts';
import { type Keeping, plainKeeping } from './keeping.ts';
import { PostgresStateDialect } from './postgres-dialect.ts';
import { PostgresSession } from './postgres-session.ts';
import type { Tables } from './schema.ts';
import { SqlStore } from './sql-store.ts';
import { assertReadable, newestStateVersion, stateMigrations } from './state-migrations.ts';
import type { Store } from './store.port.ts';

export interface PostgresWish {
  readonly url: string;
  readonly application: string;
  readonly environment: string;
  /** Fences of a state that is made now begin above it; see `firstFence` of SQLite's. */
  readonly firstFence?: number;
  /** Asked before a state is made where there was none: throws where it must not be. */
  beforeMaking?(): Promise<void>;
  /** A state in a file, brought forward, whose history is taken along where the shared one has none. */
  readonly formerFile?: string | undefined;
}

/** Longest name that PostgreSQL keeps whole, in bytes. */
const longestName = 63;

/**
 * Name of the schema that holds one application in one environment, as its folder would be called. A name that is too
 * long ends in a digest: cut off, two could be the same.
 */
export function stateSchema(application: string, environment: string, digest: Runtime['digest']): string {
  const name = `unship/${application}/${environment}`;
  if (name.length <= longestName) return name;
  return `${name.slice(0, longestName - 17)}~${digest(name).slice(0, 16)}`;
}

/**
 * Opens, or makes, the state that a team shares: one schema of a PostgreSQL database, one writer at a time, every commit
 * synced. Throws `state-unreachable`, `state-rights`, `state-unsuitable`, `state-version`.
 */
export async function openPostgresStore(
  wish: PostgresWish,
  runtime: Runtime,
  keeping: Keeping = plainKeeping,
): Promise<Store> {
  const schema = stateSchema(wish.application, wish.environment, runtime.digest);
  const session = new PostgresSession(wish.url, schema);
  try {
    await session.open();
    await migrate(session, wish);
    if (wish.formerFile !== undefined) {
      const { carryOver } = await import('./carry-over.ts');
      await carryOver(wish.formerFile, session, runtime.clock.now());
    }
  } catch (error) {
    await session.close();
    throw explainPostgresError(error, 'opening', session.place);
  }
  const db = new Kysely<Tables>({ dialect: new PostgresStateDialect(session) });
  return new SqlStore(db, runtime, keeping, async () => await session.close());
}

interface Version {
  readonly version: number;
  readonly readable_from: number;
}

async function migrate(session: PostgresSession, wish: PostgresWish): Promise<void> {
  const found = await versionOf(session);
  if (found?.version === newestStateVersion) return;
  if (found !== undefined && found.version > newestStateVersion) {
    assertReadable(`the state in ${session.place.schema}`, found.version, found.readable_from);
    return;
  }
  if (found === undefined) await wish.beforeMaking?.();
  await session.begin('opening');
  try {
    await bringForward(session, wish.firstFence ?? 0);
    await session.commit();
  } catch (error) {
    await session.rollback();
    throw error;
  }
}

/** Undefined where there is no state yet. */
async function versionOf(session: PostgresSession): Promise<Version | undefined> {
  const { schema } = session.place;
  const path = `current_setting('search_path') as path`;
  try {
    const { rows } = await session.query(
      `select version, readable_from, ${path} from ${quoted(schema)}.state_version`,
    );
    const [row] = rows as readonly (Version & { readonly path: string })[];
    if (row !== undefined && row.path !== quoted(schema)) throw pooler(session.place);
    return row;
  } catch (error) {
    const state = sqlState(error instanceof UnshipError ? error.details.cause : error);
    if (state === '42P01' || state === '3F000') return undefined;
    throw error;
  }
}

/** In a transaction that holds the lock: another process may have brought it forward while this one waited. */
async function bringForward(session: PostgresSession, firstFence: number): Promise<void> {
  const { schema } = session.place;
  await makeSchema(session);
  await session.query(
    `create table if not exists ${quoted(schema)}.state_version (version integer not null, readable_from integer not null)`,
  );
  const current = await versionOf(session);
  if (current === undefined) await session.query('insert into state_version values (0, 0)');
  for (const migration of stateMigrations.filter((item) => item.version > (current?.version ?? 0))) {
    for (const statement of migration.postgres) await session.query(statement);
    const { version, readableFrom } = migration;
    await session.query(`update state_version set version = ${version}, readable_from = ${readableFrom}`);
  }
  if (current === undefined) await session.query(`update lease set fence = ${Math.trunc(firstFence)}`);
}

/** Throws `state-rights` with the statement that is missing, and `state-unsuitable`. */
async function makeSchema(session: PostgresSession): Promise<void> {
  const { place } = session;
  const { rows } = await session.query(`select current_database() as database, current_user as role,
    current_setting('server_encoding') as encoding, current_setting('search_path') as path,
    to_regnamespace('${quoted(place.schema).replaceAll("'", "''")}') is not null as there,
    has_database_privilege(current_database(), 'CREATE') as may`);
  const [seen] = rows;
  if (seen.path !== quoted(place.schema)) throw pooler(place);
  if (seen.encoding !== 'UTF8') {
    throw new UnshipError('state-unsuitable', {
      happened: `the database ${seen.database} keeps text as ${seen.encoding}; the state needs UTF8`,
      done: 'nothing',
      next: `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and use that one`,
    });
  }
  if (seen.there) return;
  if (!seen.may) {
    throw new UnshipError('state-rights', {
      happened: `${seen.role} may not make the schema ${place.schema} in the database ${seen.database}`,
      done: 'nothing',
      next: `CREATE SCHEMA ${quoted(place.schema)} AUTHORIZATION ${quoted(seen.role)}, as a role that may; then repeat`,
    });
  }
  await session.query(`create schema ${quoted(place.schema)}`);
}
