import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { until, type World } from '../support/world.ts';
import { flat, givenGoodRelease, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** Ends the gateway as a crash would: the application's processes live on, and nobody reaches them. */
async function killGateway(world: World): Promise<void> {
  const gateway = world.processes().find(({ command }) => command.includes('gateway.js'));
  assert.ok(gateway);
  process.kill(gateway.pid, 'SIGKILL');
  assert.ok(await until(async () => (await world.pageOrNull()) === null));
}

describe('a gateway that was killed', () => {
  it('is told of by status and doctor, with the command that brings it back', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    await killGateway(world);
    const told = async (): Promise<unknown> =>
      (JSON.parse((await world.expect(0, ['status', '--json'])).stdout) as { next: unknown }).next;
    assert.deepEqual(await told(), { command: 'unship serve', note: 'nothing serves' });
    assert.match(flat(await world.run(['doctor'])), /nothing serves.*unship serve/);
    await world.expect(0, ['serve', '--yes']);
    await requireServed(world, 'r1', 'v1');
    assert.notDeepEqual(await told(), { command: 'unship serve', note: 'nothing serves' });
  });

  it('is started again by what cron does, and by the agent', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    await killGateway(world);
    await world.expect(0, ['resume', '--due']);
    await requireServed(world, 'r1', 'v1');
    const agent = world.start(['agent']);
    try {
      await killGateway(world);
      assert.ok(await until(async () => (await world.pageOrNull())?.release === 'r1', 30_000));
    } finally {
      agent.child.kill('SIGTERM');
      await agent.ended;
    }
  });

  it('stays down where somebody told it to end, until it is wanted', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    await world.expect(0, ['serve', 'stop', '--yes']);
    await world.expect(0, ['resume', '--due']);
    assert.equal(await world.pageOrNull(), null);
    await world.expect(0, ['serve', '--yes']);
    await requireServed(world, 'r1', 'v1');
    await killGateway(world);
    await world.expect(0, ['resume', '--due']);
    await requireServed(world, 'r1', 'v1');
  });
});
