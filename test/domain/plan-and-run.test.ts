import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { messageOf } from '../../src/domain/errors.ts';
import { addLook, judge, judgeSoFar, noEvidence, readEvidence } from '../../src/domain/health.ts';
import { tokenize } from '../../src/domain/migrations/sql-statements.ts';
import { ancestorsOf, shortHash } from '../../src/domain/plan.ts';
import { refuse } from '../../src/domain/planner/builder.ts';
import { refusalError } from '../../src/domain/refusal-error.ts';
import {
  foldRun,
  isGoingBack,
  isPastNoReturn,
  isSettled,
  type RunState,
  readySteps,
  type StepState,
  type StepStatus,
  wasTried,
} from '../../src/domain/run.ts';
import type { Clock } from '../../src/domain/runtime.ts';
import { timeLimit } from '../../src/domain/time-limit.ts';
import { watchPolicy } from '../../src/guard/guard.ts';
import { planOf } from '../engine/toy.ts';

const plan = planOf('rollback', [
  { surface: 'web', action: 'web.start', estimateMs: 400 },
  { surface: 'web', action: 'web.switch', after: ['web.start'], estimateMs: 30 },
  { surface: 'desktop', action: 'desktop.halt', importance: 'best-effort', estimateMs: 9000 },
]);

describe('a plan', () => {
  test('whose steps wait for each other, or for one that it lacks, is none', () => {
    const start = { surface: 'web', action: 'web.start', after: ['web.switch'] } as const;
    const back = { surface: 'web', action: 'web.switch', after: ['web.start'] } as const;
    assert.throws(() => planOf('rollback', [start, back]), /circle through web\.start/);
    assert.throws(() => planOf('rollback', [start]), /unknown step web\.switch/);
  });

  test('takes as long as its longest chain of required steps', () => {
    assert.equal(plan.estimateMs, 430);
    assert.equal(planOf('rollback', []).estimateMs, 0);
  });

  test('has the hash of what it does, whatever it is called and however long it takes', () => {
    const hash = (changes: Parameters<typeof planOf>[1][number]): string =>
      planOf('rollback', [changes]).hash;
    const start = { surface: 'web', action: 'web.start', input: { release: 'r2' } } as const;
    assert.equal(hash({ ...start, title: 'begin', estimateMs: 7 }), hash(start));
    assert.notEqual(hash({ ...start, input: { release: 'r1' } }), hash(start));
    assert.notEqual(hash({ ...start, pointOfNoReturn: true }), hash(start));
  });

  test('is called by the first six digits of its hash', () => {
    assert.equal(shortHash(plan.hash).length, 6);
    assert.ok(plan.hash.startsWith(shortHash(plan.hash)));
  });

  test('has nothing before a step that it does not have', () => {
    assert.deepEqual([...ancestorsOf(plan.steps, 'web.switch')], ['web.start']);
    assert.deepEqual([...ancestorsOf(plan.steps, 'web.hold')], []);
  });
});

describe('the state of a run', () => {
  test('is not changed by an entry about a step that its plan does not have', () => {
    const stray = { type: 'step', step: 'web.hold', status: 'verified', attempt: 1 } as const;
    assert.deepEqual(foldRun(plan, [{ ...stray, seq: 1, at: 1 }]), foldRun(plan, []));
  });

  test('that says nothing of a step has it still to do', () => {
    const ready = readySteps(plan, { status: 'running', steps: {} });
    assert.deepEqual(ready.map(({ id }) => id).sort(), ['desktop.halt', 'web.start']);
  });
});

