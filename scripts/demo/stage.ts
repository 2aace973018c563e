import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const example = join(repository, 'examples/inner-scribe-vault');

/** What a command said and how it ended. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** `performance.now()` at the start of the command and at its end. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** How the command line is started: its file, on this Node. */
export interface Started {
  readonly file: string;
  readonly node: string;
}

/** The example application in a temporary folder: a git repository, a database, a feed, and the real program. */
export class Stage {
  readonly folder: string;
  readonly application: string;
  readonly database: string;
  readonly feed: string;
  readonly port: number;
  readonly #program: Started;
  readonly #environment: { readonly [name: string]: string | undefined };

  private constructor(
    folder: string,
    port: number,
    watchSeconds: { readonly bake: number; readonly look: number },
    program: Started,
  ) {
    this.folder = folder;
    this.#program = program;
    this.application = join(folder, 'application');
    this.database = join(folder, 'data', 'vault.db');
    this.feed = join(folder, 'feed');
    this.port = port;
    this.#environment = {
      ...process.env,
      // The application runs on the Node that the program runs on, whatever else the machine has.
      PATH: `${dirname(program.node)}${delimiter}${process.env.PATH ?? ''}`,
      XDG_STATE_HOME: join(folder, 'state'),
      VAULT_DB: this.database,
      VAULT_FEED: this.feed,
      VAULT_PORT: String(port),
      VAULT_BAKE_SECONDS: String(watchSeconds.bake),
      VAULT_LOOK_SECONDS: String(watchSeconds.look),
      NO_COLOR: '1',
    };
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  static async make(
    watchSeconds: { readonly bake: number; readonly look: number },
    program: Started = { file: join(repository, 'bin/unship.js'), node: process.execPath },
  ): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'unship-demo-'));
    const stage = new Stage(folder, await freePort(), watchSeconds, program);
    await mkdir(join(folder, 'data'));
    await mkdir(stage.feed);
    // An application that already has its (still empty) database: unship never makes one by accident.
    const database = new DatabaseSync(stage.database);
    database.exec('pragma journal_mode = wal');
    database.close();
    await cp(example, stage.application, {
      recursive: true,
      filter: (path) => !path.includes('node_modules'),
    });
    await stage.git('init', '--quiet', '--initial-branch=main');
    await stage.commit('The good version');
    return stage;
  }

  async commit(subject: string): Promise<string> {
    await this.git('add', '--all');
    await this.git(
      '-c',
      'user.name=Demo',
      '-c',
      'user.email=demo@localhost',
      'commit',
      '--quiet',
      '-m',
      subject,
    );
    return (await this.git('rev-parse', 'HEAD')).trim();
  }

  /** Copies the files of a version over the application's. */
  async apply(version: 'bad' | 'expand'): Promise<void> {
    await cp(join(example, 'versions', version), this.application, { recursive: true });
  }

  /** Declared stand-ins for the desktop artifacts, with real names, sizes and hashes. */
  async desktopArtifacts(version: string, folder: string): Promise<void> {
    const script = join(this.application, 'desktop/make-stand-in.mjs');
    const result = await this.#run(process.execPath, [script, version, join(this.application, folder)]);
    if (result.exitCode !== 0) throw new Error(`the desktop stand-in failed: ${result.stderr}`);
  }

  async git(...args: readonly string[]): Promise<string> {
    const result = await this.#run('git', args);
    if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')} failed: ${result.stderr}`);
    return result.stdout;
  }

  /** Runs the real command line in the application's folder. */
  async unship(args: readonly string[], tell?: (text: string) => void): Promise<CommandResult> {
    return await this.#run(this.#program.node, [this.#program.file, ...args], tell);
  }

  async #run(
    command: string,
    args: readonly string[],
    tell?: (text: string) => void,
  ): Promise<CommandResult> {
    const startedAt = performance.now();
    const child = spawn(command, args, {
      cwd: this.application,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (tell !== undefined) child.stderr.on('data', (chunk: Buffer) => tell(chunk.toString()));
    const [stdout, stderr, exitCode] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number>((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => resolve(code ?? 1));
      }),
    ]);
    return { exitCode, stdout, stderr, startedAt, endedAt: performance.now() };
  }

  /** Ends the gateway (and with it the application) and removes the folder. */
  async end(): Promise<void> {
    await this.unship(['serve', 'stop', '--yes']).catch(() => undefined);
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
