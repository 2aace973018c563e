import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { liveRelease, type Release, type ReleaseId } from '../domain/release.ts';
import { contractRelease, lease, type StoreHarness } from './store-harness.ts';

/** What is kept of releases, and of what was shown or told about them. */
export function historyContract(name: string, make: () => Promise<StoreHarness>): void {
  describe(`${name}: store contract, releases`, () => {
    test('an empty store has no releases, no lease, and numbers from 1', async () => {
      await using harness = await make();
      const store = await harness.open();
      assert.deepEqual(await store.history(), { releases: [], quarantine: [] });
      assert.deepEqual(await store.planningHistory(), { releases: [], quarantine: [] });
      assert.equal(await store.nextReleaseId(), 'r1');
      assert.equal(await store.release('r1'), undefined);
      assert.equal(await store.lease(), undefined);
      assert.equal(await store.lastFence(), 0);
      assert.equal(await store.lastConfiguration(), undefined);
      assert.deepEqual(await store.runs(9), []);
    });

    test('a saved release is read back as it was, by everybody, newest first', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence } = await lease(store, harness);
      const full = contractRelease(2, {
        deployment: 'live',
        surfaces: {
          vault: {
            kind: 'database',
            commit: '',
            artifact: { applied: ['0001'], fingerprint: 'ö"\n\u2028', n: 1.5, no: null },
            label: '0001',
            since: 'r2',
          },
        },
        rehearsal: { at: 1, ok: true, wayBackMs: 20, rowsLost: 0 },
      });
      await store.saveReleases(fence, [contractRelease(1), full, contractRelease(10)]);
      assert.deepEqual(await other.release('r2'), full);
      const ids = (await other.history()).releases.map((release) => release.id);
      assert.deepEqual(ids, ['r10', 'r2', 'r1'], 'by number, not by letter');
      assert.deepEqual(
        (await other.recentReleases(2)).map((release) => release.id),
        ['r10', 'r2'],
      );
      assert.equal(await other.nextReleaseId(), 'r11');
      await store.saveRelease(fence, { ...full, deployment: 'rolled-back', health: 'bad' });
      assert.equal((await other.release('r2'))?.health, 'bad');
      assert.equal((await other.history()).releases.length, 3);
    });

    test('releases that change together change together or not at all', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      await store.saveRelease(fence, contractRelease(1, { deployment: 'live' }));
      const wrong = { ...contractRelease(2), deployment: null } as unknown as Release;
      await assert.rejects(
        store.saveReleases(fence, [contractRelease(1, { deployment: 'superseded' }), wrong]),
      );
      assert.equal((await store.release('r1'))?.deployment, 'live');
    });

    test('what a plan needs is found however long the history and however far back the live release', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const releases = Array.from({ length: 200 }, (_, index) =>
        contractRelease(index + 1, { health: index < 40 || index > 90 ? 'good' : 'bad' }),
      );
      releases[49] = contractRelease(50, { deployment: 'live', health: 'bad' });
      await store.saveReleases(fence, releases);
      const history = await store.planningHistory('r3');
      const ids = history.releases.map((release) => release.id);
      assert.equal(liveRelease(history)?.id, 'r50');
      assert.ok(ids.includes('r40'), 'the last good one before it');
      assert.ok(ids.includes('r3'), 'the one that was named');
      assert.ok(ids.includes('r200'), 'the newest');
      const numbers = ids.map((id) => Number(id.slice(1)));
      assert.deepEqual(
        numbers,
        [...numbers].sort((a, b) => b - a),
      );
      assert.equal(new Set(ids).size, ids.length);
      assert.ok(ids.length <= 120, `${ids.length} releases were read`);
    });

    test('the last good release of another commit is read, however often the live one was deployed', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const older = [1, 2].map((id) => contractRelease(id, { commit: 'a'.repeat(40), health: 'good' }));
      const nightly = Array.from({ length: 60 }, (_, index) =>
        contractRelease(index + 3, { commit: 'b'.repeat(40), health: 'good', deployment: 'superseded' }),
      );
      nightly[59] = contractRelease(62, { commit: 'b'.repeat(40), health: 'good', deployment: 'live' });
      await store.saveReleases(fence, [...older, ...nightly]);
      const ids = (await store.planningHistory()).releases.map((release) => release.id);
      assert.deepEqual([ids[0], ids.includes('r2')], ['r62', true]);
      assert.ok(ids.length < 62, `${ids.length} releases were read`);
    });

    test('a quarantine stays until it is lifted, and is lifted once', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const entry = { commit: 'b'.repeat(40), release: 'r2' as ReleaseId, reason: 'lost entries', since: 5 };
      await store.quarantine(fence, entry);
      await store.quarantine(fence, { ...entry, since: 6 });
      assert.deepEqual((await store.planningHistory()).quarantine, [{ ...entry, since: 6 }]);
      assert.equal(await store.liftQuarantine(entry.commit, 'd'.repeat(40)), true);
      assert.equal(await store.liftQuarantine(entry.commit, 'e'.repeat(40)), false);
      assert.equal(await store.liftQuarantine('f'.repeat(40), 'e'.repeat(40)), false);
      assert.equal((await store.history()).quarantine[0]?.fixedBy, 'd'.repeat(40));
      await store.quarantine(fence, { ...entry, since: 7 });
      assert.equal((await store.history()).quarantine[0]?.fixedBy, undefined, 'it was rolled back again');
    });
  });

  describe(`${name}: store contract, configurations and plans`, () => {
    test('the last configuration is the one that was saved last, also when it was there before', async () => {
      await using harness = await make();
      const store = await harness.open();
      await store.saveConfiguration('one', { name: 'one' });
      await store.saveConfiguration('two', { name: 'two' });
      assert.deepEqual(await store.lastConfiguration(), { hash: 'two', text: { name: 'two' } });
      await store.saveConfiguration('one', { name: 'one' });
      assert.deepEqual(await store.lastConfiguration(), { hash: 'one', text: { name: 'one' } });
      assert.deepEqual(await store.configuration('two'), { name: 'two' });
      assert.equal(await store.configuration('three'), undefined);
    });

    test('what a person was shown is remembered by hash', async () => {
      await using harness = await make();
      const store = await harness.open();
      assert.equal(await store.shownRowsLost('h'), undefined);
      await store.rememberPlan('h', 3, 1);
      await store.rememberPlan('h', 5, 2);
      assert.equal(await store.shownRowsLost('h'), 5);
    });
  });

  describe(`${name}: store contract, words from outside and incidents`, () => {
    test('the first word of a name wins, may come before the run waits, and is kept', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const word = { run: 5, name: 'approval', payload: { by: 'ben' }, at: 9 };
      assert.equal(await store.signal(word), true);
      assert.equal(await other.signal({ ...word, payload: { by: 'eve' } }), false);
      assert.equal(await other.signal({ ...word, name: 'cancel', payload: null }), true);
      assert.equal(await other.signal({ ...word, run: 6 }), true);
      const kept = await other.signals(5);
      assert.deepEqual(
        kept.find((signal) => signal.name === 'approval'),
        word,
      );
      assert.equal(kept.length, 2);
      assert.deepEqual(await other.signals(7), []);
    });

    test('a run has one incident, whoever opens it', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const incident = { run: 5, release: 'r2' as const, openedAt: 9, draft: 'first' };
      const opened = await store.openIncident(incident);
      assert.deepEqual(await other.openIncident({ ...incident, draft: 'second' }), opened);
      await other.saveIncidentDraft(opened.id, 'more is known');
      assert.deepEqual(await store.incident(opened.id), { ...opened, draft: 'more is known' });
      assert.deepEqual(await store.incidentOfRun(5), { ...opened, draft: 'more is known' });
      const second = await store.openIncident({ ...incident, run: 6, release: null });
      assert.ok(second.id > opened.id);
      assert.deepEqual(
        (await store.incidents(1)).map((item) => item.id),
        [second.id],
      );
      assert.equal(await store.incident(99), undefined);
      assert.equal(await store.incidentOfRun(99), undefined);
    });
  });
}
