import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type QueryResult,
} from 'kysely';
import type { PostgresSession } from './postgres-session.ts';

/**
 * Kysely over one session: its own dialect hands a pool of them out, begins transactions that read before they lock,
 * and takes a commit whose answer was lost for a failure like any other.
 */
export class PostgresStateDialect implements Dialect {
  readonly #session: PostgresSession;

  constructor(session: PostgresSession) {
    this.#session = session;
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter();
  }

  createDriver(): Driver {
    return new PostgresStateDriver(this.#session);
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler();
  }

  createIntrospector(database: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(database);
  }
}

/** One session, handed out to one user at a time. */
class PostgresStateDriver implements Driver {
  readonly #session: PostgresSession;
  readonly #connection: DatabaseConnection;
  #turn: Promise<void> = Promise.resolve();
  #endTurn: () => void = () => {};

  constructor(session: PostgresSession) {
    this.#session = session;
    this.#connection = new PostgresStateConnection(session);
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#turn;
    let end: () => void = () => {};
    this.#turn = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    this.#endTurn = end;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#endTurn();
  }

  async beginTransaction(): Promise<void> {
    await this.#session.begin();
  }

  async commitTransaction(): Promise<void> {
    await this.#session.commit();
  }

  async rollbackTransaction(): Promise<void> {
    await this.#session.rollback();
  }

  async destroy(): Promise<void> {
    await this.#session.close();
  }
}

class PostgresStateConnection implements DatabaseConnection {
  readonly #session: PostgresSession;

  constructor(session: PostgresSession) {
    this.#session = session;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, rowCount } = await this.#session.query(sql, parameters);
    return { rows: rows as R[], numAffectedRows: BigInt(rowCount ?? 0) };
  }

  // biome-ignore lint/correctness/useYield: the interface asks for it, and no state is large enough to stream.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('the state is not read as a stream');
  }
}
