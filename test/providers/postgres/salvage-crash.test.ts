import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutOver, prepare } from '../../../src/providers/postgres/salvage.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { judge, SalvageWorld } from './salvage-world.ts';

test('the server crashes while changes are carried over: it goes on afterwards, with nothing missing and nothing twice', async () => {
  await using cluster = await PostgresCluster.start();
  await using world = await SalvageWorld.make(cluster, 'crash');
  const capture = await world.capture();
  world.startWriters(5);
  await world.written(30);
  await world.migrate(capture);
  for (const deadly of ['postgres.replay.applied', 'postgres.replay.committed']) {
    await world.written(60);
    let crash: Promise<void> | undefined;
    const faults = {
      point: (name: string): void => {
        if (name === deadly) crash ??= cluster.kill();
      },
    };
    await assert.rejects(prepare(world.salvageWish(capture, { faults })));
    assert.ok(crash, `${deadly} is reached`);
    await crash;
    await cluster.begin();
  }
  await world.written(30);
  const wish = world.salvageWish(capture);
  await prepare(wish);
  const { report } = await cutOver(wish, { blockedMs: 20_000 });
  await world.stopWriters();
  assert.deepEqual(await judge(world), { missing: [], wrong: [], surplus: [] });
  assert.equal(report?.conflicts.count, 0);
  assert.equal(report.ledger.found, report.ledger.markers);
});
