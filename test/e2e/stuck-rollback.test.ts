import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { firstVersion, type World } from '../support/world.ts';
import { destructive, flat, given, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** A rollback of `r2` that is blocked at its hotfix, whose artifact is empty; all else of it is done and on record. */
async function givenBlockedRollback(
  context: TestContext,
): Promise<{ readonly world: World; readonly good: string }> {
  const world = await given(context, program, { surfaces: 'all' });
  const good = await world.commit(firstVersion);
  await world.expect(0, ['release', '--yes']);
  await world.commit({ ...destructive, desktop: '1.1.0' });
  await world.expect(0, ['release', '--yes']);
  world.standby(good, '1.1.1');
  writeFileSync(join(world.folder, 'standby', good, 'fixture-1.1.1.AppImage'), '');
  requireExit(await world.run(['rollback', '--yes']), 1, 'artifact-invalid');
  await requireServed(world, 'r1', 'v1');
  assert.equal(world.runs().at(-1)?.status, 'blocked');
  assert.equal(world.offered(), '1.0.0');
  return { world, good };
}

function statuses(world: World): readonly string[] {
  return world.runs().map(({ kind, status }) => `${kind} ${status}`);
}

const ended = ['release done', 'release done', 'rollback superseded', 'rollback done'];

describe('a rollback that is blocked after its record was made', () => {
  it('is ended by the next one, with the hotfix that is ready by then', async (context) => {
    const { world, good } = await givenBlockedRollback(context);
    world.standby(good, '1.1.2');
    const { wayBack } = JSON.parse((await world.expect(0, ['status', '--json'])).stdout) as {
      wayBack: { from: string; to: string };
    };
    assert.deepEqual([wayBack.from, wayBack.to], ['r2', 'r1']);
    requireExit(await world.run(['rollback', '--yes']), 0);
    assert.equal(world.offered(), '1.1.2');
    assert.deepEqual(statuses(world), ended);
    await requireServed(world, 'r1', 'v1');
    requireExit(await world.run(['rollback', '--yes']), 3, 'already-there');
  });

  it('is ended by the next one without a hotfix too, and it is said who waits for one', async (context) => {
    const { world } = await givenBlockedRollback(context);
    rmSync(join(world.folder, 'standby'), { recursive: true });
    const done = await world.run(['rollback', '--yes']);
    requireExit(done, 0);
    assert.match(flat(done), /who already has 1\.1\.0 keeps it until a hotfix above it is published/);
    assert.equal(world.offered(), '1.0.0');
    assert.deepEqual(statuses(world), ended);
    requireExit(await world.run(['release', '--yes']), 3, 'quarantined');
  });
});
