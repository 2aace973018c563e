import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUnshipError } from '../../src/domain/errors.ts';
import { noEvidence, readEvidence, type WatchEvidence } from '../../src/domain/health.ts';
import type { Check, CheckResult } from '../../src/guard/check.port.ts';
import { watch, watchPolicy } from '../../src/guard/guard.ts';
import { virtualRuntime } from './virtual-runtime.ts';

type Seen = CheckResult['verdict'];

/** A check that answers by the number of the look, from 1 on. */
function scripted(answer: (look: number) => Seen, name = 'GET /health'): Check & { looks: number } {
  const check = {
    name,
    looks: 0,
    run: async (): Promise<CheckResult> => {
      check.looks += 1;
      const verdict = answer(check.looks);
      const seen = `${name}: ${verdict === 'pass' ? '200' : verdict === 'fail' ? '500' : 'ENOTFOUND'}`;
      return { check: name, verdict, seen, ms: 3 };
    },
  };
  return check;
}

function context(runtime = virtualRuntime(), signal = new AbortController().signal) {
  const progress: string[] = [];
  return { runtime, signal, lines: progress, progress: (text: string) => progress.push(text) };
}

const policy = watchPolicy({});

test('a release whose looks all pass is healthy exactly at the end of its bake time', async () => {
  const at = context();
  const began = at.runtime.clock.now();
  const check = scripted(() => 'pass');
  const result = await watch(at, { checks: [check], policy, startedAt: began });
  assert.equal(result.verdict, 'healthy');
  assert.equal(at.runtime.clock.now() - began, 600_000);
  assert.equal(check.looks, 120);
  assert.equal(result.reason, '120 of 120 looks passed');
  assert.equal(at.lines[1], 'healthy, 5.0 s of 10 min');
});

test('three failed looks in a row are unhealthy, at once, with the evidence', async () => {
  const at = context();
  const began = at.runtime.clock.now();
  const check = scripted((look) => (look > 4 ? 'fail' : 'pass'));
  const kept: WatchEvidence[] = [];
  const result = await watch(at, {
    checks: [check, scripted(() => 'pass', 'other')],
    policy,
    startedAt: began,
    keep: (evidence) => void kept.push(evidence),
  });
  assert.equal(result.verdict, 'unhealthy');
  assert.equal(result.reason, '3 failed looks in a row: GET /health: 500');
  assert.equal(check.looks, 7);
  assert.equal(at.runtime.clock.now() - began, 30_000);
  assert.deepEqual(result.evidence.checks['GET /health'], {
    passed: 4,
    failed: 3,
    unknown: 0,
    slowestMs: 3,
    firstFailureAt: began + 20_000,
    lastSeen: { pass: 'GET /health: 200', fail: 'GET /health: 500' },
  });
  assert.equal(result.evidence.checks.other?.passed, 7);
  assert.deepEqual(kept.at(-1), result.evidence);
  assert.equal(at.lines.at(-1), '2 of 3 failed looks in a row, 25 s of 10 min');
});

test('failures of different checks make one row, and an unknown look neither ends nor lengthens it', async () => {
  const run = (a: readonly Seen[], b: readonly Seen[]) => {
    const at = context();
    const of = (seen: readonly Seen[], name: string) => scripted((look) => seen[look - 1] ?? 'pass', name);
    return watch(at, { checks: [of(a, 'a'), of(b, 'b')], policy, startedAt: at.runtime.clock.now() });
  };
  assert.equal((await run(['fail', 'pass', 'fail'], ['pass', 'fail', 'pass'])).verdict, 'unhealthy');
  assert.equal((await run(['fail', 'fail', 'unknown', 'fail'], [])).verdict, 'unhealthy');
  assert.equal((await run(['fail', 'fail', 'pass', 'fail', 'fail'], [])).verdict, 'healthy');
});

