import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import type { PlanKind } from '../../src/domain/plan.ts';
import type { Release } from '../../src/domain/release.ts';
import type { RunStatus } from '../../src/domain/run.ts';
import type { Opinions } from '../reliability/judge.ts';
import type { Observation } from '../reliability/observer-process.ts';
import { Witness } from '../reliability/witness.ts';
import { firstMigration, serverSource } from './application-fixture.ts';
import { filesWith, findLeak, openToOthers } from './leaks.ts';
import type { Program } from './program.ts';

/** What a command said and how it ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** What the live address answers, as anybody sees it. */
export interface Page {
  readonly status: number;
  /** The release that the answer says it comes from. */
  readonly release: string | null;
  readonly version: string | null;
  readonly rows: readonly Row[] | null;
  readonly body: string;
}

export interface Row {
  readonly id: number;
  readonly body: string;
  readonly [column: string]: string | number;
}

export interface RunRow {
  readonly id: number;
  readonly kind: PlanKind;
  readonly status: RunStatus;
  readonly to: string | null;
}

export type Surfaces = 'web' | 'web-and-database' | 'all';

export interface WorldOptions {
  readonly surfaces?: Surfaces;
  /** Over the defaults: no rehearsal, a watch of 300 ms. */
  readonly environment?: Partial<EnvironmentDefinition>;
  /** Variables of every command. */
  readonly variables?: { readonly [name: string]: string };
  /** False where the test judges what its commands say by itself. */
  readonly witness?: boolean;
}

export interface Version {
  readonly version: string;
  /** Column of `entries` besides `id` and `body` that this version reads and writes. */
  readonly column?: string;
  /** Its health check fails. */
  readonly broken?: boolean;
  /** Version of the desktop application. */
  readonly desktop?: string;
  readonly migrations?: { readonly [file: string]: string };
}

export const applicationName = 'fixture';

/** What an operator's environment holds besides what the program is told of: it is to be found nowhere. */
const canaries: { readonly [name: string]: string } = {
  NPM_TOKEN: 'npm-canary-41d0c2/with+signs',
  AWS_SECRET_ACCESS_KEY: 'aws-canary-9b7e05/with+signs',
  SSH_PASSPHRASE: 'ssh canary 5e11 with spaces',
};

/**
 * An application in a temporary folder: repository, database, feed, and the real program as published. It reads
 * the outside world with means of its own, never with the program's.
 */
export class World {
  readonly folder: string;
  readonly repository: string;
  readonly database: string;
  readonly feed: string;
  readonly stateBase: string;
  readonly port: number;
  readonly #program: Program;
  readonly #variables: { readonly [name: string]: string | undefined };
  /** Started by the test itself: their environment is the operator's. */
  readonly #own: Set<number | undefined> = new Set();
  /** Version that the code of a commit answers with. */
  readonly #versions = new Map<string, string>();
  readonly #witness: Witness | null;
  #said = '';