describe('what a journal makes of a step', () => {
  const entry = (seq: number, changes: object) =>
    ({
      type: 'step',
      step: 'web.start',
      status: 'applied',
      attempt: 1,
      seq,
      at: seq * 10,
      ...changes,
    }) as const;

  test('keeps the newest output and what was seen, whatever says nothing of them afterwards', () => {
    const said = [
      entry(1, { status: 'applying' }),
      entry(2, { output: { port: 1 }, observed: 'port 1' }),
      entry(3, { output: { port: 2 } }),
      entry(4, { observed: 'port 2' }),
      entry(5, { status: 'failed', error: { slug: 'internal', message: 'gone' } }),
    ];
    const states = said.map((_, index) => foldRun(plan, said.slice(0, index + 1)).steps['web.start']);
    const common = { attempt: 1, startedAt: 10 };
    const applied = { ...common, status: 'applied' };
    assert.deepEqual(states, [
      { ...common, status: 'applying', endedAt: 10 },
      { ...applied, endedAt: 20, output: { port: 1 }, observed: 'port 1' },
      { ...applied, endedAt: 30, output: { port: 2 }, observed: 'port 1' },
      { ...applied, endedAt: 40, output: { port: 2 }, observed: 'port 2' },
      {
        ...common,
        status: 'failed',
        endedAt: 50,
        output: { port: 2 },
        observed: 'port 2',
        error: { slug: 'internal', message: 'gone' },
      },
    ]);
    assert.equal(foldRun(plan, []).status, 'planned');
  });

  const pending: StepState = { status: 'pending', attempt: 0 };
  const withStart = (start: StepState, status: RunState['status'] = 'running'): RunState => ({
    status,
    steps: { ...foldRun(plan, []).steps, 'web.start': start },
  });

  test('it was tried once it was begun, also where it waits to be tried again', () => {
    const tries = [
      undefined,
      pending,
      { ...pending, attempt: 1 },
      { ...pending, attempt: 1, status: 'applying' } as const,
      // It could not be put down as begun.
      { ...pending, status: 'failed' } as const,
    ];
    assert.deepEqual(tries.map(wasTried), [false, false, true, true, false]);
  });

  test('a run goes back as soon as one step does, or it says so itself', () => {
    const goesBack = (status: StepStatus): boolean => isGoingBack(withStart({ status, attempt: 1 }));
    assert.deepEqual((['undoing', 'undone', 'undo-failed'] as const).map(goesBack), [true, true, true]);
    assert.deepEqual((['pending', 'applied', 'verified', 'failed'] as const).filter(goesBack), []);
    assert.equal(isGoingBack(withStart(pending, 'undoing')), true);
  });

  test('the point of no return is passed when its step was begun, unless it was undone', () => {
    const final = planOf('rollback', [
      { surface: 'web', action: 'web.start' },
      { surface: 'desktop', action: 'desktop.publish-standby', pointOfNoReturn: true },
    ]);
    const passed = (id: string, state: StepState): boolean =>
      isPastNoReturn(final, { status: 'running', steps: { [id]: state } });
    assert.equal(passed('web.start', { status: 'verified', attempt: 1 }), false);
    const id = 'desktop.publish-standby';
    assert.equal(passed(id, pending), false);
    assert.equal(passed(id, { status: 'applying', attempt: 1 }), true);
    assert.equal(passed(id, { status: 'undone', attempt: 1 }), false);
  });

  test('only something best-effort is settled by a failure', () => {
    const [start, , halt] = ['web.start', 'web.switch', 'desktop.halt'].map((id) =>
      plan.steps.find((step) => step.id === id),
    );
    assert.ok(start && halt);
    const failed = { status: 'failed', attempt: 3 } as const;
    assert.deepEqual([isSettled(start, failed), isSettled(halt, failed)], [false, true]);
    assert.deepEqual(
      [
        isSettled(halt, { ...failed, status: 'applied' }),
        isSettled(start, { ...failed, status: 'verified' }),
      ],
      [false, true],
    );
  });
});

describe('a time limit', () => {
  const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: async () => {} };

  test('aborts when its time is up, and says so', async () => {
    using limit = timeLimit(clock, 5);
    await setImmediate();
    assert.equal(limit.signal.aborted, true);
    assert.match(String(limit.signal.reason), /TimeoutError: not within 5 ms/);
  });

  test('that was disposed of never aborts', async () => {
    const limit = timeLimit(clock, 5);
    limit[Symbol.dispose]();
    await setImmediate();
    assert.equal(limit.signal.aborted, false);
  });
});

describe('what is said', () => {
  test('a refusal becomes an error with all that is missing, and that nothing was done', () => {
    const error = refusalError(
      refuse('target-gone', 'there is no way', ['web: gone', 'vault: gone'], 'wait'),
    );
    assert.equal(error.slug, 'target-gone');
    assert.deepEqual(
      { ...error.details },
      { happened: 'there is no way\nweb: gone\nvault: gone', done: 'nothing', next: 'wait' },
    );
  });

  test('of something thrown that is no error is its text', () => {
    assert.deepEqual([messageOf('no answer'), messageOf(new Error('reset'))], ['no answer', 'reset']);
  });

  test('a dollar string that nobody ends is not one: what follows is read', () => {
    assert.deepEqual(
      tokenize('$$ DROP').map(({ text }) => text),
      ['$', '$', 'DROP'],
    );
  });
});

describe('a watch', () => {
  const policy = watchPolicy({});

  test('that looked at nothing has seen nothing', () => {
    const evidence = addLook(noEvidence, [], 1);
    assert.deepEqual(evidence, { ...noEvidence, unknown: 1 });
    const { verdict, reason } = judge(evidence, policy);
    assert.deepEqual([verdict, reason], ['inconclusive', 'no check could be asked']);
  });

  test('with too few looks is inconclusive, however good they were', () => {
    const { verdict, reason } = judge({ ...noEvidence, passed: 59 }, policy);
    assert.deepEqual([verdict, reason], ['inconclusive', 'too few looks had an answer: 59, 60 are needed']);
    assert.equal(judge({ ...noEvidence, passed: 60 }, policy).verdict, 'healthy');
  });

  test('that ends with a row of failures is unhealthy, as it was before its end', () => {
    const failed = { check: 'health', verdict: 'fail', seen: 'GET /health: 500', ms: 3 } as const;
    let evidence = { ...noEvidence, passed: 100 };
    for (let look = 1; look < policy.failures; look += 1) evidence = addLook(evidence, [failed], look);
    assert.equal(judgeSoFar(evidence, policy), undefined);
    assert.equal(judge(evidence, policy).verdict, 'inconclusive');
    evidence = addLook(evidence, [failed], policy.failures);
    const reason = `${policy.failures} failed looks in a row: GET /health: 500`;
    assert.deepEqual(judge(evidence, policy), { verdict: 'unhealthy', reason });
    assert.deepEqual(judgeSoFar(evidence, policy), { verdict: 'unhealthy', reason });
  });

  test('is not read back from evidence without its checks', () => {
    assert.equal(readEvidence({ passed: 1, failed: 0, unknown: 0, streak: 0 }), undefined);
    assert.deepEqual(readEvidence({ ...noEvidence, checks: {} }), noEvidence);
  });
});
