import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBeyondBelief, isSilent } from '../../src/engine/lease-watch.ts';
import { leaseTtlMs, Session } from '../../src/engine/session.ts';
import type { Lease } from '../../src/store/store.port.ts';
import { type Process, World } from './toy.ts';

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

test('a raised fence is ours as the one before it was, and what still writes under that one is refused', async () => {
  using world = new World();
  const process = world.process();
  const session = await process.session();
  const { fence } = session;
  const renew = process.store.renewLease.bind(process.store);
  process.store.renewLease = async (...given) => {
    const answer = await renew(...given);
    await world.time.sleep(1_000);
    return answer;
  };
  await world.time.sleep(3_500);
  // A sign of life is under way just now, and the next must not take the new fence for another holder's.
  await session.raiseFence();
  assert.equal(session.fence, fence + 1);
  await world.time.sleep(2 * leaseTtlMs);
  assert.equal(session.lost.aborted, false);
  await assert.rejects(process.store.append(fence, 1, []), { slug: 'fenced-out' });
  assert.ok(!(await world.process().open()).granted, 'it is still ours');
  await session.close();
  assert.ok((await world.process().open()).granted);
});

test('a fence that can not be raised stays, and signs of life go on', async () => {
  using world = new World();
  const process = world.process('elsewhere');
  const session = await process.session();
  process.store.raiseFence = async () => {
    throw new Error('database is locked');
  };
  await assert.rejects(session.raiseFence(), /locked/);
  assert.equal(session.fence, 1);
  await world.time.sleep(2 * leaseTtlMs);
  assert.ok(!(await world.process('elsewhere').open()).granted, 'it is still ours');
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

/** A process on a machine whose clock is ten days ahead, with the lease. */
async function ahead(world: World): Promise<{ readonly far: Process; readonly session: Session }> {
  const far = world.process('far');
  Object.assign(far.self.runtime.clock, { now: () => world.time.now() + 864_000_000 });
  return { far, session: await far.session() };
}

async function heldLease({ store }: Process): Promise<Lease> {
  const lease = await store.lease();
  assert.ok(lease);
  return lease;
}

test('an expiry that no lease can have is told from one that is soon waited for', async () => {
  using world = new World();
  const { far } = await ahead(world);
  const held = await heldLease(far);
  assert.equal(isBeyondBelief(held, world.time.now()), true);
  assert.equal(isBeyondBelief(held, held.expiresAt - 2 * leaseTtlMs), false);
});

test('a holder is silent when a whole lease has passed by our clock, and is taken over with a new fence', async () => {
  using world = new World();
  const { far, session } = await ahead(world);
  const here = world.process();
  const { clock } = here.self.runtime;
  assert.equal(await isSilent(here.store, clock, await heldLease(here)), false, 'it lives');
  far.self.kill();
  const held = await heldLease(here);
  assert.equal(await isSilent(here.store, clock, held, AbortSignal.abort()), false, 'nobody has waited');
  const began = world.time.now();
  assert.equal(await isSilent(here.store, clock, held), true);
  assert.ok(world.time.now() - began >= leaseTtlMs);
  const asked = { store: here.store, runtime: here.self.runtime, owner: here.owner, kind: null } as const;
  const isAlive = (): null => null;
  assert.equal((await Session.open({ ...asked, mode: 'normal', isAlive })).granted, false);
  const answer = await Session.open({ ...asked, mode: 'normal', silent: held, isAlive });
  assert.ok(answer.granted);
  assert.equal(answer.session.fence, session.fence + 1);
  assert.equal(await isSilent(here.store, clock, held), false, 'it is not that lease any more');
});