test('what could not be asked is never healthy', async () => {
  const at = context();
  const began = at.runtime.clock.now();
  const silent = scripted(() => 'unknown');
  const alone = await watch(at, { checks: [silent], policy, startedAt: began });
  assert.equal(alone.verdict, 'inconclusive');
  assert.equal(alone.reason, 'no check could be asked: GET /health: ENOTFOUND');
  const beside = context();
  const startedAt = beside.runtime.clock.now();
  const mixed = await watch(beside, { checks: [silent, scripted(() => 'pass', 'ok')], policy, startedAt });
  assert.equal(mixed.verdict, 'inconclusive');
  const thrower: Check = { name: 'bad', run: () => Promise.reject(new Error('defect')) };
  const thrown = await watch(context(), { checks: [thrower], policy, startedAt: began });
  assert.equal(thrown.verdict, 'inconclusive');
  assert.match(thrown.reason, /defect/);
  assert.equal((await watch(context(), { checks: [], policy, startedAt: began })).verdict, 'inconclusive');
});

test('too few answers, and failures that flap, are inconclusive', async () => {
  const verdictOf = async (answer: (look: number) => Seen) => {
    const at = context();
    return watch(at, { checks: [scripted(answer)], policy, startedAt: at.runtime.clock.now() });
  };
  const few = await verdictOf((look) => (look <= 59 ? 'pass' : 'unknown'));
  assert.equal(few.verdict, 'inconclusive');
  assert.match(few.reason, /^too few looks had an answer: 59, 60 are needed/);
  assert.equal((await verdictOf((look) => (look <= 60 ? 'pass' : 'unknown'))).verdict, 'healthy');
  const flapping = await verdictOf((look) => (look % 3 === 0 ? 'pass' : 'fail'));
  assert.equal(flapping.verdict, 'inconclusive');
  assert.match(flapping.reason, /^80 of 120 looks failed, never 3 in a row/);
  assert.equal((await verdictOf((look) => (look % 9 === 0 ? 'fail' : 'pass'))).verdict, 'inconclusive');
  assert.equal((await verdictOf((look) => (look % 20 === 1 ? 'fail' : 'pass'))).verdict, 'healthy');
});

test('a row of failures that begins just before the end is seen through', async () => {
  const at = context();
  const began = at.runtime.clock.now();
  const late = await watch(at, {
    checks: [scripted((look) => (look >= 120 ? 'fail' : 'pass'))],
    policy,
    startedAt: began,
  });
  assert.equal(late.verdict, 'unhealthy');
  const mute = context();
  const muted = await watch(mute, {
    checks: [scripted((look) => (look < 120 ? 'pass' : look === 120 ? 'fail' : 'unknown'))],
    policy,
    startedAt: mute.runtime.clock.now(),
  });
  assert.equal(muted.verdict, 'inconclusive');
  assert.ok(mute.runtime.clock.monotonic() <= 600_000 + 30_000);
});

test('a resumed watch keeps its end and what was seen before', async () => {
  const runtime = virtualRuntime();
  const startedAt = runtime.clock.now();
  const abort = new AbortController();
  let kept: WatchEvidence = noEvidence;
  const first = scripted((look) => {
    if (look === 80) abort.abort(new Error('pause'));
    return 'pass';
  });
  const keep = (evidence: WatchEvidence): void => {
    kept = evidence;
  };
  await assert.rejects(
    watch(context(runtime, abort.signal), { checks: [first], policy, startedAt, keep }),
    /pause/,
  );
  assert.equal(kept.passed, 79);
  runtime.pass(60_000);
  const earlier = readEvidence(JSON.parse(JSON.stringify(kept)));
  assert.deepEqual(earlier, kept);
  const second = scripted(() => 'pass');
  const result = await watch(context(runtime), { checks: [second], policy, startedAt, earlier: kept });
  assert.equal(result.verdict, 'healthy');
  assert.equal(runtime.clock.now() - startedAt, 600_000);
  assert.equal(result.evidence.passed, 79 + second.looks);

  const half = virtualRuntime(startedAt + 200_000);
  const forgetful = scripted(() => 'pass');
  const blind = await watch(context(half), { checks: [forgetful], policy, startedAt });
  assert.deepEqual([blind.verdict, half.clock.now() - startedAt, forgetful.looks], ['healthy', 600_000, 80]);
});

