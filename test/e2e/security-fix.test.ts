import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { flat, givenGoodRelease, requireExit, requireServed, untilStep } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const accept = '--accept-security-regression';

describe('security fixes', { concurrency: 2 }, () => {
  it('control 6: nothing goes back past a release whose commits say that they fix a weakness', async (context) => {
    const { world, good } = await givenGoodRelease(context, program);
    await world.commit({ version: 'v2', column: 'mood' });
    await world.commitAll('Close the hole\n\nIt was open.\n\nSecurity-fix: anybody could read entries');
    await world.commit({ version: 'v3', column: 'mood' });
    await world.expect(0, ['release', '--yes']);
    await world.commit({ version: 'v4', column: 'mood' });
    await world.expect(0, ['release', '--yes']);
    // Then the plan warns, and a yes is not enough
    const plan = await world.expect(0, ['plan', 'r1']);
    assert.match(flat(plan), /security fix of r2 would be gone/);
    const refused = await world.run(['rollback', 'r1', '--yes']);
    requireExit(refused, 3, 'security-regression');
    assert.match(flat(refused), /unship rollback r1 --yes --accept-security-regression/);
    await requireServed(world, 'r3', 'v4');
    // Nor does releasing the old commit go round it
    requireExit(await world.run(['release', good, '--yes']), 3, 'security-regression');
    await requireServed(world, 'r3', 'v4');
    // What keeps the fix is free, forth and back
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r2', 'v3');
    requireExit(await world.run(['undo', '--yes']), 0);
    await requireServed(world, 'r3', 'v4');
    // With the word for it, it goes; forward again needs none, and taking that back needs it again
    requireExit(await world.run(['rollback', 'r1', '--yes', accept]), 0);
    await requireServed(world, 'r1', 'v1');
    requireExit(await world.run(['undo', '--yes']), 0);
    await requireServed(world, 'r3', 'v4');
    requireExit(await world.run(['undo', '--yes']), 3, 'security-regression');
    await requireServed(world, 'r3', 'v4');
  });

  it('control 6: cancelling a release that serves takes no security fix back unasked', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    const guard = { bake: '10m', every: '100ms', failures: 2 } as const;
    world.configure({ production: world.environment('web', { guard }) });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes', '--security-fix']);
    await untilStep(world, 2, 'unship.watch', 'applying');
    requireExit(await world.run(['cancel', '2', '--yes']), 3, 'security-regression');
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['cancel', '2', '--yes', accept]), 0);
    await release.ended;
    await requireServed(world, 'r1', 'v1');
  });

  it('control 6: a policy never takes a release back that was marked as a security fix', async (context) => {
    const { world } = await givenGoodRelease(context, program, {
      environment: {
        checks: [{ http: '/', body: '"version":"v' }],
        guard: { bake: '5s', every: '100ms', failures: 2, onUnhealthy: 'rollback' },
      },
    });
    await world.commit({ version: 'x2', column: 'mood' });
    const release = await world.run(['release', '--yes', '--security-fix', '--json']);
    requireExit(release, 1);
    assert.equal((JSON.parse(release.stdout) as { error: { slug: string } }).error.slug, 'guard-unhealthy');
    await requireServed(world, 'r2', 'x2');
    assert.deepEqual(
      world.runs().map(({ kind }) => kind),
      ['release', 'release'],
    );
    requireExit(await world.run(['rollback', '--yes']), 3, 'security-regression');
    requireExit(await world.run(['rollback', '--yes', accept]), 0);
    await requireServed(world, 'r1', 'v1');
  });
});
