import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WebFacts } from '../../src/domain/facts.ts';
import { isRefusal } from '../../src/domain/plan.ts';
import { planServing } from '../../src/domain/planner/serving.ts';
import { good, seen, vaultRelease, web } from '../support/vault-situation.ts';

const live = vaultRelease(2, { deployment: 'live' });

function serving(changes: Partial<WebFacts>): Exclude<ReturnType<typeof planServing>, { refused: true }> {
  const answer = planServing(live, seen({ web: web(changes) }));
  assert.ok(!isRefusal(answer));
  return answer;
}

const measured = (startMs: number, buildMs: number): WebFacts['measurements'] => ({
  startMs,
  buildMs,
  freeDiskBytes: 1e9,
});

test('what is warm is checked and served', () => {
  const { steps, changes } = serving({ releases: { r2: { readiness: 'warm' } } });
  assert.deepEqual(steps.map(({ id, after, estimateMs }) => [id, after, estimateMs]).slice(0, 1), [
    ['web.start', [], 20],
  ]);
  assert.deepEqual(steps[1]?.after, ['web.start']);
  assert.equal(changes[0]?.what, 'runs already: check it, serve it');
  assert.equal(changes[0]?.now, 'r2');
});

test('what is on the disk is started, as fast as it was measured', () => {
  const { changes } = serving({ releases: { r2: { readiness: 'on-disk' } } });
  assert.equal(changes[0]?.what, 'start, serve');
  assert.equal(changes[0]?.estimateMs, 400);
  assert.equal(changes[0]?.now, 'not running');
  const unmeasured = serving({ releases: { r2: { readiness: 'on-disk' } }, measurements: measured(0, 0) });
  assert.equal(unmeasured.changes[0]?.estimateMs, 500);
});

test('what was never built here is checked out and built first', () => {
  const { steps, changes } = serving({ releases: { r2: { readiness: 'rebuildable' } } });
  assert.deepEqual(
    steps.map(({ id, after }) => [id, after]),
    [
      ['web.stage', []],
      ['web.start', ['web.stage']],
      ['web.switch', ['web.start']],
    ],
  );
  assert.deepEqual(steps[0]?.input, { release: 'r2', commit: good, artifact: { folder: 'r2' } });
  assert.equal(changes[0]?.what, 'check out, build, start, serve');
  assert.equal(changes[0]?.estimateMs, 20_400);
  const unmeasured = serving({
    releases: { r2: { readiness: 'rebuildable' } },
    measurements: measured(0, 0),
  });
  assert.equal(unmeasured.changes[0]?.estimateMs, 10_500);
  assert.equal(unmeasured.steps[0]?.estimateMs, 10_000);
});

test('what is gone is refused with its reason, and so is an environment where nothing is live', () => {
  const answerOf = (reason?: string): ReturnType<typeof planServing> =>
    planServing(
      live,
      seen({
        web: web({ releases: { r2: { readiness: 'gone', ...(reason === undefined ? {} : { reason }) } } }),
      }),
    );
  for (const [answer, missing] of [
    [answerOf('the commit is gone'), "web: r2 can't be brought up: the commit is gone"],
    [answerOf(), "web: r2 can't be brought up: its build is gone"],
  ] as const) {
    assert.ok(isRefusal(answer));
    assert.equal(answer.slug, 'target-gone');
    assert.deepEqual(answer.missing, [missing]);
  }
  const nothing = planServing(undefined, seen());
  assert.ok(isRefusal(nothing));
  assert.equal(nothing.slug, 'not-live');
});
