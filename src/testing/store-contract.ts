import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NewJournalEntry } from '../domain/run.ts';
import { ben, contractPlan, contractRelease, lease, type StoreHarness, slugged } from './store-harness.ts';
import { historyContract } from './store-history-contract.ts';
import { leaseContract } from './store-lease-contract.ts';

/** What every store must do. `make` gives an empty one. */
export function storeContract(name: string, make: () => Promise<StoreHarness>): void {
  historyContract(name, make);

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

  leaseContract(name, make);
}
