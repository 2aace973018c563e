import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UnshipError } from '../../src/domain/errors.ts';
import type { Step } from '../../src/domain/plan.ts';
import { Journal } from '../../src/engine/journal.ts';
import { isFinal, runStep, undoStep } from '../../src/engine/step-runner.ts';
import type { ActionHandler, WorkContext } from '../../src/surfaces/surface.port.ts';
import { planOf, World } from './toy.ts';

const plan = planOf('rollback', [{ surface: 'web', action: 'web.start', input: { release: 'r2' } }]);
const broken = new Error('the host answers 503');
const noFence = async (): Promise<number> => {
  throw new Error('nothing was given up');
};
const pending = { status: 'pending', attempt: 0 } as const;

async function given(
  world: World,
  of = plan,
): Promise<{
  readonly step: Step;
  readonly journal: Journal;
  readonly pause: AbortController;
  readonly context: WorkContext;
  statuses(): Promise<readonly string[]>;
  /** What the journal says after that the run was begun. */
  said(): Promise<readonly object[]>;
}> {
  const process = world.process();
  const { fence } = await process.session();
  const { run, entries } = await process.engine.begin(process.store, fence, of, null);
  const journal = new Journal(process.store, { fence }, run, of, entries, () => {});
  const pause = new AbortController();
  const [step] = of.steps;
  assert.ok(step);
  return {
    step,
    journal,
    pause,
    context: {
      runtime: process.self.runtime,
      signal: pause.signal,
      idempotencyKey: 'key',
      fence,
      maximumRowsLost: 0,
      progress: () => {},
    },
    statuses: async () =>
      (await process.store.journal(run)).flatMap((entry) => (entry.type === 'step' ? [entry.status] : [])),
    said: async () =>
      (await process.store.journal(run)).slice(entries.length).map(({ seq: _seq, at: _at, ...said }) => said),
  };
}

/** Writes down which of its parts were called. */
function handler(calls: unknown[], undo?: () => Promise<void>): ActionHandler {
  return {
    validate: async () => void calls.push('validate'),
    apply: async () => {
      calls.push('apply');
      return null;
    },
    verify: async (_context, _input, output) => {
      calls.push(['verify', output]);
      return { observed: 'as wanted' };
    },
    ...(undo === undefined ? {} : { undo }),
  };
}

test('a step that was applied, and answered nothing, is only looked at', async () => {
  using world = new World();
  const { step, journal, context } = await given(world);
  const calls: unknown[] = [];
  const outcome = await runStep(step, handler(calls), { status: 'applied', attempt: 1 }, context, journal);
  assert.deepEqual([outcome, calls], [{ outcome: 'verified' }, [['verify', null]]]);
});

test('a step that a pause comes before leaves no trace', async () => {
  using world = new World();
  const { step, journal, context, pause, statuses } = await given(world);
  pause.abort();
  const calls: unknown[] = [];
  const outcome = await runStep(step, handler(calls), pending, context, journal);
  assert.deepEqual([outcome, calls, await statuses()], [{ outcome: 'interrupted' }, [], []]);
});

test('a step that a pause meets while it is written down is not begun', async () => {
  using world = new World();
  const { step, journal, context, pause, statuses } = await given(world);
  const calls: unknown[] = [];
  const running = runStep(step, handler(calls), pending, context, journal);
  pause.abort();
  assert.deepEqual([await running, calls, await statuses()], [{ outcome: 'interrupted' }, [], ['applying']]);
});

test('a step that has nothing to undo needs no undoing', async () => {
  using world = new World();
  const { step, journal, context, statuses } = await given(world);
  const outcome = await undoStep(
    step,
    handler([]),
    { status: 'verified', attempt: 1 },
    context,
    journal,
    noFence,
  );
  assert.deepEqual([outcome, await statuses()], [{ outcome: 'verified' }, []]);
});

