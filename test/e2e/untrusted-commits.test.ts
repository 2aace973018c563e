import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import type { World } from '../support/world.ts';
import { given, givenGoodRelease, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** A commit beside the operator's branch whose configurations write a file as soon as they are loaded. */
async function givenWritingConfiguration(
  world: World,
): Promise<{ commit: string; mark: string; text: string }> {
  const mark = join(world.folder, 'loaded');
  const text = `import { appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(mark)}, 'loaded');
export default ${readFileSync(join(world.repository, 'unship.config.json'), 'utf8')};`;
  await world.git('checkout', '--quiet', '-b', 'theirs');
  const names = ['unship.config.ts', 'unship.config.mjs'];
  for (const name of names) world.write(name, text);
  const commit = await world.commit({ version: 'theirs', column: 'mood' });
  await world.git('checkout', '--quiet', 'main');
  for (const name of names) assert.equal(existsSync(join(world.repository, name)), false);
  return { commit, mark, text };
}

function deleteBuilds(world: World, release: string): void {
  const staged = join(world.stateFolder(), 'surfaces', 'web', 'releases');
  for (const name of readdirSync(staged).filter((item) => item.startsWith(`${release}-`))) {
    rmSync(join(staged, name), { recursive: true });
  }
}

describe('what a commit brings', { concurrency: 2 }, () => {
  it('control 1: the configuration of a commit is never loaded: released, rehearsed, rolled back to', async (context) => {
    const { world } = await givenGoodRelease(context, program, { environment: { rehearsal: 'required' } });
    const { commit, mark, text } = await givenWritingConfiguration(world);
    requireExit(await world.run(['rehearse', commit, '--yes']), 0);
    requireExit(await world.run(['release', commit, '--yes']), 0);
    await requireServed(world, 'r2', 'theirs');
    await world.commit({ version: 'v3', column: 'mood' });
    requireExit(await world.run(['release', '--yes']), 0);
    // Back to it when it has to be built anew
    await world.expect(0, ['serve', 'stop', '--yes']);
    await world.expect(0, ['serve', '--yes']);
    deleteBuilds(world, 'r2');
    for (const command of [['plan', 'r2'], ['status'], ['doctor'], ['show', 'r2']]) await world.run(command);
    requireExit(await world.run(['rollback', 'r2', '--yes']), 0);
    await requireServed(world, 'r2', 'theirs');
    requireExit(await world.run(['undo', '--yes']), 0);
    assert.equal(existsSync(mark), false);
    // In the operator's own checkout the same file is loaded
    world.write('unship.config.ts', text);
    await world.expect(0, ['status']);
    assert.equal(existsSync(mark), true);
  });

  it('control 1: the configuration of a commit that is adopted is never loaded', async (context) => {
    const world = await given(context, program);
    await world.commit({ version: 'v1', column: 'mood' });
    const { commit, mark } = await givenWritingConfiguration(world);
    requireExit(await world.run(['init', '--adopt', commit, '--yes']), 0);
    assert.equal(world.releases()[0]?.commit, commit);
    await world.commit({ version: 'v2', column: 'mood' });
    requireExit(await world.run(['release', '--yes']), 0);
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'theirs');
    assert.equal(existsSync(mark), false);
  });

  it("control 2: where builds can't be enclosed, doctor says so for web and desktop, and builds main alone", async (context) => {
    // Given a machine without `unshare`
    const programs = mkdtempSync(join(tmpdir(), 'unship-programs-'));
    context.after(() => rmSync(programs, { recursive: true, force: true }));
    const git = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
    symlinkSync(git, join(programs, 'git'));
    const world = await given(context, program, { surfaces: 'all', variables: { PATH: programs } });
    const { surfaces, ...rest } = world.environment('all');
    const { desktop } = surfaces as { desktop: { provider: string; kind: 'desktop'; options: object } };
    const built = { ...desktop, options: { ...desktop.options, build: ['true'] } };
    world.configure({ production: { ...rest, surfaces: { ...surfaces, desktop: built } } });
    await world.commit({ version: 'v1', column: 'mood' });
    const told = `${(await world.run(['doctor', '--json'])).stdout}`;
    const { rows } = JSON.parse(told) as { rows: readonly { subject: string; text: string }[] };
    const open = rows.filter(({ text }) => /^builds see what you see .*unshare/.test(text));
    assert.deepEqual(open.map(({ subject }) => subject).sort(), ['desktop', 'web']);
    const { commit } = await givenWritingConfiguration(world);
    // It is a step of the release that refuses, and the release is undone.
    requireExit(await world.run(['release', commit, '--only', 'web', '--yes']), 1, 'build-not-enclosed');
  });

  it('control 14: nothing speaks SSH, whatever the repository names: a remote, objects to fetch, a submodule', async (context) => {
    const tempted = await givenTemptations(context);
    const { world } = tempted;
    const old = await world.head();
    await world.git('config', 'extensions.partialClone', 'origin');
    await world.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},module`);
    mkdirSync(join(world.repository, 'module'));
    world.write('.gitmodules', `[submodule "module"]\n\tpath = module\n\turl = ${tempted.url}\n`);
    await world.commit({ version: 'v2', column: 'mood' });
    assert.match(await world.git('ls-tree', 'HEAD', 'module'), /^160000 commit/);
    requireExit(await world.run(['release', '--yes']), 0);
    await requireServed(world, 'r2', 'v2');
    // Objects of the older commit are to be had from the remote only, and its build is gone
    const blob = (await world.git('rev-parse', `${old}:version.json`)).trim();
    rmSync(join(world.repository, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
    await world.expect(0, ['serve', 'stop', '--yes']);
    await world.expect(0, ['serve', '--yes']);
    deleteBuilds(world, 'r1');
    for (const command of [['plan'], ['status'], ['doctor'], ['init', '--yes'], ['show', 'r1']]) {
      await world.run(command);
    }
    const back = await world.run(['rollback', '--yes']);
    assert.notEqual(back.exit, 0);
    const release = await world.run(['release', old, '--yes']);
    assert.notEqual(release.exit, 0);
    await requireServed(world, 'r2', 'v2');
    assert.deepEqual([tempted.started(), tempted.connections()], ['', 0]);
    // Git by itself would have: for the missing object, and for the submodule
    await assert.rejects(world.git('cat-file', 'blob', blob));
    assert.match(tempted.started(), /127\.0\.0\.1/);
    assert.ok(tempted.connections() > 0);
  });
});

/** `r1`, in a repository whose remote is reached by SSH: a server that counts, and an `ssh` that tells and connects. */
async function givenTemptations(context: TestContext): Promise<{
  readonly world: World;
  readonly url: string;
  started(): string;
  connections(): number;
}> {
  let connections = 0;
  const server = createServer((client) => {
    connections += 1;
    client.end();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { world } = await givenGoodRelease(context, program);
  const url = `ssh://git@127.0.0.1:${port}/app.git`;
  const [ssh, log] = [join(world.folder, 'ssh'), join(world.folder, 'ssh.log')];
  const connect = `require('node:net').connect(${port}, '127.0.0.1').on('close', () => process.exit(1)).resume()`;
  writeFileSync(ssh, `#!/bin/sh\necho "$@" >> '${log}'\nexec '${process.execPath}' -e "${connect}"\n`);
  chmodSync(ssh, 0o755);
  writeFileSync(log, '');
  await world.git('config', 'core.sshCommand', ssh);
  await world.git('config', 'remote.origin.url', url);
  await world.git('config', 'remote.origin.promisor', 'true');
  return { world, url, started: () => readFileSync(log, 'utf8'), connections: () => connections };
}
