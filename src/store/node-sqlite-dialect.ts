import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import {
  CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { explainSqliteError } from './explain-sqlite-error.ts';

/**
 * Kysely over node:sqlite. Transactions begin IMMEDIATE: a deferred one that turns from reading to writing
 * fails at once when another process wrote in between, whatever the busy timeout.
 */
export class NodeSqliteDialect implements Dialect {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter();
  }

  createDriver(): Driver {
    return new NodeSqliteDriver(this.#database);
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }

  createIntrospector(database: Kysely<unknown>): DatabaseIntrospector {
    return new SqliteIntrospector(database);
  }
}

/** One connection, handed out to one user at a time. */
class NodeSqliteDriver implements Driver {
  readonly #database: DatabaseSync;
  readonly #connection: DatabaseConnection;
  #turn: Promise<void> = Promise.resolve();
  #endTurn: () => void = () => {};

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#connection = new NodeSqliteConnection(database);
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

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // A full disk or an I/O error has ended it already; a second error would hide the first.
    if (this.#database.isTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async destroy(): Promise<void> {
    this.#database.close();
  }
}

/** Longest wait for another connection's transaction, in ms. */
const lockedLimitMs = 10_000;

/** SQLITE_BUSY in any of its forms; the primary code is in the low byte. */
export function isLocked(error: unknown): boolean {
  const code = (error as { readonly errcode?: unknown }).errcode;
  return typeof code === 'number' && (code & 0xff) === 5;
}

class NodeSqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  // A step journals with the same few statements over and over; preparing them anew is a fifth of its cost.
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Waits for others with the event loop free: SQLite's own wait would stop every timer of this process, its
   * heartbeat among them. Inside a transaction nothing is waited for; it holds the lock already.
   */
  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const begun = performance.now();
    for (let tries = 0; ; tries += 1) {
      try {
        return this.#execute(query);
      } catch (error) {
        const waited = performance.now() - begun;
        if (!isLocked(error) || this.#database.isTransaction || waited > lockedLimitMs) {
          throw explainSqliteError(error);
        }
        await new Promise((resolve) => {
          if (tries === 0) setImmediate(resolve);
          else setTimeout(resolve, Math.min(50, 2 ** tries));
        });
      }
    }
  }

  #execute<R>(query: CompiledQuery): QueryResult<R> {
    const statement = this.#prepared.get(query.sql) ?? this.#database.prepare(query.sql);
    this.#prepared.set(query.sql, statement);
    const parameters = query.parameters as readonly SQLInputValue[];
    if (statement.columns().length > 0) {
      return { rows: statement.all(...parameters) as R[] };
    }
    const { changes, lastInsertRowid } = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  // biome-ignore lint/correctness/useYield: the interface asks for it, and no state is large enough to stream.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('the state is not read as a stream');
  }
}
