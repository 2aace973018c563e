import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isUnshipError } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import { liveRelease, type Release, type ReleaseId } from '../domain/release.ts';
import type { NewJournalEntry } from '../domain/run.ts';
import type { Lease, LeaseAnswer, LeaseOwner, LeaseRequest, Store } from '../store/store.port.ts';

/** An empty state of its own for one test, and what stands around it. */
export interface StoreHarness extends AsyncDisposable {
  /** As another process would open it. All of them are closed at the end. */
  open(): Promise<Store>;
  /** The store's clock, in milliseconds since the epoch. */
  now(): number;
  /** Rewrites the stored text of one journal entry behind the store's back. */
  damage(run: number, seq: number, change: (text: string) => string): Promise<void>;
  /** Deletes one stored journal entry behind the store's back. */
  forget(run: number, seq: number): Promise<void>;
  /** Rewrites the stored plan of a run behind the store's back. */
  damagePlan(run: number, change: (text: string) => string): Promise<void>;
}

export const contractPlan: Plan = {
  schema: 'unship.plan/1',
  kind: 'release',
  application: 'inner-scribe-vault',
  environment: 'production',
  from: 'r1',
  to: 'r2',
  reason: 'contract',
  steps: [],
  changes: [],
  why: [],
  options: [],
  risk: { tables: [], dropped: [], exact: true },
  rowsLost: 0,
  lossUncertain: false,
  blockedWritesMs: 0,
  estimateMs: 0,
  warnings: [],
  hash: 'a'.repeat(64),
};

const maria: LeaseOwner = {
  host: 'one',
  pid: 7,
  pidStartedAt: '100',
  user: 'maria',
  command: 'unship release',
};
const ben: LeaseOwner = { host: 'two', pid: 8, pidStartedAt: '200', user: 'ben', command: 'unship rollback' };
const ttlMs = 10_000;

export function contractRelease(id: number, changes: Partial<Release> = {}): Release {
  return {
    id: `r${id}`,
    createdAt: id,
    createdBy: 'maria',
    commit: String(id % 10).repeat(40),
    deployment: 'superseded',
    health: 'unproven',
    surfaces: {},
    configurationHash: 'c'.repeat(64),
    ...changes,
  };
}

function slugged(slug: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isUnshipError(error), String(error));
    assert.equal(error.slug, slug, error.message);
    return true;
  };
}

async function ask(
  store: Store,
  harness: StoreHarness,
  request: Partial<LeaseRequest> = {},
): Promise<LeaseAnswer> {
  return await store.acquireLease({
    owner: maria,
    mode: 'normal',
    run: null,
    kind: 'release',
    now: harness.now(),
    ttlMs,
    isAlive: () => null,
    ...request,
  });
}

async function lease(
  store: Store,
  harness: StoreHarness,
  request: Partial<LeaseRequest> = {},
): Promise<Lease> {
  const answer = await ask(store, harness, request);
  assert.ok(answer.granted, 'the lease was not given');
  return answer.lease;
}