test('a step that a pause meets, in the effect or between two attempts, concludes nothing', async () => {
  for (const delay of [0, 100]) {
    using world = new World();
    const { step, journal, context, pause, statuses } = await given(world);
    let attempts = 0;
    const apply = async (): Promise<never> => {
      attempts += 1;
      if (delay === 0) pause.abort();
      else void world.time.sleep(delay).then(() => pause.abort());
      throw broken;
    };
    const outcome = await runStep(step, { ...handler([]), apply }, pending, context, journal);
    assert.deepEqual([outcome, attempts, await statuses()], [{ outcome: 'interrupted' }, 1, ['applying']]);
  }
});

test('undoing that a pause meets, in the effect or between two attempts, concludes nothing', async () => {
  for (const delay of [0, 100]) {
    using world = new World();
    const { step, journal, context, pause, statuses } = await given(world);
    let attempts = 0;
    const undo = async (): Promise<void> => {
      attempts += 1;
      if (delay === 0) pause.abort();
      else void world.time.sleep(delay).then(() => pause.abort());
      throw broken;
    };
    const before = { status: 'verified', attempt: 1 } as const;
    const outcome = await undoStep(step, handler([], undo), before, context, journal, noFence);
    assert.deepEqual([outcome, attempts, await statuses()], [{ outcome: 'interrupted' }, 1, ['undoing']]);
  }
});

test('what is wrong usage or refused stays so; anything else that is thrown is worth another try', () => {
  const of = (slug: string): boolean => isFinal(new UnshipError(slug, { happened: 'no' }));
  assert.deepEqual(['unknown-run', 'target-gone', 'step-timeout', 'busy', 'no-such-slug'].map(of), [
    true,
    true,
    false,
    false,
    false,
  ]);
  assert.deepEqual([broken, null, undefined, 'no'].map(isFinal), [false, false, false, false]);
});

describe('the journal of a step', () => {
  const step = { type: 'step', step: 'web.start' } as const;

  test('tells each attempt that failed, and at last what it failed of', async () => {
    using world = new World();
    const { step: item, journal, context, said } = await given(world);
    let calls = 0;
    const apply = async (): Promise<never> => {
      calls += 1;
      throw calls < 4 ? broken : new UnshipError('step-timeout', { happened: 'it hangs' });
    };
    const started = world.time.now();
    const outcome = await runStep(item, { ...handler([]), apply }, pending, context, journal);
    assert.equal(outcome.outcome, 'failed');
    assert.equal(world.time.now() - started, 300 + 1500 + 4000);
    const failed = (attempt: number): readonly object[] => [
      { ...step, status: 'applying', attempt },
      { type: 'note', step: 'web.start', text: broken.message, attempt },
    ];
    assert.deepEqual(await said(), [
      ...[1, 2, 3].flatMap(failed),
      { ...step, status: 'applying', attempt: 4 },
      { ...step, status: 'failed', attempt: 4, error: { slug: 'step-timeout', message: 'it hangs' } },
    ]);
  });

  test('of a release tells one attempt: it is undone instead', async () => {
    using world = new World();
    const release = planOf('release', [{ surface: 'web', action: 'web.start' }]);
    const { step: item, journal, context, said } = await given(world, release);
    const validate = async (): Promise<never> => {
      throw broken;
    };
    const outcome = await runStep(item, { ...handler([]), validate }, pending, context, journal);
    assert.deepEqual(outcome, { outcome: 'failed', error: broken });
    assert.deepEqual(await said(), [
      { ...step, status: 'applying', attempt: 1 },
      { ...step, status: 'failed', attempt: 1, error: { slug: 'internal', message: broken.message } },
    ]);
  });

  test('tells that it was undone, with what it had been given and had answered', async () => {
    using world = new World();
    const { step: item, journal, context, said } = await given(world);
    const seen: unknown[] = [];
    const undo: ActionHandler['undo'] = async (_context, input, output) => void seen.push(input, output);
    const before = { status: 'verified', attempt: 2, output: { port: 1 } } as const;
    const outcome = await undoStep(item, { ...handler([]), undo }, before, context, journal, noFence);
    assert.deepEqual([outcome, seen], [{ outcome: 'verified' }, [{ release: 'r2' }, { port: 1 }]]);
    assert.deepEqual(await said(), [
      { ...step, status: 'undoing', attempt: 2 },
      { ...step, status: 'undone', attempt: 2 },
    ]);
  });

  test('tells that it could not be undone, unless a pause met the last attempt', async () => {
    for (const pausedAt of [undefined, 4]) {
      using world = new World();
      const { step: item, journal, context, pause, said } = await given(world);
      let calls = 0;
      const undo = async (): Promise<never> => {
        calls += 1;
        if (calls === pausedAt) pause.abort();
        throw broken;
      };
      const before = { status: 'verified', attempt: 1 } as const;
      const outcome = await undoStep(item, handler([], undo), before, context, journal, noFence);
      const undoing = Array(4).fill({ ...step, status: 'undoing', attempt: 1 });
      const error = { slug: 'internal', message: broken.message };
      const failed = { ...step, status: 'undo-failed', attempt: 1, error };
      assert.deepEqual(
        [outcome, await said()],
        pausedAt === undefined
          ? [{ outcome: 'failed', error: broken }, [...undoing, failed]]
          : [{ outcome: 'interrupted' }, undoing],
      );
    }
  });
});