  private constructor(program: Program, port: number, options: WorldOptions) {
    this.#program = program;
    this.#witness = options.witness === false ? null : new Witness(this);
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'unship-world-'));
    this.repository = join(this.folder, 'repository');
    this.database = join(this.folder, 'data', 'entries.db');
    this.feed = join(this.folder, 'feed');
    this.stateBase = join(this.folder, 'state', 'unship');
    this.#variables = {
      PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}`,
      HOME: join(this.folder, 'home'),
      LANG: 'C.UTF-8',
      XDG_STATE_HOME: join(this.folder, 'state'),
      XDG_CACHE_HOME: join(dirname(dirname(program.file)), 'cache'),
      GIT_CONFIG_NOSYSTEM: '1',
      NO_COLOR: '1',
      ...canaries,
      ...options.variables,
    };
  }

  static async make(program: Program, options: WorldOptions = {}): Promise<World> {
    const world = new World(program, await freePort(), options);
    for (const path of [world.repository, world.feed, dirname(world.database), join(world.folder, 'home')]) {
      mkdirSync(path, { recursive: true });
    }
    const surfaces = options.surfaces ?? 'web';
    if (surfaces !== 'web') {
      const database = new DatabaseSync(world.database);
      database.exec('pragma journal_mode = wal');
      database.close();
    }
    await world.git('init', '--quiet', '--initial-branch=main');
    world.write('server.mjs', serverSource);
    world.configure({ production: world.environment(surfaces, options.environment) });
    return world;
  }

  environment(surfaces: Surfaces, over: Partial<EnvironmentDefinition> = {}): EnvironmentDefinition {
    const web = this.webSurface(this.port, {});
    const database = {
      provider: 'sqlite',
      kind: 'database',
      options: { file: this.database, environment: 'DB', keepBackups: 3 },
    } as const;
    const desktop = {
      provider: 'feed',
      kind: 'desktop',
      options: {
        folder: this.feed,
        artifacts: join(this.folder, 'artifacts', '{version}'),
        standby: join(this.folder, 'standby', '{commit}'),
      },
    } as const;
    const all = {
      web,
      ...(surfaces === 'web' ? {} : { database }),
      ...(surfaces === 'all' ? { desktop } : {}),
    };
    return {
      surfaces: all,
      // Generous: a busy machine must not make a release look unhealthy.
      checks: [{ http: '/health', within: '20s' }],
      guard: { bake: '300ms', every: '100ms', failures: 2 },
      rehearsal: 'off',
      ...over,
    };
  }

  webSurface(
    port: number,
    options: { readonly [name: string]: unknown },
  ): EnvironmentDefinition['surfaces'][string] {
    return {
      provider: 'server',
      kind: 'web',
      options: {
        install: false,
        build: false,
        start: [process.execPath, '--disable-warning=ExperimentalWarning', 'server.mjs'],
        health: '/health',
        drain: '1s',
        keepOnDisk: 3,
        switch: { gateway: { port } },
        ...options,
      } as never,
    };
  }

  /** Writes the configuration into the work tree. */
  configure(environments: { readonly [name: string]: EnvironmentDefinition }): void {
    this.write('unship.config.json', JSON.stringify({ name: applicationName, environments }, null, 2));
  }

  write(path: string, content: string): void {
    const file = join(this.repository, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  /** Commits this version and returns the commit. The artifacts of its desktop version lie ready. */
  async commit(version: Version): Promise<string> {
    const { migrations = {}, desktop, ...rest } = version;
    this.write('version.json', JSON.stringify(rest));
    if (desktop !== undefined) {
      this.write('desktop/package.json', JSON.stringify({ name: 'fixture-desktop', version: desktop }));
      this.artifacts(join('artifacts', desktop), desktop);
    }
    for (const [name, content] of Object.entries(migrations)) this.write(join('migrations', name), content);
    return await this.commitAll(version.version);
  }

  async commitAll(subject: string): Promise<string> {
    await this.git('add', '--all');
    const person = ['-c', 'user.name=Ada', '-c', 'user.email=ada@localhost'];
    await this.git(...person, 'commit', '--quiet', '--allow-empty', '-m', subject);
    const head = await this.head();
    const file = join(this.repository, 'version.json');
    if (existsSync(file)) {
      const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
      this.#versions.set(head, version);
    }
    return head;
  }

  /** Undefined for a release of a commit that was not made here, and while the history can't be read. */
  versionOf(release: string): string | undefined {
    try {
      const commit = this.releases().find(({ id }) => id === release)?.commit;
      return this.#versions.get(commit ?? '');
    } catch {
      return undefined;
    }
  }

  async head(): Promise<string> {
    return (await this.git('rev-parse', 'HEAD')).trim();
  }

  /** Stand-ins for built desktop artifacts, in a folder of the world. */
  artifacts(folder: string, version: string): void {
    const place = join(this.folder, folder);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `fixture-${version}.AppImage`), `stand-in for ${version}\n`);
  }

  /** The code of `commit` under a higher version, ready for a rollback to it. */
  standby(commit: string, version: string): void {
    rmSync(join(this.folder, 'standby'), { recursive: true, force: true });
    this.artifacts(join('standby', commit), version);
  }

  async git(...args: readonly string[]): Promise<string> {
    return await this.gitIn(this.repository, ...args);
  }

  async gitIn(folder: string, ...args: readonly string[]): Promise<string> {
    const ended = await this.#start('git', ['-C', folder, ...args], {}, this.folder).ended;
    if (ended.exit !== 0) throw new Error(`git ${args.join(' ')} failed: ${ended.stderr}`);
    return ended.stdout;
  }

  /** Starts the real command line in the repository. */
  start(args: readonly string[], variables: { readonly [name: string]: string } = {}): Started {
    return this.#command(args, variables, null);
  }

  #command(
    args: readonly string[],
    variables: { readonly [name: string]: string },
    before: Observation | null,
  ): Started {
    const { child, ended } = this.#start(process.execPath, [this.#program.file, ...args], variables);
    return { child, ended: this.#witness?.listen(args, before, ended) ?? ended };
  }

  /** What somebody who looks for himself thinks of the last words of the commands so far. */
  get opinions(): Opinions {
    return this.#witness?.opinions ?? { agrees: 0, unknowable: 0, contradicts: 0 };
  }

  /** Throws when the command does not end: a test that waits for ever tells nobody why. */
  async run(args: readonly string[], variables: { readonly [name: string]: string } = {}): Promise<Ended> {
    const before = (await this.#witness?.before()) ?? null;
    const { child, ended } = this.#command(args, variables, before);
    const late = new AbortController();
    const first = await Promise.race([
      ended,
      sleep(longestCommandMs, undefined, late).catch(() => undefined),
    ]);
    late.abort();
    if (first !== undefined) return first;
    child.kill('SIGKILL');
    throw new Error(`\`unship ${args.join(' ')}\` did not end:\n${said(await ended)}`);
  }

  /** Runs a command that has to end with this exit code. */
  async expect(exit: number, args: readonly string[]): Promise<Ended> {
    const ended = await this.run(args);
    if (ended.exit === exit) return ended;
    throw new Error(`\`unship ${args.join(' ')}\` ended with ${ended.exit}, not ${exit}:\n${said(ended)}`);
  }

  #start(
    file: string,
    args: readonly string[],
    variables: { readonly [name: string]: string },
    cwd: string = this.repository,
  ): Started {
    const child = spawn(file, args, {
      cwd,
      env: { ...this.#variables, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#own.add(child.pid);
    const code = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on('error', reject);
      // Not `close`: a gateway that it leaves behind may hold the pipes.
      child.on('exit', (exit, signal) => resolve([exit, signal]));
    });
    const ended = Promise.all([text(child.stdout), text(child.stderr), code]).then(
      ([stdout, stderr, [exit, signal]]) => {
        this.#said += stdout + stderr;
        return { exit, signal, stdout, stderr };
      },
    );
    return { child, ended };
  }

  async page(port: number = this.port, method: 'GET' | 'POST' = 'GET'): Promise<Page> {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      method,
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.text();
    const release = response.headers.get('x-unship-release');
    const read = response.ok ? (JSON.parse(body) as { version: string; rows: readonly Row[] | null }) : null;
    return {
      status: response.status,
      release,
      version: read?.version ?? null,
      rows: read?.rows ?? null,
      body,
    };
  }

  /** Null when nobody answers there. */
  async pageOrNull(port?: number): Promise<Page | null> {
    return await this.page(port).catch(() => null);
  }

  readDatabase<T>(read: (database: DatabaseSync) => T): T {
    const database = new DatabaseSync(this.database, { readOnly: true });
    try {
      return read(database);
    } finally {
      database.close();
    }
  }

  rows(): readonly Row[] {
    return this.readDatabase((database) =>
      database
        .prepare('select * from entries order by id')
        .all()
        .map((row) => ({ ...row })),
    ) as unknown as readonly Row[];
  }

  /** Applied migrations, oldest first. */
  ledger(): readonly string[] {
    return this.readDatabase((database) =>
      database.prepare('select version from schema_migrations order by version').all(),
    ).map((row) => String(row.version));
  }

  /** Columns of the application's own tables. */
  columns(): readonly string[] {
    return this.readDatabase((database) =>
      database.prepare("select name, type, dflt_value from pragma_table_info('entries')").all(),
    )
      .map((row) => `${row.name} ${row.type} ${row.dflt_value ?? ''}`.trim())
      .sort();
  }

  /** The version that a client with the stock updater is offered; null when the feed is empty. */
  offered(): string | null {
    try {
      return (
        /^version: "?([^"\n]+)"?$/m.exec(readFileSync(join(this.feed, 'latest-linux.yml'), 'utf8'))?.[1] ??
        null
      );
    } catch {
      return null;
    }
  }

  stateFolder(environment = 'production'): string {
    return join(this.stateBase, applicationName, environment);
  }

  readState<T>(read: (database: DatabaseSync) => T, environment?: string): T {
    const database = new DatabaseSync(join(this.stateFolder(environment), 'state.db'), {
      readOnly: true,
      // The last one to close it folds its log in, and whoever comes first next reads that again.
      timeout: 5000,
    });
    try {
      return read(database);
    } finally {
      database.close();
    }
  }

  /** Oldest first. */
  runs(environment?: string): readonly RunRow[] {
    return this.readState(
      (database) =>
        database.prepare('select id, kind, status, to_release as "to" from runs order by id').all(),
      environment,
    ) as unknown as readonly RunRow[];
  }

  /** Oldest first. */
  releases(environment?: string): readonly Release[] {
    return this.readState(
      (database) => database.prepare('select document from releases order by number').all(),
      environment,
    ).map((row) => JSON.parse(String(row.document)) as Release);
  }

  quarantined(): readonly string[] {
    return this.readState((database) =>
      database.prepare('select "commit" from quarantine where fixed_by is null').all(),
    ).map((row) => String(row.commit));
  }

  /**
   * Ends every process that this world started, and removes its folder. Throws when its story left a secret anywhere,
   * or state that others can reach, or when a command said what was not so: each story is a proof of that, whatever
   * else it is about.
   */
  async end(): Promise<void> {
    this.#witness?.end();
    try {
      this.#requireNoLeak();
      const untrue = this.#witness?.contradictions ?? [];
      if (untrue.length > 0) throw new Error(`seen from outside it is not so:\n${untrue.join('\n')}`);
      const reachable = existsSync(this.stateBase) ? openToOthers(this.stateBase) : [];
      if (reachable.length > 0) throw new Error(`others can reach ${reachable.join(', ')}`);
    } finally {
      await this.#remove();
    }
  }

  #requireNoLeak(): void {
    const gateways = this.processes().filter(({ pid }) => !this.#own.has(pid));
    for (const [name, canary] of Object.entries(canaries)) {
      const files = [this.stateBase, this.feed].flatMap((folder) => filesWith(folder, canary));
      if (files.length > 0) throw new Error(`${name} is in ${files.join(', ')}`);
      if (findLeak(this.#said, canary) !== undefined) throw new Error(`${name} was printed`);
      const knowing = gateways.filter(({ pid }) => environmentOf(pid).includes(canary));
      if (knowing.length > 0) throw new Error(`${name} was given to ${knowing[0]?.command}`);
    }
  }

  async #remove(): Promise<void> {
    // The gateway ends its releases when asked; whatever is left belongs to this world by its folder.
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const pid of processesOf(this.folder)) end(pid, signal);
      const gone = await until(() => processesOf(this.folder).length === 0, 3000);
      if (gone) break;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  processes(): readonly { readonly pid: number; readonly command: string; readonly cwd: string }[] {
    return processesOf(this.folder).map((pid) => ({ pid, command: commandOf(pid), cwd: folderOf(pid) }));
  }
}

export function said(ended: Ended): string {
  const how = ended.signal === null ? `exit ${ended.exit}` : ended.signal;
  return `${how}\n${ended.stdout}\n${ended.stderr}`;
}

const longestCommandMs = 120_000;

/** Polls until it is true; false when it is not in time. */
export async function until(check: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await check()) return true;
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** Processes whose command line or folder lies in this folder: gateways, releases, commands. */
function processesOf(folder: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .filter((pid) => commandOf(pid).includes(folder) || folderOf(pid).startsWith(folder));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** The application's first version: good, with one migration and a desktop version. */
export const firstVersion: Version = {
  version: 'v1',
  column: 'mood',
  desktop: '1.0.0',
  migrations: { '0001_entries.sql': firstMigration },
};
