import { Socket } from 'node:net';
import type { Client, QueryResult } from 'pg';
import { UnshipError } from '../domain/errors.ts';
import {
  explainPostgresError,
  isSessionLost,
  isStarting,
  type Moment,
  mayComeBack,
  type Place,
  quoted,
} from './explain-postgres-error.ts';

/** Longest wait, in ms: for the lock of another writer, for one statement, for an answer of any kind. */
const lockLimitMs = 10_000;
const statementLimitMs = 15_000;
const answerLimitMs = 20_000;

/** A transaction whose process is frozen, or whose machine is gone, ends so long after its last word: before others give up. */
const idleLimitMs = 8_000;

/** How long a server that went away is waited for before nothing more is tried, in ms. */
const reachLimitMs = 10_000;

/**
 * One session on the server of the state. A session that is lost is followed by another where nothing depended on it;
 * what was written in it and not committed is gone with it.
 */
export class PostgresSession {
  readonly #url: string;
  readonly #schema: string;
  #live: { readonly client: Client; readonly socket: Socket } | undefined;
  #role = '';
  #isInTransaction = false;

  /** Throws `state-unsuitable` for what is no address. */
  constructor(url: string, schema: string) {
    if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
      throw new UnshipError('state-unsuitable', {
        happened: 'the secret that says where the state is holds no address of a PostgreSQL database',
        done: 'nothing',
        next: 'set it to postgres://USER:PASSWORD@HOST:PORT/DATABASE',
      });
    }
    this.#url = url;
    this.#schema = schema;
  }

  get place(): Place {
    const { hostname, port, pathname, searchParams } = new URL(this.#url);
    const host = hostname === '' ? (searchParams.get('host') ?? 'localhost') : hostname;
    return {
      server: `${host}:${port === '' ? '5432' : port}${pathname}`,
      schema: this.#schema,
      role: this.#role,
    };
  }

  /** The first session. A server that is about to start is waited for; one that is not there is told at once. */
  async open(): Promise<void> {
    await this.#explained(
      'opening',
      async () => await within(isStarting, async () => void (await this.#connected())),
    );
  }

  /** One statement: alone it only reads, for whoever asks does not know which session answers. */
  async query(text: string, values: readonly unknown[] = []): Promise<QueryResult> {
    if (this.#isInTransaction)
      return await this.#explained('writing', async () => await this.#ask(text, values));
    return await this.#explained(
      'reading',
      async () => await within(mayComeBack, async () => await this.#ask(text, values)),
    );
  }

  /**
   * Begins a transaction and waits until it is the only one that writes this state, as SQLite's IMMEDIATE does: what it
   * reads from then on nobody changes before it ends.
   */
  async begin(moment: Moment = 'writing'): Promise<void> {
    const lock = `select pg_advisory_xact_lock(hashtextextended('${this.#schema.replaceAll("'", "''")}', 0))`;
    await this.#explained(moment, async () => {
      await within(mayComeBack, async () => {
        try {
          await this.#ask(`begin isolation level read committed; ${lock}`);
        } catch (error) {
          // Begun or not: with its session it is over.
          this.#drop();
          throw error;
        }
      });
    });
    this.#isInTransaction = true;
  }

  /** Whoever is told nothing by the server does not know: the commit may have been made. */
  async commit(): Promise<void> {
    // Lost before it was asked, the transaction is over.
    const moment = this.#live === undefined ? 'writing' : 'committing';
    const { command } = await this.#explained(moment, async () => {
      try {
        return await this.#ask('commit');
      } finally {
        this.#isInTransaction = false;
      }
    });
    // The server answers so where a statement of it had failed.
    if (command !== 'COMMIT') throw new Error('the transaction had failed before it was committed');
  }

  async rollback(): Promise<void> {
    this.#isInTransaction = false;
    // The server takes back what its session leaves behind; a second error would hide the first.
    if (this.#live !== undefined) await this.#ask('rollback').catch(() => this.#drop());
  }

  async close(): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    if (live === undefined) return;
    // A server that is out of reach does not answer a farewell.
    const limit = setTimeout(() => live.socket.destroy(), farewellLimitMs);
    await live.client.end().catch(() => {});
    clearTimeout(limit);
    live.socket.destroy();
  }

  async #ask(text: string, values: readonly unknown[] = []): Promise<QueryResult> {
    const client = this.#isInTransaction ? this.#live?.client : await this.#connected();
    if (client === undefined) throw new Error('the connection ended');
    try {
      const answer: QueryResult | QueryResult[] = await (values.length === 0
        ? client.query(text)
        : client.query(text, values.map(keepable)));
      return Array.isArray(answer) ? (answer.at(-1) as QueryResult) : answer;
    } catch (error) {
      if (isSessionLost(error)) this.#drop();
      throw error;
    }
  }

  /** Ends the session, also where an answer is still to come. */
  #drop(): void {
    this.#live?.socket.destroy();
    this.#live = undefined;
  }

  async #connected(): Promise<Client> {
    if (this.#live !== undefined) return this.#live.client;
    const { default: pg } = await import('pg');
    const socket = new Socket();
    const client = new pg.Client({
      ...addressAndOptions(this.#url, this.#schema),
      application_name: 'unship: state',
      connectionTimeoutMillis: reachLimitMs,
      query_timeout: answerLimitMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
      stream: () => socket,
      types: {
        getTypeParser: (oid: number, format?: 'text' | 'binary') =>
          oid === int8 ? parseWhole : pg.types.getTypeParser(oid, format as 'text'),
      },
    });
    const forget = (): void => {
      if (this.#live?.client === client) this.#live = undefined;
    };
    // Where nobody asks anything just then, the next question takes a new session.
    client.on('error', forget).on('end', forget);
    try {
      await client.connect();
    } catch (error) {
      socket.destroy();
      throw error;
    }
    this.#role = client.user ?? '';
    this.#live = { client, socket };
    return client;
  }

  async #explained<T>(moment: Moment, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explainPostgresError(error, moment, this.place);
    }
  }
}

/** Longest wait for the server's side of an end, in ms. */
const farewellLimitMs = 1_000;

const int8 = 20;

/** Times and numbers of the state are far below what a number can hold. */
function parseWhole(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`${text} is no number of a state`);
}

/** PostgreSQL keeps no NUL in a text. In JSON, which journals are made of, it is written out and none of this. */
function keepable(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll('\u0000', '\u2400') : value;
}

/**
 * The limits and the schema are asked for with the session itself, so that no statement runs without them; what the
 * operator asks for in the URL goes before them and gives way.
 */
function addressAndOptions(
  url: string,
  schema: string,
): { readonly connectionString: string; readonly options: string } {
  const address = new URL(url);
  const settings = {
    search_path: quoted(schema),
    synchronous_commit: 'on',
    default_transaction_read_only: 'off',
    lock_timeout: lockLimitMs,
    statement_timeout: statementLimitMs,
    idle_in_transaction_session_timeout: idleLimitMs,
    // The server ends what a machine that vanished has left in it.
    tcp_keepalives_idle: 10,
    tcp_keepalives_interval: 5,
    tcp_keepalives_count: 3,
  };
  const own = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  const options = [address.searchParams.get('options') ?? '', ...own].join(' ').trim();
  address.searchParams.delete('options');
  return { connectionString: address.href, options };
}

/** Tries again what may go well the next time, until that has lasted too long. */
async function within<T>(isWorthIt: (error: unknown) => boolean, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  for (let tries = 0; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const isOver = performance.now() - begun > reachLimitMs;
      if (error instanceof UnshipError || !isWorthIt(error) || isOver) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(500, 10 * 2 ** tries)));
    }
  }
}
