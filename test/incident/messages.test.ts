import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldRun } from '../../src/domain/run.ts';
import { releaseUnhealthy, runBlocked, runDone } from '../../src/incident/communication/messages.ts';
import { journalOf, rollbackPlan, rolledBack } from './story.ts';

test('a release that failed its watch: the evidence, the way back with its price, what to type', () => {
  const facts = {
    application: 'vault',
    environment: 'production',
    release: 'r42',
    reason: '3 failed looks in a row: GET /health: 500',
    wayBack: rollbackPlan(),
    automatic: false,
  } as const;
  assert.deepEqual(releaseUnhealthy(facts), {
    audience: 'team',
    title: 'vault production: r42 failed its watch',
    lines: [
      'Seen: 3 failed looks in a row: GET /health: 500',
      'Way back: r41, about 7.0 s, 0 rows lost',
      'r42 still serves until somebody decides. Next: unship rollback --plan 7f3a19',
    ],
  });
  const automatic = releaseUnhealthy({ ...facts, automatic: true });
  assert.match(automatic.lines.at(-1) ?? '', /^By policy it is rolled back now, if no data is lost by it/);
  const uncounted = releaseUnhealthy({ ...facts, wayBack: rollbackPlan({ lossUncertain: true }) });
  assert.match(uncounted.lines[1] ?? '', /the loss could not be counted/);
  assert.deepEqual(releaseUnhealthy({ ...facts, wayBack: null }).lines, [
    'Seen: 3 failed looks in a row: GET /health: 500',
    'r42 still serves until somebody decides. Next: unship plan',
  ]);
});

test('a rollback that is done: each surface, the data, what was not done, and that it is not over', () => {
  const plan = rollbackPlan();
  const facts = { run: 58, plan, state: foldRun(plan, rolledBack), ms: 7_100 };
  assert.deepEqual(runDone(facts, 12), {
    audience: 'team',
    title: 'vault production: rolled back r42 -> r41 in 7.1 s',
    lines: [
      'web: r42 -> r41',
      'vault: 18 -> 17',
      'desktop: 1.1.0 -> 1.0.0',
      'Data: 1,392 rows kept, 212 archived, 0 lost',
      'Not done: tell the team: channel-failed: Slack: ECONNREFUSED',
      'State: monitoring, not resolved',
      'Next: unship incident show 12',
    ],
  });
  const undo = runDone({ ...facts, plan: { ...plan, kind: 'undo' } }, null);
  assert.match(undo.title, /undone: r42 -> r41/);
  assert.equal(undo.lines.at(-1), 'Next: unship show 58');
  assert.ok(!undo.lines.includes('State: monitoring, not resolved'));
});

test('a blocked run: what failed, what is through and what is not, how to go on', () => {
  const plan = rollbackPlan();
  const journal = journalOf(
    { type: 'step', step: 'web.switch', status: 'verified', attempt: 1 },
    { type: 'step', step: 'vault.migrate-down', status: 'applying', attempt: 1 },
    {
      type: 'step',
      step: 'vault.migrate-down',
      status: 'failed',
      attempt: 3,
      error: { slug: 'database-locked', message: 'pid 77 holds it' },
    },
    { type: 'run', status: 'blocked' },
  );
  assert.deepEqual(runBlocked({ run: 58, plan, state: foldRun(plan, journal), ms: 31_000 }), {
    audience: 'team',
    title: 'vault production: the rollback r42 -> r41 is BLOCKED after 31 s',
    lines: [
      'Failed: migrate-down 0018: pid 77 holds it',
      'web: r42 -> r41',
      'vault: 18 -> 17 (not finished)',
      'desktop: 1.1.0 -> 1.0.0 (not finished)',
      'Data: not known yet: vault.migrate-down has not ended',
      'What is done stays done. Next: mend the cause, then unship resume (run 58)',
    ],
  });
});
