import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const project = fileURLToPath(new URL('../..', import.meta.url));
const description = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));

/** What is published, built and packed; and a project that has installed it and nothing else. */
let folder = '';
let packed: readonly string[] = [];
let consumer = '';

function run(cwd: string, program: string, ...rest: readonly string[]): SpawnSyncReturns<string> {
  // npm must neither read this machine's settings nor leave anything behind on it.
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: folder,
    npm_config_cache: join(folder, 'cache'),
    npm_config_update_notifier: 'false',
  };
  return spawnSync(program, rest, { cwd, env, encoding: 'utf8' });
}

function mustRun(cwd: string, program: string, ...rest: readonly string[]): string {
  const { status, stdout, stderr } = run(cwd, program, ...rest);
  assert.equal(status, 0, `${program} ${rest.join(' ')}\n${stdout}\n${stderr}`);
  return stdout;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'unship-package-'));
  const source = join(folder, 'source');
  consumer = join(folder, 'consumer');
  mkdirSync(source);
  mkdirSync(consumer);
  // Packed from a copy: other tests run what lies in the project itself.
  for (const name of ['package.json', ...description.files]) {
    if (name !== 'dist' && existsSync(join(project, name))) {
      cpSync(join(project, name), join(source, name), { recursive: true });
    }
  }
  mustRun(project, process.execPath, 'scripts/build.ts', '--out', join(source, 'dist'));
  const [tarball] = JSON.parse(mustRun(source, 'npm', 'pack', '--json', '--ignore-scripts'));
  packed = tarball.files.map(({ path }: { path: string }) => path);
  writeFileSync(join(consumer, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }');
  mustRun(consumer, 'npm', 'install', '--offline', '--no-audit', '--no-fund', join(source, tarball.filename));
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('control 37: the package holds these files and no others', () => {
  const kinds = packed.map((path) =>
    path
      .replace(/^dist\/(backup-worker|cli|gateway)-[A-Za-z0-9_-]+\.(c?js)$/, 'dist/$1-*.$2')
      .replace(/^dist\/domain\/[a-z-]+\.(js|d\.ts)$/, 'dist/domain/*.$1'),
  );
  const providers = ['feed', 'postgres', 'server', 'slack', 'sqlite'];
  assert.deepEqual(
    [...new Set(kinds)].sort(),
    [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin/package.json',
      'bin/unship.js',
      'dist/backup-worker-*.js',
      'dist/backup-worker.js',
      'dist/cli-*.cjs',
      'dist/cli.cjs',
      'dist/domain/*.d.ts',
      'dist/domain/*.js',
      'dist/evaluation-worker.js',
      'dist/gateway.js',
      'dist/index.d.ts',
      'dist/index.js',
      'dist/libpg-query.wasm',
      ...providers.flatMap((name) => [
        `dist/providers/${name}/options.d.ts`,
        `dist/providers/${name}/options.js`,
      ]),
      'dist/store/options.d.ts',
      'dist/store/options.js',
      'package.json',
    ].sort(),
  );
});

test('it needs nothing else: the install has one package and runs no script', () => {
  assert.equal(description.dependencies, undefined);
  for (const script of ['preinstall', 'install', 'postinstall']) assert.ok(!(script in description.scripts));
  const lock = JSON.parse(readFileSync(join(consumer, 'package-lock.json'), 'utf8'));
  assert.deepEqual(Object.keys(lock.packages).sort(), ['', 'node_modules/unship']);
});

test('nothing in it names the machine it was built on', () => {
  const installed = join(consumer, 'node_modules', 'unship');
  for (const path of packed) {
    const text = readFileSync(join(installed, path), 'utf8');
    assert.ok(!text.includes(project) && !text.includes(folder), path);
  }
});

test('the installed command starts', () => {
  const bin = join(consumer, 'node_modules', '.bin', 'unship');
  assert.equal(mustRun(consumer, bin, '--version'), `${description.version}\n`);
  assert.match(mustRun(consumer, bin, '--help'), /In an emergency/);
  const lost = run(consumer, bin, 'no-such-command');
  assert.equal(lost.status, 2, lost.stderr);
  const unconfigured = run(consumer, bin, 'status');
  assert.equal(unconfigured.status, 2, unconfigured.stderr);
  assert.match(unconfigured.stderr, /config-missing/);
});

test('every entry of the package can be imported, and its types fit', () => {
  const entries = Object.keys(description.exports).filter((entry) => !entry.endsWith('.json'));
  const names = entries.map((entry) => entry.replace(/^\./, 'unship'));
  const imports = names.map((name) => `import(${JSON.stringify(name)})`).join(', ');
  mustRun(consumer, process.execPath, '--input-type=module', '-e', `await Promise.all([${imports}])`);
  writeFileSync(
    join(consumer, 'unship.config.ts'),
    `import { defineApplication, secret } from 'unship';
import { feed } from 'unship/providers/feed';
import { server } from 'unship/providers/server';
import { slack } from 'unship/providers/slack';
import { sqlite } from 'unship/providers/sqlite';
import { postgres } from 'unship/state';
export default defineApplication({
  name: 'app',
  environments: {
    production: {
      surfaces: {
        web: server({ switch: { gateway: { port: 8080 } } }),
        desktop: feed({ folder: 'feed', artifacts: 'out' }),
        db: sqlite({ file: 'app.db' }),
      },
      checks: [{ http: '/health' }],
      notifications: { team: [slack({ webhook: secret('SLACK_WEBHOOK') })] },
      state: postgres(secret('UNSHIP_STATE_URL')),
    },
  },
});
// @ts-expect-error a port is a number
server({ switch: { gateway: { port: 'x' } } });
`,
  );
  const tsc = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
  const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
  const types = ['--typeRoots', join(project, 'node_modules', '@types'), '--types', 'node'];
  mustRun(consumer, process.execPath, tsc, ...strict, ...types, 'unship.config.ts');
});

test('publint finds nothing to complain about', async () => {
  const { messages } = await publint({ pkgDir: join(consumer, 'node_modules', 'unship'), strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, description)),
    [],
  );
});
