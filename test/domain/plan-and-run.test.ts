import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { messageOf } from '../../src/domain/errors.ts';
import { addLook, judge, judgeSoFar, noEvidence, readEvidence } from '../../src/domain/health.ts';
import { tokenize } from '../../src/domain/migrations/sql-statements.ts';
import { ancestorsOf, shortHash } from '../../src/domain/plan.ts';
import { refuse } from '../../src/domain/planner/builder.ts';
import { refusalError } from '../../src/domain/refusal-error.ts';
import { foldRun, readySteps } from '../../src/domain/run.ts';
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
