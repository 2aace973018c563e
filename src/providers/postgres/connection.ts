import type { Client, QueryResultRow } from 'pg';
import { UnshipError } from '../../domain/errors.ts';

/** One session on a server. Whoever opens it ends it: `await using`. */
export interface Connection extends AsyncDisposable {
  readonly client: Client;
  /** Rows of one statement. Throws what the server said. */
  rows<Row extends QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** One or more statements without values, as a script has them. */
  run(sql: string): Promise<void>;
}

export interface ConnectionWish {
  /** Another database of the same server than the one in the URL. */
  readonly database?: string;
  /** What it is for: people see it in `pg_stat_activity` behind `unship: `. */
  readonly purpose: string;
  /** Longest wait for the server, in ms. Default 10 s. */
  readonly withinMs?: number;
  /** A walsender for logical decoding: it takes replication commands, one at a time. */
  readonly replication?: boolean;
}

/** The same server, another database. */
export function urlOf(url: string, database: string): string {
  const other = new URL(url);
  other.pathname = `/${encodeURIComponent(database)}`;
  return other.href;
}

/** Name of the database that a URL points to. */
export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

/** Throws `database-unreachable` when no session can be had. */
export async function connect(url: string, wish: ConnectionWish): Promise<Connection> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({
    connectionString: wish.database === undefined ? url : urlOf(url, wish.database),
    application_name: `unship: ${wish.purpose}`,
    connectionTimeoutMillis: wish.withinMs ?? 10_000,
    // A migration that waits for ever says nothing; every user of a session sets its own limits.
    keepAlive: true,
    ...(wish.replication === true ? { replication: 'database' } : {}),
  });
  // A server that goes away rejects what is under way; without this it would end the process as well.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => {});
    throw unreachable(url, error);
  }
  return {
    client,
    rows: async <Row extends QueryResultRow>(sql: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(sql, [...values])).rows,
    run: async (sql) => void (await client.query(sql)),
    [Symbol.asyncDispose]: async () => await client.end().catch(() => {}),
  };
}

function unreachable(url: string, cause: unknown): UnshipError {
  // Never the URL: it holds a password.
  const { hostname, port, pathname } = new URL(url);
  const why = cause instanceof Error ? cause.message : String(cause);
  return new UnshipError('database-unreachable', {
    happened: `no session on ${hostname}${port === '' ? '' : `:${port}`}${pathname}: ${why}`,
    done: 'nothing',
    cause,
  });
}

/** The protocol would end the statement at it, and something else would run. */
function refuseNul(text: string): void {
  if (!text.includes('\0')) return;
  throw new UnshipError('name-invalid', {
    happened: `${JSON.stringify(text)} has a NUL character in it`,
    done: 'nothing',
  });
}

/** As SQL writes a name: quotes around it, and doubled within it. */
export function identifier(...parts: readonly string[]): string {
  parts.forEach(refuseNul);
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}

/** As SQL writes a text, whatever `standard_conforming_strings` says. */
export function literal(text: string): string {
  refuseNul(text);
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? ` E${quoted}` : quoted;
}
