import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Store } from '../store/store.port.ts';
import {
  ask,
  ben,
  contractPlan,
  contractRelease,
  lease,
  maria,
  type StoreHarness,
  slugged,
  ttlMs,
} from './store-harness.ts';

export function leaseContract(name: string, make: () => Promise<StoreHarness>): void {
  describe(`${name}: store contract, lease`, () => {
    test('one holder at a time; the others are told who it is', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const held = await lease(store, harness, { kind: 'rollback' });
      const answer = await ask(other, harness, { owner: ben });
      assert.deepEqual(answer, { granted: false, holder: held });
      assert.deepEqual(held.owner, maria);
      assert.equal(held.expiresAt, held.since + ttlMs);
      assert.deepEqual(await other.lease(), held);
    });

    test('of many that ask at once one gets it', async () => {
      await using harness = await make();
      const stores = await Promise.all(Array.from({ length: 4 }, () => harness.open()));
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          ask(stores[index % 4] as Store, harness, { owner: { ...ben, pid: index } }),
        ),
      );
      assert.equal(answers.filter((answer) => answer.granted).length, 1);
    });

    test('every new holder has a higher fence, also after it was given back', async () => {
      await using harness = await make();
      const store = await harness.open();
      const fences: number[] = [];
      for (let round = 0; round < 4; round += 1) {
        const { fence } = await lease(store, harness);
        fences.push(fence);
        assert.equal(await store.lastFence(), fence);
        await store.releaseLease(fence);
        assert.equal(await store.lease(), undefined);
        assert.equal(await store.lastFence(), fence, 'the last one given, held or not');
      }
      assert.deepEqual(fences, [1, 2, 3, 4]);
    });

    test('whoever holds it may take the next fence, and nobody else', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const held = await lease(store, harness, { kind: 'rollback' });
      assert.equal(await store.raiseFence(held.fence), held.fence + 1);
      assert.deepEqual(await other.lease(), { ...held, fence: held.fence + 1 });
      assert.equal(await other.lastFence(), held.fence + 1);
      await assert.rejects(store.raiseFence(held.fence), slugged('fenced-out'));
      await assert.rejects(store.saveRelease(held.fence, contractRelease(1)), slugged('fenced-out'));
      await store.saveRelease(held.fence + 1, contractRelease(1));
      assert.equal(await store.renewLease(held.fence, null, null, 1), false);
      await store.releaseLease(held.fence);
      assert.equal((await other.lease())?.fence, held.fence + 1, 'an old fence gives nothing back');
      await store.releaseLease(held.fence + 1);
      await assert.rejects(store.raiseFence(held.fence + 1), slugged('fenced-out'));
      const next = await lease(other, harness, { owner: ben });
      assert.equal(next.fence, held.fence + 2);
      await assert.rejects(store.raiseFence(held.fence + 1), slugged('fenced-out'));
    });

    test('an expired lease is free, and so is that of a dead process on the same host', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const now = harness.now();
      assert.equal(
        (await ask(store, harness, { owner: ben, isAlive: () => false })).granted,
        false,
        'another host',
      );
      const sameHost = { ...ben, host: maria.host };
      assert.equal((await ask(store, harness, { owner: sameHost, isAlive: () => true })).granted, false);
      assert.equal((await ask(store, harness, { owner: sameHost, isAlive: () => null })).granted, false);
      const orphaned = await lease(store, harness, { owner: sameHost, isAlive: () => false });
      assert.equal(orphaned.fence, fence + 1);
      assert.equal((await ask(store, harness, { owner: ben, now: now + ttlMs - 1 })).granted, false);
      assert.equal((await ask(store, harness, { owner: ben, now: orphaned.expiresAt })).granted, true);
    });

    test('the lease of a holder that was watched in vain is free, unless it has given a sign of life since', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const silent = await lease(store, harness, { now: harness.now() + 864_000_000 });
      const rest = { owner: ben, isAlive: () => null };
      assert.equal((await ask(other, harness, rest)).granted, false);
      assert.equal(await store.renewLease(silent.fence, null, 'release', silent.expiresAt + 1), true);
      assert.equal((await ask(other, harness, { ...rest, silent })).granted, false, 'a sign of life came');
      const renewed = { ...silent, expiresAt: silent.expiresAt + 1 };
      const earlier = { ...renewed, fence: silent.fence - 1 };
      assert.equal((await ask(other, harness, { ...rest, silent: earlier })).granted, false, 'another lease');
      const taken = await lease(other, harness, { ...rest, silent: renewed });
      assert.equal(taken.fence, silent.fence + 1);
      await assert.rejects(store.saveRelease(silent.fence, contractRelease(1)), slugged('fenced-out'));
    });

    test('a rollback goes before a release or a rehearsal, not before another rollback; a person before all', async () => {
      for (const [kind, mode, granted] of [
        ['release', 'normal', false],
        ['release', 'supersede', true],
        ['rehearsal', 'supersede', true],
        ['rollback', 'supersede', false],
        ['undo', 'supersede', false],
        ['rollback', 'take-over', true],
      ] as const) {
        await using harness = await make();
        const store = await harness.open();
        const held = await lease(store, harness, { kind });
        await store.renewLease(held.fence, 41, kind, held.expiresAt);
        const answer = await ask(store, harness, { owner: ben, mode, kind: 'rollback' });
        assert.equal(answer.granted, granted, `${mode} over ${kind}`);
        if (answer.granted) assert.equal(answer.superseded, 41);
      }
    });

    test('only its holder renews or gives it back', async () => {
      await using harness = await make();
      const store = await harness.open();
      const old = await lease(store, harness);
      assert.equal(await store.renewLease(old.fence, 3, 'release', old.expiresAt + 5), true);
      assert.equal((await store.lease())?.expiresAt, old.expiresAt + 5);
      assert.equal((await store.lease())?.run, 3);
      const next = await lease(store, harness, { owner: ben, mode: 'take-over' });
      assert.equal(await store.renewLease(old.fence, 3, 'release', old.expiresAt + 9), false);
      await store.releaseLease(old.fence);
      assert.deepEqual(await store.lease(), next);
      await store.releaseLease(next.fence);
      assert.equal(
        await store.renewLease(next.fence, null, null, next.expiresAt),
        false,
        'given back is gone',
      );
    });

    test('a surface is where it was placed last, for everybody', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      assert.deepEqual(await store.surfaceHosts(), new Map());
      const { fence } = await lease(store, harness);
      await store.placeSurfaces(fence, ['web', 'vault'], 'one');
      await store.placeSurfaces(fence, ['web'], 'two');
      assert.deepEqual(Object.fromEntries(await other.surfaceHosts()), { web: 'two', vault: 'one' });
    });

    test('whoever was followed by another writes nothing any more', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      const { fence: newer } = await lease(other, harness, { owner: ben, mode: 'take-over' });
      const late: readonly (() => Promise<unknown>)[] = [
        () => store.createRun(fence, contractPlan, 1, 'l'),
        () => store.append(fence, run, [{ type: 'note', text: 'late' }]),
        () => store.saveRelease(fence, contractRelease(1)),
        () => store.saveReleases(fence, [contractRelease(1)]),
        () => store.placeSurfaces(fence, ['web'], 'one'),
        () => store.quarantine(fence, { commit: 'b', release: 'r1', reason: 'r', since: 1 }),
      ];
      for (const write of late) await assert.rejects(write(), slugged('fenced-out'));
      assert.equal((await store.journal(run)).length, 1);
      assert.deepEqual(await store.history(), { releases: [], quarantine: [] });
      assert.equal((await other.runs(9)).length, 1);
      await other.append(newer, run, [{ type: 'note', text: 'mine' }]);
    });
  });
}
