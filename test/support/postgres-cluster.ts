import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);

/** Programs of Debian's newest PostgreSQL: most of them are not on the PATH. */
async function programs(): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql').catch((): string[] => []);
  const newest = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a)[0];
  if (newest !== undefined) return `/usr/lib/postgresql/${newest}/bin`;
  return (await run('pg_config', ['--bindir'])).stdout.trim();
}

/** PostgreSQL refuses to run as root: then everything of it is done as its own user. */
async function serverUser(): Promise<{ readonly uid?: number; readonly gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const id = async (flag: string): Promise<number> =>
    Number((await run('id', [flag, 'postgres'])).stdout.trim());
  return { uid: await id('-u'), gid: await id('-g') };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { readonly port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Settings of the server, as in `postgresql.conf`. */
export type Settings = { readonly [name: string]: string | number };

const ownSettings: Settings = {
  listen_addresses: '127.0.0.1',
  wal_level: 'logical',
  max_wal_senders: 10,
  max_replication_slots: 10,
  max_connections: 60,
  shared_buffers: '32MB',
  // A test that cuts the power asks for it; all others only wait for it.
  fsync: 'off',
};

/** How long a server may take to answer, in ms. */
const readyWithinMs = 60_000;

/** A real server of its own for a test, on loopback, with nothing in it. */
export class PostgresCluster implements AsyncDisposable {
  readonly port: number;
  readonly bin: string;
  readonly folder: string;
  readonly #settings: Settings;
  readonly #user: { readonly uid?: number; readonly gid?: number };
  #server: ChildProcess | undefined;

  private constructor(
    place: { readonly port: number; readonly bin: string; readonly folder: string },
    settings: Settings,
    user: { readonly uid?: number; readonly gid?: number },
  ) {
    this.port = place.port;
    this.bin = place.bin;
    this.folder = place.folder;
    this.#settings = settings;
    this.#user = user;
  }

  static async start(settings: Settings = {}): Promise<PostgresCluster> {
    const [bin, user, port] = [await programs(), await serverUser(), await freePort()];
    const folder = await mkdtemp(join(tmpdir(), 'unship-postgres-'));
    if (user.uid !== undefined) await chown(folder, user.uid, user.gid ?? user.uid);
    const cluster = new PostgresCluster({ port, bin, folder }, { ...ownSettings, ...settings }, user);
    try {
      const options = ['--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C', '--no-sync'];
      await run(join(bin, 'initdb'), ['--pgdata', join(folder, 'data'), ...options], {
        ...user,
        cwd: folder,
      });
      await cluster.begin();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** `postgres://…`, as somebody's application has it. */
  url(database = 'postgres', user = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`;
  }

  /** A connection of its own; whoever opens it ends it. */
  async connect(database = 'postgres', user = 'postgres'): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url(database, user) });
    // A server that is killed takes its connections along.
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Rows of one statement, or of the last of several. */
  async query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    sql: string,
    database = 'postgres',
  ): Promise<readonly Row[]> {
    const client = await this.connect(database);
    try {
      const answer = (await client.query(sql)) as pg.QueryResult<Row> | pg.QueryResult<Row>[];
      return (Array.isArray(answer) ? answer.at(-1) : answer)?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  /** Starts it again after `kill` or `stop`. */
  async begin(): Promise<void> {
    const begun = performance.now();
    for (;;) {
      const said = await this.#tryToBegin(begun);
      if (said === undefined) return;
      const isLate = performance.now() - begun > readyWithinMs;
      // Children of a server that was killed live a moment longer than it, and hold its memory and its port.
      if (isLate || !/still in use|already exists|already in use/.test(said)) {
        throw new Error(`PostgreSQL did not start: ${said}`);
      }
      await sleep(100);
    }
  }

  /** What the server said when it ended before it answered; undefined once it answers. */
  async #tryToBegin(begun: number): Promise<string | undefined> {
    const settings = { ...this.#settings, port: this.port, unix_socket_directories: this.folder };
    const server = spawn(
      join(this.bin, 'postgres'),
      [
        '-D',
        join(this.folder, 'data'),
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      { ...this.#user, cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#server = server;
    let said = '';
    server.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = `${said}${text}`.slice(-8_000);
    });
    const closed = once(server, 'close');
    for (;;) {
      try {
        await this.query('select 1');
        return undefined;
      } catch {
        if (server.exitCode !== null || server.signalCode !== null) {
          await closed;
          return said;
        }
        if (performance.now() - begun > readyWithinMs) return `${said}\nit does not answer`;
        await sleep(50);
      }
    }
  }

  /** As a crash of the machine ends it, but for what the kernel had yet to write. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The folder goes anyway: nothing in it has to be put in order.
    await this.#end('SIGQUIT');
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
