import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaseTtlMs } from '../../src/engine/session.ts';
import { World } from './toy.ts';

test('the heartbeat sees that another process holds the lease, and closing leaves it to that one', async () => {
  using world = new World();
  const session = await world.process().session();
  const other = await world.process().open('take-over');
  assert.ok(other.granted);
  await world.time.sleep(2_900);
  assert.equal(session.lost.aborted, false, 'no beat yet');
  await world.time.sleep(200);
  assert.equal(session.lost.aborted, true);
  await session.close();
  const third = await world.process().open();
  assert.ok(!third.granted);
  assert.equal(third.holder.fence, other.session.fence);
});

test('a session that was lost gives no more sign of life, and closing it needs no store', async () => {
  using world = new World();
  const process = world.process();
  const session = await process.session();
  const renew = process.store.renewLease.bind(process.store);
  let beats = 0;
  Object.assign(process.store, {
    renewLease: async (...given: Parameters<typeof renew>) => {
      beats += 1;
      return await renew(...given);
    },
    releaseLease: async () => {
      throw new Error('database is locked');
    },
  });
  await world.process().open('take-over');
  await world.time.sleep(60_000);
  assert.deepEqual([beats, session.lost.aborted], [1, true]);
  await session.close();
});

test('a renewal that fails once is tried again before the lease ends', async () => {
  using world = new World();
  const process = world.process('elsewhere');
  const renew = process.store.renewLease.bind(process.store);
  let fails = true;
  let beats = 0;
  Object.assign(process.store, {
    renewLease: async (...given: Parameters<typeof renew>) => {
      beats += 1;
      if (fails) throw new Error('database is locked');
      return await renew(...given);
    },
  });
  const session = await process.session();
  await world.time.sleep(3_100);
  fails = false;
  await world.time.sleep(leaseTtlMs);
  assert.ok(beats >= 3, `${beats} beats`);
  assert.equal(session.lost.aborted, false);
  assert.ok(!(await world.process('elsewhere').open()).granted, 'it is still ours');
  const before = beats;
  await session.close();
  await world.time.sleep(60_000);
  assert.equal(beats, before, 'a closed session gives no sign of life');
});
