import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step } from '../../src/domain/plan.ts';
import { Journal } from '../../src/engine/journal.ts';
import { runStep, undoStep } from '../../src/engine/step-runner.ts';
import type { ActionHandler, WorkContext } from '../../src/surfaces/surface.port.ts';
import { planOf, World } from './toy.ts';

const plan = planOf('rollback', [{ surface: 'web', action: 'web.start' }]);

async function given(world: World): Promise<{
  readonly step: Step;
  readonly journal: Journal;
  readonly pause: AbortController;
  readonly context: WorkContext;
  statuses(): Promise<readonly string[]>;
}> {
  const process = world.process();
  const { fence } = await process.session();
  const { run, entries } = await process.engine.begin(process.store, fence, plan, null);
  const journal = new Journal(process.store, fence, run, plan, entries, () => {});
  const pause = new AbortController();
  const [step] = plan.steps;
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
  const outcome = await runStep(step, handler(calls), { status: 'pending', attempt: 0 }, context, journal);
  assert.deepEqual([outcome, calls, await statuses()], [{ outcome: 'interrupted' }, [], []]);
});

test('a step that a pause meets while it is written down is not begun', async () => {
  using world = new World();
  const { step, journal, context, pause, statuses } = await given(world);
  const calls: unknown[] = [];
  const running = runStep(step, handler(calls), { status: 'pending', attempt: 0 }, context, journal);
  pause.abort();
  assert.deepEqual([await running, calls, await statuses()], [{ outcome: 'interrupted' }, [], ['applying']]);
});

test('a step that has nothing to undo needs no undoing', async () => {
  using world = new World();
  const { step, journal, context, statuses } = await given(world);
  const outcome = await undoStep(step, handler([]), { status: 'verified', attempt: 1 }, context, journal);
  assert.deepEqual([outcome, await statuses()], [{ outcome: 'verified' }, []]);
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
      throw new Error('the host answers 503');
    };
    const before = { status: 'verified', attempt: 1 } as const;
    const outcome = await undoStep(step, handler([], undo), before, context, journal);
    assert.deepEqual([outcome, attempts, await statuses()], [{ outcome: 'interrupted' }, 1, ['undoing']]);
  }
});
