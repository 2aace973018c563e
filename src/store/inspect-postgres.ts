import { explainPostgresError, grants, type Place } from './explain-postgres-error.ts';
import { stateSchema } from './open-postgres.ts';
import { PostgresSession } from './postgres-session.ts';

/** What a shared state looks like from outside, for whoever asks whether one can rely on it. */
export interface PostgresInspection {
  readonly place: Place;
  readonly version: string;
  /** Without it a commit that was answered can be lost with the machine. */
  readonly isSynced: boolean;
  /** Statements that give this role what it lacks to read and write. */
  readonly missing: readonly string[];
  /** Who alone may bring the state forward when a newer program asks for it; null where this role may. */
  readonly owner: string | null;
}

/** Looks at a state that is there, on a session of its own. Throws `state-unreachable`, `state-rights`. */
export async function inspectPostgres(
  wish: { readonly url: string; readonly application: string; readonly environment: string },
  digest: (text: string) => string,
): Promise<PostgresInspection> {
  const schema = stateSchema(wish.application, wish.environment, digest);
  return await inSession(wish.url, schema, async (session) => {
    const { rows: servers } = await session.query(
      `select current_setting('server_version') as version, current_setting('fsync') as fsync`,
    );
    const { rows: tables } = await session.query(
      `select bool_and(has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'INSERT')
          and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'DELETE')) as may,
        bool_and(pg_has_role(c.relowner, 'USAGE')) as owns, min(c.relowner::regrole::text) as owner
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind = 'r'`,
      [schema],
    );
    const [server, rights] = [servers[0], tables[0]];
    return {
      place: session.place,
      version: server.version,
      isSynced: server.fsync === 'on',
      missing: rights.may === true ? [] : grants(session.place),
      owner: rights.owns === true ? null : rights.owner,
    };
  });
}

/**
 * Whether both lead to one database of one server, whatever they call it. False where one of them can't be asked: then
 * it is somebody else's finding.
 */
export async function isSameDatabase(one: string, other: string): Promise<boolean> {
  if (isSameAddress(one, other)) return true;
  try {
    return (await identityOf(one)) === (await identityOf(other));
  } catch {
    return false;
  }
}

/** Told without asking anybody. */
export function isSameAddress(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && addressOf(one) === addressOf(other);
}

function addressOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  const host = /^(localhost|127\.0\.0\.1|\[::1\])?$/.test(hostname) ? 'localhost' : hostname.toLowerCase();
  return `${host}:${port === '' ? '5432' : port}${decodeURIComponent(pathname)}`;
}

/** To the microsecond, no two servers have started at the same time. */
async function identityOf(url: string): Promise<string> {
  return await inSession(url, 'pg_catalog', async (session) => {
    const { rows } = await session.query(
      `select pg_postmaster_start_time()::text || ' ' || oid as identity from pg_database where datname = current_database()`,
    );
    return rows[0].identity;
  });
}

async function inSession<T>(
  url: string,
  schema: string,
  work: (session: PostgresSession) => Promise<T>,
): Promise<T> {
  const session = new PostgresSession(url, schema);
  try {
    await session.open();
    return await work(session);
  } catch (error) {
    throw explainPostgresError(error, 'opening', session.place);
  } finally {
    await session.close();
  }
}