describe('a step whose time is up', () => {
  test('is told, and not tried again before it has ended', async () => {
    using world = new World();
    const { step, journal, context } = await given(world);
    const order: string[] = [];
    const apply: ActionHandler['apply'] = async ({ signal, runtime }) => {
      order.push('begins');
      if (order.length > 1) return null;
      while (!signal.aborted) await runtime.clock.sleep(1_000, signal);
      order.push(`told after ${world.time.now() - started} ms`);
      await runtime.clock.sleep(2_000);
      order.push('ends');
      throw broken;
    };
    const started = world.time.now();
    const outcome = await runStep(step, { ...handler([]), apply }, pending, context, journal);
    assert.equal(outcome.outcome, 'verified');
    assert.deepEqual(order, ['begins', `told after ${step.timeoutMs} ms`, 'ends', 'begins']);
  });

  test('has five seconds to end, and is given up then', async () => {
    using world = new World();
    const { step, journal, context, said } = await given(world);
    const undo = async (): Promise<void> => await new Promise(() => {});
    const before = { status: 'verified', attempt: 1 } as const;
    const started = world.time.now();
    const outcome = await undoStep(step, handler([], undo), before, context, journal, async () => 7);
    assert.equal(outcome.outcome, 'failed');
    assert.equal(world.time.now() - started, 4 * (step.timeoutMs + 5_000) + 300 + 1500 + 4000);
    const [last] = (await said()).slice(-1);
    const message = 'web.start did not end within 120 s';
    assert.partialDeepStrictEqual(last, { status: 'undo-failed', error: { slug: 'step-timeout', message } });
  });
});

test('a step that has ended leaves nobody asleep', async () => {
  using world = new World();
  const { step, journal, context } = await given(world);
  let asleep = 0;
  const { clock } = context.runtime;
  const sleep: typeof clock.sleep = async (ms, signal) => {
    asleep += 1;
    await clock.sleep(ms, signal);
    asleep -= 1;
  };
  const runtime = { ...context.runtime, clock: { ...clock, sleep } };
  await runStep(step, handler([]), pending, { ...context, runtime }, journal);
  await Promise.resolve();
  assert.equal(asleep, 0);
});

test('an undo that was given up is tried again under a fence that the one given up has not', async () => {
  using world = new World();
  const { step, journal, context } = await given(world);
  const fences: number[] = [];
  const undo: ActionHandler['undo'] = async ({ fence }) => {
    fences.push(fence);
    if (fences.length === 1) await new Promise(() => {});
    if (fences.length === 2) throw broken;
  };
  let told = 0;
  const fenceOff = async (): Promise<number> => {
    told += 1;
    if (told === 1) throw broken;
    return 70 + told;
  };
  const before = { status: 'verified', attempt: 1 } as const;
  const outcome = await undoStep(step, { ...handler([]), undo }, before, context, journal, fenceOff);
  assert.equal(outcome.outcome, 'verified');
  // What was given up stays in doubt until the surfaces know; what failed with an answer does not.
  assert.deepEqual([fences, told], [[context.fence, 72, 72], 2]);
});
