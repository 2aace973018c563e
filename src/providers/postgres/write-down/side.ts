import { randomBytes } from 'node:crypto';
import { messageOf, UnshipError } from '../../../domain/errors.ts';
import { type Connection, connect, identifier } from '../connection.ts';
import type { ParsedStatement } from '../parse.ts';

/** Begins the name of every side database that is made here. */
const prefix = 'unship_down_';

/**
 * Empty databases beside the one that a URL points to, on the same server. Each is marked by a lock of the session that
 * made them: the server lets go of it when the process dies, and whoever comes next removes what has no lock.
 */
export class SideDatabases implements AsyncDisposable {
  readonly url: string;
  readonly #keeper: Connection;
  readonly #made: string[] = [];

  readonly #signal: AbortSignal | undefined;
  readonly #stop = (): void => void this.#end();

  private constructor(url: string, keeper: Connection, signal: AbortSignal | undefined) {
    this.url = url;
    this.#keeper = keeper;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#stop);
  }

  async #end(): Promise<void> {
    await this.#keeper
      .rows('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY ($1)', [this.#made])
      .catch(() => undefined);
  }

  /** When the signal comes, what runs on them ends, and whoever waits for it is told so. */
  static async open(url: string, signal?: AbortSignal): Promise<SideDatabases> {
    const sides = new SideDatabases(url, await connect(url, { purpose: 'write-down' }), signal);
    try {
      await sides.#clear();
    } catch (error) {
      await sides[Symbol.asyncDispose]();
      throw error;
    }
    return sides;
  }

  /** Removes what a process left that is no more. */
  async #clear(): Promise<void> {
    const left = await this.#keeper.rows<{ name: string }>(
      `SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)
       AND pg_has_role(datdba, 'USAGE')`,
      [prefix],
    );
    for (const { name } of left) {
      if (await this.#mark(name)) await this.#drop(name);
    }
  }

  /** False when another session has it. */
  async #mark(name: string): Promise<boolean> {
    const [row] = await this.#keeper.rows<{ got: boolean }>(
      `SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS got`,
      [name],
    );
    return row?.got === true;
  }

  async #drop(name: string): Promise<void> {
    await this.#keeper.run(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`);
    await this.#keeper.rows('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name]);
  }

  /** A database with nothing in it, or a copy of another side database that nobody is connected to. */
  async make(like = 'template0'): Promise<string> {
    const name = `${prefix}${process.pid}_${randomBytes(6).toString('hex')}`;
    await this.#mark(name);
    this.#made.push(name);
    try {
      await this.#keeper.run(`CREATE DATABASE ${identifier(name)} TEMPLATE ${identifier(like)}`);
      // What is under way there ends when nobody waits for it any more.
      await this.#keeper.run(
        `ALTER DATABASE ${identifier(name)} SET client_connection_check_interval = '1s'`,
      );
    } catch (error) {
      throw new UnshipError('database-denied', {
        happened: `no side database can be made: ${messageOf(error)}`,
        done: 'nothing was changed',
        next: 'give the role of the URL the right to make databases: ALTER ROLE … CREATEDB',
        cause: error,
      });
    }
    return name;
  }

  async connect(name: string): Promise<Connection> {
    this.#signal?.throwIfAborted();
    return await connect(this.url, { database: name, purpose: 'write-down' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#stop);
    for (const name of this.#made) await this.#drop(name).catch(() => undefined);
    await this.#keeper[Symbol.asyncDispose]();
  }
}

/** What reaches beyond its database: on a side database it would change the whole server. */
const ofTheServer: ReadonlySet<string> = new Set([
  ...[
    'CreateRoleStmt',
    'AlterRoleStmt',
    'AlterRoleSetStmt',
    'DropRoleStmt',
    'GrantRoleStmt',
    'AlterSystemStmt',
  ],
  ...[
    'CreatedbStmt',
    'DropdbStmt',
    'AlterDatabaseStmt',
    'AlterDatabaseSetStmt',
    'AlterDatabaseRefreshCollStmt',
  ],
  ...['CreateTableSpaceStmt', 'DropTableSpaceStmt', 'AlterTableSpaceOptionsStmt', 'CreateSubscriptionStmt'],
  ...['AlterSubscriptionStmt', 'DropSubscriptionStmt'],
]);

/** The same within a DO block, as migrations make roles that may be there already. */
const inBlock = /\b(?:create|alter|drop)\s+(?:role|user|group|database|tablespace|system)\b/i;

export function reachesBeyond({ kind, text }: ParsedStatement): boolean {
  return ofTheServer.has(kind) || (kind === 'DoStmt' && inBlock.test(text));
}

/** Runs a script as it stands, each statement by itself, but for what reaches beyond the database. */
export async function runScript(
  connection: Connection,
  file: string,
  statements: readonly ParsedStatement[],
): Promise<void> {
  // What an earlier script has set must not be what this one leans on.
  await connection.run('DISCARD ALL');
  for (const statement of statements) {
    if (reachesBeyond(statement)) continue;
    try {
      await connection.run(statement.text);
    } catch (error) {
      throw new UnshipError('migration-failed', {
        happened: `${file}, line ${statement.line}: ${messageOf(error)}`,
        done: 'it was tried on an empty side database, which is gone again; yours was not touched',
        next: 'the migrations before it have to make on an empty database what it builds on',
        cause: error,
      });
    }
  }
}
