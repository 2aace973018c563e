import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const project = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(project, path), 'utf8');

interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
}
const lock = JSON.parse(read('package-lock.json')) as {
  readonly packages: { readonly [path: string]: LockEntry };
};
const installed = Object.entries(lock.packages).filter(
  ([path, { link }]) => path.startsWith('node_modules/') && link !== true,
);

test('control 35: npm runs no unnamed script, and takes nothing from git, from an address or younger than a week', () => {
  const settings = read('.npmrc').split('\n');
  for (const line of [
    'strict-allow-scripts=true',
    'allow-git=none',
    'allow-remote=none',
    'min-release-age=7',
  ]) {
    assert.ok(settings.includes(line), line);
  }
  const { allowScripts, ...description } = JSON.parse(read('package.json'));
  assert.equal(allowScripts, undefined);
  const ranges = Object.values({ ...description.dependencies, ...description.devDependencies });
  assert.ok(ranges.length > 0);
  // A version before the first is taken by its name alone, with its reason in a decision record.
  const early = ['1.0.0-alpha.34'];
  for (const range of ranges)
    if (!early.includes(String(range))) assert.match(String(range), /^\d+\.\d+\.\d+$/);
});

test('control 35: at most twelve direct runtime dependencies', () => {
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(read('package.json'));
  assert.ok(Object.keys({ ...dependencies, ...optionalDependencies }).length <= 12);
});

/**
 * The migration tool that tests compare with, for other machines than CI's: the lockfile was made with a registry
 * that does not serve them, so their hashes are not known here.
 */
const withoutHash = ['darwin-arm64', 'darwin-x64', 'linux-arm', 'linux-arm64', 'linux-ia32', 'win32-x64'].map(
  (platform) => `node_modules/@dbmate/${platform}`,
);

test('control 35: every entry of the lockfile has its hash, except six that only tests on other machines use', () => {
  assert.ok(installed.length > 100);
  const without = installed.filter(([, entry]) => entry.integrity === undefined);
  assert.deepEqual(without.map(([path]) => path).sort(), withoutHash);
  for (const [path, { optional }] of without) assert.equal(optional, true, path);
  for (const [path, { integrity }] of installed) {
    if (integrity !== undefined) assert.match(integrity, /^sha512-[A-Za-z0-9+/]{86}==$/, path);
  }
});

test('control 35: the lockfile names no address, and machines install by it alone', () => {
  for (const [path, { resolved }] of installed) assert.equal(resolved, undefined, path);
  assert.doesNotMatch(read('package-lock.json'), /"resolved": "https?:|git\+/);
  const workflows = readdirSync(join(project, '.github/workflows'));
  const installs = [
    read('.ci/run'),
    ...workflows.map((file) => read(join('.github/workflows', file))),
  ].flatMap((text) => text.match(/npm (ci|install|i|add)\b.*/g) ?? []);
  assert.ok(installs.length > 0);
  for (const command of installs) assert.match(command, /^npm ci\b/);
});

test('control 36: scripts run on the Node of the lockfile, which comes by its hash and without a script', () => {
  const [path, entry] =
    installed.find(([name]) => name === `node_modules/node-${process.platform}-${process.arch}`) ?? [];
  assert.ok(path !== undefined && entry !== undefined, 'the lockfile has no Node for this machine');
  assert.match(entry.integrity ?? '', /^sha512-/);
  for (const [name, { hasInstallScript }] of installed) {
    assert.notEqual(name, 'node_modules/node');
    assert.notEqual(hasInstallScript, true, name);
  }
  const { scripts = {} } = JSON.parse(read(join(path, 'package.json')));
  for (const script of ['preinstall', 'install', 'postinstall']) assert.ok(!(script in scripts), script);
  const ended = spawnSync(
    'npm',
    ['exec', '--offline', '--', 'node', '-p', 'process.version + process.execPath'],
    { cwd: project, encoding: 'utf8' },
  );
  assert.equal(ended.stdout.trim(), `v${entry.version}${realpathSync(join(project, path, 'bin/node'))}`);
});

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: { readonly [name: string]: unknown };
}

test('control 37: publishing is by identity, with provenance and a bill of materials, and without a token', () => {
  const text = read('.github/workflows/publish.yml');
  const workflow = parse(text);
  assert.deepEqual(workflow.permissions, {});
  assert.deepEqual(Object.keys(workflow.on), ['release']);
  const { publish } = workflow.jobs;
  assert.deepEqual(publish.permissions, { contents: 'read', 'id-token': 'write' });
  assert.doesNotMatch(text, /NODE_AUTH_TOKEN|NPM_TOKEN|_authToken|secrets\./i);
  const steps = publish.steps as readonly Step[];
  const runs = steps.flatMap(({ run }) => (run === undefined ? [] : [run]));
  const at = (part: string): number => runs.findIndex((run) => run.includes(part));
  assert.ok(at('npm ci') === 0 && at('npm run check') > 0);
  assert.match(runs[at('npm publish')] ?? '', /--provenance\b/);
  assert.ok(at('npm sbom') > at('npm run check') && at('npm publish') > at('npm sbom'));
  const kept = steps.find(({ uses }) => uses?.startsWith('actions/upload-artifact@'));
  assert.match(runs[at('npm sbom')] ?? '', new RegExp(`> ${String(kept?.with?.path)}$`));
  // Only the platform's own actions, by version: nobody else's code sees the identity.
  for (const { uses } of steps) {
    if (uses !== undefined)
      assert.match(uses, /^actions\/(checkout|setup-node|upload-artifact)@(v\d+|[0-9a-f]{40})$/);
  }
});

test('control 37: the bill of materials can be made from this lockfile', () => {
  const made = spawnSync('npm', ['sbom', '--sbom-format=spdx'], {
    cwd: project,
    encoding: 'utf8',
  });
  assert.equal(made.status, 0, made.stderr);
  const bill = JSON.parse(made.stdout);
  assert.match(bill.spdxVersion, /^SPDX-/);
  const names = bill.packages.map(({ name }: { name: string }) => name);
  for (const name of ['unship', 'kysely', 'yaml', 'zod']) assert.ok(names.includes(name), name);
});
