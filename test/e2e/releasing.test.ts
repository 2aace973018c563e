import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { serverSource } from '../support/application-fixture.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { freePort } from '../support/world.ts';
import { flat, given, givenGoodRelease, givenTwoReleases, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

describe('releasing and its way back', { concurrency: 2 }, () => {
  it('a commit that was rolled back is refused with all that contains it, until its fix is named', async (context) => {
    const { world, bad } = await givenTwoReleases(context, program);
    await world.expect(0, ['rollback', '--yes']);
    // When somebody builds on the bad commit
    await world.commit({ version: 'v3', column: 'mood' });
    // Then it is refused
    requireExit(await world.run(['release', '--yes']), 3, 'quarantined');
    // And lifting it lets the fix ship
    const fix = await world.commit({ version: 'v4', column: 'mood' });
    requireExit(await world.run(['quarantine', 'lift', bad, '--yes']), 2, 'usage-invalid');
    requireExit(await world.run(['quarantine', 'lift', bad, '--fixed-by', fix, '--yes']), 0);
    requireExit(await world.run(['release', `${fix}~1`, '--yes']), 3, 'quarantined');
    requireExit(await world.run(['release', '--yes']), 0);
    const page = await world.page();
    assert.equal(page.version, 'v4');
  });

  it('an unhealthy release is taken back by itself where the policy says so', async (context) => {
    const { world } = await givenGoodRelease(context, program, {
      environment: {
        checks: [{ http: '/', body: '"version":"v' }],
        guard: { bake: '5s', every: '100ms', failures: 2, onUnhealthy: 'rollback' },
      },
    });
    await world.commit({ version: 'x2', column: 'mood' });
    const release = await world.run(['release', '--yes', '--json']);
    assert.equal((JSON.parse(release.stdout) as { error: { slug: string } }).error.slug, 'guard-unhealthy');
    await requireServed(world, 'r1', 'v1');
    assert.equal(world.releases().at(-1)?.health, 'bad');
    assert.equal(world.quarantined().length, 1);
  });

  it('a release whose build is gone from the disk is built again from its commit', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    const staged = join(world.stateFolder(), 'surfaces', 'web', 'releases');
    // Given that r1 runs no more and its folder was deleted
    await world.expect(0, ['serve', 'stop', '--yes']);
    const [first] = readdirSync(staged).filter((name) => name.startsWith('r1-'));
    rmSync(join(staged, first ?? 'missing'), { recursive: true });
    const plan = await world.expect(0, ['plan']);
    assert.match(plan.stdout, /check out, build, start, switch/);
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
  });

  it('where the commit is gone too, the way back is said to be gone, and nothing is touched', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    await world.expect(0, ['serve', 'stop', '--yes']);
    await world.expect(0, ['serve', '--yes']);
    const staged = join(world.stateFolder(), 'surfaces', 'web', 'releases');
    for (const name of readdirSync(staged).filter((item) => item.startsWith('r1-'))) {
      rmSync(join(staged, name), { recursive: true });
    }
    // A shallow rewrite: the history holds only what is checked out.
    rmSync(join(world.repository, '.git'), { recursive: true });
    await world.git('init', '--quiet', '--initial-branch=main');
    await world.commitAll('all that is left');
    const back = await world.run(['rollback', '--yes']);
    requireExit(back, 3, 'target-gone');
    assert.match(flat(back), /is not in the repository/);
    await requireServed(world, 'r2', 'v2');
  });

  it('several web surfaces of one repository switch together, or one of them alone', async (context) => {
    const world = await given(context, program);
    const adminPort = await freePort();
    const surfaces = {
      web: world.webSurface(world.port, { root: 'apps/web', startWithin: '8s' }),
      admin: world.webSurface(adminPort, { root: 'apps/admin', startWithin: '8s' }),
    };
    world.configure({
      production: world.environment('web', { surfaces, checks: [{ http: '/health', surface: 'web' }] }),
    });
    const commit = async (version: string, broken = false): Promise<string> => {
      for (const app of ['web', 'admin']) {
        world.write(`apps/${app}/server.mjs`, serverSource);
        const isBroken = broken && app === 'admin';
        world.write(
          `apps/${app}/version.json`,
          JSON.stringify({ version: `${app} ${version}`, broken: isBroken }),
        );
      }
      return await world.commitAll(version);
    };
    await commit('v1');
    await world.expect(0, ['release', '--yes']);
    // When one of the two can't start, neither switches
    await commit('v2', true);
    requireExit(await world.run(['release', '--yes']), 1, 'target-unhealthy');
    await requireServed(world, 'r1', 'web v1');
    await requireServed(world, 'r1', 'admin v1', adminPort);
    // When both can, both do
    await commit('v3');
    await world.expect(0, ['release', '--yes']);
    await requireServed(world, 'r3', 'web v3');
    await requireServed(world, 'r3', 'admin v3', adminPort);
    // One alone goes back, comes again, and then all of it goes back
    requireExit(await world.run(['rollback', '--only', 'admin', '--yes']), 0);
    await requireServed(world, 'r3', 'web v3');
    await requireServed(world, 'r1', 'admin v1', adminPort);
    requireExit(await world.run(['undo', '--yes']), 0);
    await requireServed(world, 'r3', 'admin v3', adminPort);
    requireExit(await world.run(['rollback', '--only', 'web', '--yes']), 0);
    await requireServed(world, 'r1', 'web v1');
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'web v1');
    await requireServed(world, 'r1', 'admin v1', adminPort);
  });

  it('environments have a history, a lease and a live release of their own', async (context) => {
    const world = await given(context, program);
    const stagingPort = await freePort();
    world.configure({
      production: world.environment('web'),
      staging: world.environment('web', { surfaces: { web: world.webSurface(stagingPort, {}) } }),
    });
    await world.commit({ version: 'v1', column: 'mood' });
    await world.expect(0, ['release', '--env', 'production', '--yes']);
    await world.expect(0, ['release', '--env', 'staging', '--yes']);
    await world.commit({ version: 'v2', column: 'mood' });
    await world.expect(0, ['release', '--env', 'staging', '--yes']);
    await requireServed(world, 'r1', 'v1');
    await requireServed(world, 'r2', 'v2', stagingPort);
    await world.expect(0, ['rollback', '--env', 'staging', '--yes']);
    await requireServed(world, 'r1', 'v1', stagingPort);
    assert.deepEqual(
      world.releases('staging').map(({ deployment }) => deployment),
      ['live', 'rolled-back'],
    );
    assert.deepEqual(
      world.releases('production').map(({ deployment }) => deployment),
      ['live'],
    );
    // A rolled back commit of staging is no secret to staging alone
    requireExit(await world.run(['release', '--env', 'staging', '--yes']), 3, 'quarantined');
    requireExit(await world.run(['release', '--env', 'production', '--yes']), 0);
  });

  it("begin and finish around a team's own deploy, and abort when it failed", async (context) => {
    const world = await given(context, program);
    // Given a host that the team's CI deploys to, and that says what is live
    const liveFile = join(world.folder, 'live');
    const live = ['node', '-e', `process.stdout.write(require('fs').readFileSync('${liveFile}', 'utf8'))`];
    const activate = ['node', '-e', `require('fs').writeFileSync('${liveFile}', process.env.UNSHIP_RELEASE)`];
    writeFileSync(liveFile, '');
    const web = {
      provider: 'server',
      kind: 'web',
      options: { install: false, build: false, switch: { commands: { live, activate } } },
    } as never;
    const check = { command: ['node', '-e', ''], name: 'nothing' };
    world.configure({ production: world.environment('web', { surfaces: { web }, checks: [check] }) });
    await world.commit({ version: 'v1', column: 'mood' });
    requireExit(await world.run(['release', 'begin', '--yes']), 0);
    writeFileSync(liveFile, 'r1');
    requireExit(await world.run(['release', 'finish', '--yes']), 0);
    assert.deepEqual(
      world.releases().map(({ deployment, health }) => `${deployment} ${health}`),
      ['live good'],
    );
    await world.commit({ version: 'v2', column: 'mood' });
    requireExit(await world.run(['release', 'begin', '--yes']), 0);
    requireExit(await world.run(['release', 'abort', '--yes']), 0);
    assert.deepEqual(
      world.releases().map(({ deployment }) => deployment),
      ['live', 'rolled-back'],
    );
    // Nothing is left to finish
    requireExit(await world.run(['release', 'finish', '--yes']), 3, 'not-live');
  });
});
