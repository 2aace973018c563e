import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Runtime } from '../../../src/domain/runtime.ts';
import { createFeed } from '../../../src/providers/feed/index.ts';
import type { FeedOptions } from '../../../src/providers/feed/options.ts';
import { createSource } from '../../../src/providers/git/index.ts';
import type { DesktopPort, DesktopTarget } from '../../../src/surfaces/desktop/desktop.port.ts';
import type { LookContext, WorkContext } from '../../../src/surfaces/surface.port.ts';
import type { DesktopHarness } from '../../../src/testing/desktop-contract.ts';
import { type ClientPlatform, clientsSee } from '../../support/electron-updater-client.ts';
import { startStaticServer } from '../../support/static-server.ts';

export const runtime: Runtime = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: async (ms, signal) => {
      await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {});
    },
  },
  ids: { random: () => randomBytes(16).toString('hex') },
  faults: { point: () => {} },
  digest: (text) => createHash('sha256').update(text).digest('hex'),
};

export function sha512(bytes: Buffer): string {
  return createHash('sha512').update(bytes).digest('base64');
}

/** Different for every name, the same for the same one. */
export function artifactBytes(name: string): Buffer {
  return Buffer.concat([
    Buffer.from(`${name}\n`),
    createHash('sha512').update(name).digest(),
    Buffer.alloc(2000, name),
  ]);
}

export const platformFiles: readonly { readonly feed: string; readonly extension: string }[] = [
  { feed: 'latest.yml', extension: 'exe' },
  { feed: 'latest-linux.yml', extension: 'AppImage' },
  { feed: 'latest-mac.yml', extension: 'zip' },
];

/** As electron-builder leaves it. `salt` makes other bytes under the same names. */
export async function buildArtifacts(
  folder: string,
  version: string,
  options: { readonly salt?: string; readonly feeds?: readonly string[]; readonly yml?: boolean } = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const { feed, extension } of platformFiles) {
    if (options.feeds !== undefined && !options.feeds.includes(feed)) continue;
    const name = `vault-${version}.${extension}`;
    const bytes = artifactBytes(`${name}${options.salt ?? ''}`);
    await writeFile(join(folder, name), bytes);
    if (options.yml === false) continue;
    const hash = sha512(bytes);
    const lines = [
      `version: ${version}`,
      'files:',
      `  - url: ${name}`,
      `    sha512: ${hash}`,
      `    size: ${bytes.length}`,
      `path: ${name}`,
      `sha512: ${hash}`,
      `releaseDate: '2026-03-01T10:00:00.000Z'`,
      'releaseNotes: what is new',
    ];
    await writeFile(join(folder, feed), `${lines.join('\n')}\n`);
  }
}

const run = promisify(execFile);

async function git(folder: string, ...args: readonly string[]): Promise<string> {
  const env = {
    PATH: process.env.PATH,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.com',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.com',
  };
  return (await run('git', ['-c', 'init.defaultBranch=main', ...args], { cwd: folder, env })).stdout.trim();
}

/** A repository with a desktop application, a feed beside it, a private folder, and a web server over the feed. */
export interface FeedFixture extends DesktopHarness {
  readonly options: FeedOptions;
  /** The feed folder. */
  readonly feed: string;
  /** The work tree, which is the configuration's folder too. */
  readonly root: string;
  readonly private: string;
  readonly url: string;
  open(changes?: Partial<FeedOptions>): DesktopPort;
  commit(files: { readonly [path: string]: string }): Promise<string>;
  /** Commits code of `version` and does not build it. */
  prepareCode(version: string): Promise<DesktopTarget>;
}

export function work(fence: number = 1, changes: Partial<Runtime> = {}): WorkContext {
  return {
    runtime: { ...runtime, ...changes },
    signal: new AbortController().signal,
    idempotencyKey: 'test',
    fence,
    maximumRowsLost: 0,
    progress: () => {},
  };
}

export function look(): LookContext {
  return { runtime, signal: new AbortController().signal };
}

export async function feedFixture(changes: Partial<FeedOptions> = {}): Promise<FeedFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'unship-feed-'));
  const [root, feed, state] = ['code', 'public', 'private'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(root);
  await mkdir(feed);
  await chmod(feed, 0o755);
  await mkdir(state, { mode: 0o700 });
  await git(root, 'init', '--quiet');
  const server = await startStaticServer(feed);
  const options: FeedOptions = {
    folder: feed,
    artifacts: 'dist/{version}',
    standby: 'standby/{commit}',
    url: server.url,
    ...changes,
  };
  let rehearsals = 0;
  const commit: FeedFixture['commit'] = async (files) => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true });
      await writeFile(join(root, path), text);
    }
    await git(root, 'add', ...Object.keys(files));
    await git(root, 'commit', '--quiet', '--message', 'change', '--allow-empty');
    return await git(root, 'rev-parse', 'HEAD');
  };
  const prepareCode: FeedFixture['prepareCode'] = async (version) => ({
    release: 'r1',
    commit: await commit({ 'desktop/package.json': JSON.stringify({ name: 'vault', version }) }),
    version,
    artifact: null,
  });
  return {
    options,
    feed,
    root,
    private: state,
    url: server.url,
    open: (other = {}) =>
      createFeed(
        { ...options, ...other },
        {
          application: 'vault',
          environment: 'test',
          surface: 'desktop',
          folder: state,
          root,
          source: createSource(root),
          runtime,
          reveal: () => {
            throw new Error('a feed needs no secret');
          },
          processEnvironment: {},
        },
      ),
    commit,
    prepareCode,
    prepare: async (version) => {
      const target = await prepareCode(version);
      await buildArtifacts(join(root, 'dist', version), version);
      return target;
    },
    prepareStandby: (version, of) => buildArtifacts(join(root, 'standby', of), version),
    build: async (version) => {
      const built = await mkdtemp(join(folder, 'built-'));
      await buildArtifacts(built, version);
      return built;
    },
    work,
    look,
    folder: async () => {
      const made = join(folder, `rehearsal-${++rehearsals}`);
      await mkdir(made);
      return made;
    },
    clientSees: async (currentVersion) => {
      const platforms: readonly ClientPlatform[] = ['linux', 'win', 'mac'];
      const seen = await clientsSee(
        platforms.map((platform) => ({ feedUrl: server.url, currentVersion, platform })),
      );
      return Object.fromEntries(
        platforms.map((platform, index) => {
          const sight = seen[index];
          if (sight?.error !== undefined) throw new Error(`the ${platform} client failed: ${sight.error}`);
          return [platform, sight?.version ?? null];
        }),
      );
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
