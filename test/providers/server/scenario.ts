import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ReleaseId } from '../../../src/domain/release.ts';
import type { Runtime } from '../../../src/domain/runtime.ts';
import { createSource } from '../../../src/providers/git/index.ts';
import type { ProviderEnvironment } from '../../../src/surfaces/provider.port.ts';
import type { WorkContext } from '../../../src/surfaces/surface.port.ts';
import type { WebTarget } from '../../../src/surfaces/web/web.port.ts';

const server = `
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
if (process.env.BREAKS) process.exit(9);
const built = readFileSync('built.txt', 'utf8').trim();
createServer((request, response) => {
  if (request.url === '/environment') return response.end(JSON.stringify(process.env));
  if (request.url === '/health') { response.statusCode = built === 'sick' ? 500 : 200; return response.end(); }
  response.end(request.url === '/built' ? built : process.env.UNSHIP_RELEASE);
}).listen(Number(process.env.PORT), '127.0.0.1');
`;

const build = `
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
const content = readFileSync('content.txt', 'utf8').trim();
if (content === 'broken') { console.error('the build is broken'); process.exit(2); }
if (content === 'endless') setInterval(() => {}, 1000);
if (content === 'talkative') {
  const talk = () => process.stdout.write('x'.repeat(100_000), () => setImmediate(talk));
  talk();
  setInterval(() => {}, 1000);
}
writeFileSync('built.txt', content);
mkdirSync('public', { recursive: true });
writeFileSync('public/index.html', process.env.UNSHIP_RELEASE);
writeFileSync('environment.json', JSON.stringify(process.env));
`;

/** A repository with one commit for each content, and a private folder for the surface. */
export class World {
  readonly base: string = mkdtempSync(join(tmpdir(), 'unship-server-'));
  readonly root: string = join(this.base, 'checkout');
  readonly state: string = join(this.base, 'state');
  readonly commits: { readonly [content: string]: string };

  constructor(contents: readonly string[], files: { readonly [path: string]: string } = {}) {
    mkdirSync(this.root);
    mkdirSync(this.state, { mode: 0o700 });
    this.git('init', '--quiet', '--initial-branch=main');
    this.write('server.mjs', server);
    this.write('build.mjs', build);
    this.write(
      'package.json',
      JSON.stringify({
        name: 'site',
        type: 'module',
        scripts: { build: 'node build.mjs', start: 'node server.mjs' },
      }),
    );
    for (const [path, text] of Object.entries(files)) this.write(path, text);
    const commits: { [content: string]: string } = {};
    for (const content of contents) commits[content] = this.commit(content);
    this.commits = commits;
  }

  commit(content: string): string {
    this.write('content.txt', `${content}\n`);
    this.git('add', '--all');
    this.git('-c', 'user.name=T', '-c', 'user.email=t@example.org', 'commit', '--quiet', '-m', content);
    return this.git('rev-parse', 'HEAD').trim();
  }

  git(...args: string[]): string {
    return execFileSync('git', ['-C', this.root, ...args], { encoding: 'utf8' });
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  target(release: ReleaseId, content: string): WebTarget {
    return { release, commit: this.commits[content] ?? 'f'.repeat(40), artifact: null };
  }

  environment(): ProviderEnvironment {
    return {
      application: 'site',
      environment: 'test',
      surface: 'web',
      folder: this.state,
      root: this.root,
      source: createSource(this.root),
      runtime: testRuntime,
      reveal: () => {
        throw new Error('no secrets here');
      },
      processEnvironment: { SITE_DB: '/live.db' },
    };
  }

  read(path: string): string {
    return readFileSync(join(this.base, path), 'utf8');
  }

  remove(): void {
    rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

export const testRuntime: Runtime = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  },
  ids: { random: () => randomBytes(16).toString('hex') },
  faults: { point: () => undefined },
  digest: (text) => createHash('sha256').update(text).digest('hex'),
};

export function work(fence: number, signal: AbortSignal = new AbortController().signal): WorkContext {
  return {
    runtime: testRuntime,
    signal,
    fence,
    idempotencyKey: `test/${fence}`,
    maximumRowsLost: 0,
    progress: () => undefined,
  };
}