test('a watch that nobody sat through is made up for, not believed', async () => {
  const startedAt = 1_700_000_000_000;
  const afterwards = virtualRuntime(startedAt + 86_400_000);
  const good = scripted(() => 'pass');
  const made = await watch(context(afterwards), { checks: [good], policy, startedAt });
  assert.deepEqual([made.verdict, good.looks], ['healthy', 60]);
  const mute = virtualRuntime(startedAt + 86_400_000);
  const unheard = scripted(() => 'unknown');
  const judged = await watch(context(mute), { checks: [unheard], policy, startedAt });
  assert.deepEqual([judged.verdict, unheard.looks], ['inconclusive', 60]);
  const late = scripted(() => 'fail');
  const verdict = await watch(context(virtualRuntime(startedAt + 86_400_000)), {
    checks: [late],
    policy,
    startedAt,
  });
  assert.equal(verdict.verdict, 'unhealthy');
  assert.equal(late.looks, 3);
});

test('a row of failures goes on over the interruption', async () => {
  const at = context();
  const startedAt = at.runtime.clock.now();
  const earlier: WatchEvidence = { ...noEvidence, failed: 2, streak: 2 };
  const check = scripted(() => 'fail');
  const result = await watch(at, { checks: [check], policy, startedAt, earlier });
  assert.equal(result.verdict, 'unhealthy');
  assert.equal(check.looks, 1);
});

test('steps of the wall clock neither cut the watch short nor stretch it', async () => {
  for (const step of [864_000_000, -864_000_000]) {
    const runtime = virtualRuntime();
    const check = scripted((look) => {
      if (look === 3) runtime.stepWallClock(step);
      return 'pass';
    });
    const result = await watch(context(runtime), { checks: [check], policy, startedAt: runtime.clock.now() });
    assert.equal(result.verdict, 'healthy');
    assert.equal(runtime.clock.monotonic(), 600_000);
  }
});

test('slow checks cost looks, not the schedule', async () => {
  const runtime = virtualRuntime();
  const slow: Check = {
    name: 'slow',
    run: async () => {
      runtime.pass(7_000);
      return { check: 'slow', verdict: 'pass', seen: 'ok', ms: 7_000 };
    },
  };
  const result = await watch(context(runtime), { checks: [slow], policy, startedAt: runtime.clock.now() });
  assert.equal(result.verdict, 'healthy');
  assert.equal(result.evidence.checks.slow?.slowestMs, 7_000);
  assert.ok(runtime.clock.monotonic() < 610_000);
});

test('checks slower than the interval get the looks they need', async () => {
  const runtime = virtualRuntime();
  const slow: Check = {
    name: 'slow',
    run: async () => {
      runtime.pass(12_000);
      return { check: 'slow', verdict: 'pass', seen: 'ok', ms: 12_000 };
    },
  };
  const result = await watch(context(runtime), { checks: [slow], policy, startedAt: runtime.clock.now() });
  assert.deepEqual([result.verdict, result.evidence.passed], ['healthy', 60]);
});

test('a short bake time is satisfied by the looks that fit into it', async () => {
  const at = context();
  const single = context();
  const one = scripted(() => 'pass');
  const once = { policy: watchPolicy({ bake: '2s' }), startedAt: single.runtime.clock.now(), checks: [one] };
  assert.equal((await watch(single, once)).verdict, 'healthy');
  assert.deepEqual([one.looks, single.runtime.clock.monotonic()], [1, 2_000]);
  const short = watchPolicy({ bake: '2s', every: '1s' });
  const request = { policy: short, startedAt: at.runtime.clock.now() };
  assert.equal((await watch(at, { ...request, checks: [scripted(() => 'pass')] })).verdict, 'healthy');
  const bad = context();
  const failing = { ...request, startedAt: bad.runtime.clock.now(), checks: [scripted(() => 'fail')] };
  assert.equal((await watch(bad, failing)).verdict, 'unhealthy');
});

test('a policy that makes no sense is refused with its place in the configuration', () => {
  const refused = (guard: Parameters<typeof watchPolicy>[0]) =>
    assert.throws(
      () => watchPolicy(guard),
      (error) => isUnshipError(error) && error.slug === 'config-invalid',
    );
  refused({ bake: '0s' });
  refused({ every: '-1s' });
  refused({ failures: 0 });
  refused({ failures: 1.5 });
});

test('evidence that is none is not taken for evidence', () => {
  const bad = [null, undefined, 'x', [], {}, { passed: -1, failed: 0, unknown: 0, streak: 0, checks: {} }];
  for (const value of bad) assert.equal(readEvidence(value), undefined);
});