/** What every store must do. `make` gives an empty one. */
export function storeContract(name: string, make: () => Promise<StoreHarness>): void {
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

  describe(`${name}: store contract, runs and their journal`, () => {
    test('a run begins with its plan and its first entry, and its summary follows the journal', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 77, 'unship-run/1');
      assert.deepEqual(await other.plan(run), contractPlan);
      assert.equal((await other.lease())?.run, run);
      const [first] = await other.journal(run);
      assert.deepEqual(first, { type: 'run', status: 'running', seq: 1, at: first?.at });
      const [entry] = await store.append(fence, run, [{ type: 'run', status: 'blocked', note: 'waits' }]);
      assert.equal(entry?.seq, 2);
      assert.deepEqual(await other.run(run), {
        id: run,
        kind: 'release',
        status: 'blocked',
        from: 'r1',
        to: 'r2',
        planHash: contractPlan.hash,
        label: 'unship-run/1',
        startedAt: 77,
        updatedAt: entry.at,
      });
      const { run: next } = await store.createRun(fence, contractPlan, 78, 'unship-run/1');
      assert.ok(next > run);
      assert.deepEqual(
        (await other.runs(1)).map((item) => item.id),
        [next],
      );
      assert.equal(await other.run(999), undefined);
      assert.equal(await other.plan(999), undefined);
      assert.deepEqual(await other.journal(999), []);
    });

    test('every kind of entry is read back as it was written', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      const entries: readonly NewJournalEntry[] = [
        { type: 'consent', rowsLost: 4, by: 'maria' },
        { type: 'note', text: 'ünïcode \u0000 \u2028 "quotes" \\ line\nbreak' },
        {
          type: 'step',
          step: 'web.switch',
          status: 'applied',
          attempt: 1,
          output: { deep: [1, null, { a: 'b' }] },
        },
        {
          type: 'step',
          step: 'web.switch',
          status: 'failed',
          attempt: 2,
          error: { slug: 's', message: 'm' },
        },
        { type: 'run', status: 'done' },
      ];
      const written = [];
      const [alone, ...together] = entries;
      assert.ok(alone !== undefined);
      for (const part of [[alone], together]) written.push(...(await store.append(fence, run, part)));
      const read = await store.journal(run);
      assert.deepEqual(read.slice(1), written);
      assert.deepEqual(
        read.slice(1).map(({ seq: _seq, at: _at, ...entry }) => entry),
        entries,
      );
    });

    test('what is written together is there as a whole, or not at all', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence, run } = await store.together('begin', async (state) => {
        const { fence } = await lease(state, harness);
        const { run } = await state.createRun(fence, contractPlan, 1, 'l', contractRelease(1));
        await state.append(fence, run, [{ type: 'note', text: 'a' }]);
        assert.equal((await state.lease())?.run, run, 'it sees what it has written');
        assert.equal(await other.lease(), undefined, 'nobody else does yet');
        return { fence, run };
      });
      assert.equal((await other.lease())?.fence, fence);
      assert.equal((await other.journal(run)).length, 2);

      const failing = store.together('begin', async (state) => {
        await state.append(fence, run, [{ type: 'run', status: 'superseded' }]);
        await state.saveRelease(fence, contractRelease(2));
        throw new Error('and then it failed');
      });
      await assert.rejects(failing, /and then it failed/);
      assert.equal((await other.journal(run)).length, 2);
      assert.equal((await other.run(run))?.status, 'running');
      assert.equal(await other.release('r2'), undefined);
      await store.append(fence, run, [{ type: 'note', text: 'b' }]);
      assert.equal((await other.journal(run)).length, 3, 'the store goes on');
    });

    test('a part that is fenced out takes all with it', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      const { fence: newer } = await lease(other, harness, { owner: ben, mode: 'take-over' });
      const late = store.together('begin', async (state) => {
        await state.saveRelease(newer, contractRelease(5));
        await state.append(fence, run, [{ type: 'note', text: 'late' }]);
      });
      await assert.rejects(late, slugged('fenced-out'));
      assert.equal(await other.release('r5'), undefined);
    });

    test('runs that have not ended are told, the newest first', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const runs = [];
      for (const status of ['done', 'blocked', 'superseded', 'failed', 'undone', 'paused'] as const) {
        const { run } = await store.createRun(fence, contractPlan, 1, 'l');
        await store.append(fence, run, [{ type: 'run', status }]);
        runs.push({ id: run, status });
      }
      assert.deepEqual(
        (await store.unendedRuns()).map(({ id, status }) => ({ id, status })),
        [runs[5], runs[1]],
      );
    });

    test('entries written by two at once stand one behind the other', async () => {
      await using harness = await make();
      const [store, other] = [await harness.open(), await harness.open()];
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          (index % 2 === 0 ? store : other).append(fence, run, [{ type: 'note', text: String(index) }]),
        ),
      );
      const entries = await store.journal(run);
      assert.deepEqual(
        entries.map((entry) => entry.seq),
        Array.from({ length: 61 }, (_, index) => index + 1),
      );
    });

    test('control 10: a byte changed at any of 1,000 positions of the journal is found', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      for (let index = 0; index < 12; index += 1) {
        const text = `step ${index} of the way back, observed from outside: ${'x'.repeat(40)}`;
        await store.append(fence, run, [
          {
            type: 'step',
            step: 'web.switch',
            status: 'verified',
            attempt: index,
            observed: text,
          },
        ]);
      }
      const intact = await store.journal(run);
      let positions = 0;
      for (const { seq } of intact) {
        let original = '';
        await harness.damage(run, seq, (text) => {
          original = text;
          return text;
        });
        for (let at = 0; at < original.length && positions < 1000; at += 1, positions += 1) {
          // Another digit or letter where there was one, so that the text mostly stays readable.
          const changed = String.fromCharCode(original.charCodeAt(at) ^ 1);
          await harness.damage(run, seq, () => original.slice(0, at) + changed + original.slice(at + 1));
          await assert.rejects(
            store.journal(run),
            slugged('journal-corrupt'),
            `entry ${seq}, position ${at}`,
          );
        }
        await harness.damage(run, seq, () => original);
      }
      assert.equal(positions, 1000);
      assert.deepEqual(await store.journal(run), intact);
    });

    test('control 10: entries that are missing are found: the first, one between, the last', async () => {
      for (const seq of [1, 3, 5]) {
        await using harness = await make();
        const store = await harness.open();
        const { fence } = await lease(store, harness);
        const { run } = await store.createRun(fence, contractPlan, 1, 'l');
        for (const text of ['a', 'b', 'c', 'd']) await store.append(fence, run, [{ type: 'note', text }]);
        await harness.forget(run, seq);
        await assert.rejects(store.journal(run), slugged('journal-corrupt'), `entry ${seq}`);
      }
    });

    test('control 10: a plan that was changed behind its journal is found', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const { run } = await store.createRun(fence, contractPlan, 1, 'l');
      await harness.damagePlan(run, (text) => text.replace('"rowsLost":0', '"rowsLost":1'));
      await assert.rejects(store.journal(run), slugged('journal-corrupt'));
    });

    test('one run does not answer for another', async () => {
      await using harness = await make();
      const store = await harness.open();
      const { fence } = await lease(store, harness);
      const [first, second] = [
        (await store.createRun(fence, contractPlan, 1, 'l')).run,
        (await store.createRun(fence, contractPlan, 1, 'l')).run,
      ];
      await store.append(fence, first, [{ type: 'note', text: 'a' }]);
      await harness.damage(first, 2, (text) => text.replace('"a"', '"b"'));
      await assert.rejects(store.journal(first), slugged('journal-corrupt'));
      assert.equal((await store.journal(second)).length, 1);
    });
  });

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
        () => store.quarantine(fence, { commit: 'b', release: 'r1', reason: 'r', since: 1 }),
      ];
      for (const write of late) await assert.rejects(write(), slugged('fenced-out'));
      assert.equal((await store.journal(run)).length, 1);
      assert.deepEqual(await store.history(), { releases: [], quarantine: [] });
      assert.equal((await other.runs(9)).length, 1);
      await other.append(newer, run, [{ type: 'note', text: 'mine' }]);
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
