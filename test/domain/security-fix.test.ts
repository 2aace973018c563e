import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { errorCatalogue } from '../../src/domain/error-catalogue.ts';
import { UnshipError } from '../../src/domain/errors.ts';
import type { Facts } from '../../src/domain/facts.ts';
import { isRefusal, type Plan, type Refusal } from '../../src/domain/plan.ts';
import { planRelease } from '../../src/domain/planner/release.ts';
import { planRollback, planUndo } from '../../src/domain/planner/rollback.ts';
import { type History, type Release, type ReleaseId, releaseNumber } from '../../src/domain/release.ts';
import { assertRegressionAccepted } from '../../src/domain/security-fix.ts';
import { releaseCase, rollbackCase } from '../support/arbitrary-facts.ts';

const marks = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });

/** Every release holds the fixes of those before it, and its own. */
function marked(history: History, fixes: readonly number[]): History {
  const withFixes = (release: Release): Release => {
    const held = fixes.filter((fix) => fix <= releaseNumber(release.id)).map((fix): ReleaseId => `r${fix}`);
    return held.length === 0 ? release : { ...release, securityFixes: held };
  };
  return { ...history, releases: history.releases.map(withFixes) };
}

function expectedLoss(
  plan: Plan,
  history: History,
  facts: Facts,
  fixes: readonly number[],
): readonly string[] {
  const [from, to] = [plan.from, plan.to].map((id) => (id === null ? 0 : releaseNumber(id))) as [
    number,
    number,
  ];
  const isPending = history.releases.find(({ id }) => id === plan.from)?.deployment === 'pending';
  const serves = Object.values(facts.surfaces).some((seen) => seen.kind === 'web' && seen.live === plan.from);
  return fixes
    .filter((fix) => fix > to && fix <= from && !(isPending && !serves && fix === from))
    .map((fix) => `r${fix}`)
    .sort();
}

function requireGuarded(plan: Plan, expected: readonly string[]): void {
  assert.deepEqual([...(plan.securityFixesLost ?? [])].sort(), expected);
  const warned = plan.warnings.some((warning) => warning.includes('--accept-security-regression'));
  assert.equal(warned, expected.length > 0);
  assertRegressionAccepted(plan, true, 'unship rollback');
  const refused = (): void => assertRegressionAccepted(plan, undefined, 'unship rollback r1');
  if (expected.length === 0) {
    refused();
    return;
  }
  assert.throws(refused, (error: UnshipError) => {
    assert.ok(error instanceof UnshipError);
    assert.equal(errorCatalogue[error.slug]?.exit, 3);
    assert.match(error.details.next ?? '', /unship rollback r1 --accept-security-regression/);
    for (const id of expected) assert.ok(error.details.happened.includes(id));
    return true;
  });
}

test('control 6: every plan that goes back past a security fix says so and needs a consent of its own, no other does', () => {
  let guarded = 0;
  let free = 0;
  const check = (answer: Plan | Refusal, history: History, facts: Facts, fixes: readonly number[]): void => {
    if (isRefusal(answer)) return;
    const expected = expectedLoss(answer, history, facts, fixes);
    if (expected.length > 0) guarded += 1;
    else free += 1;
    requireGuarded(answer, expected);
  };
  fc.assert(
    fc.property(rollbackCase, marks, ({ history: plain, facts, policy, request }, fixes) => {
      const history = marked(plain, fixes);
      check(planRollback(history, facts, policy, request), history, facts, fixes);
      for (const { id } of history.releases) {
        const undo = { kind: 'undo', run: 1, to: id, reason: 'undo' } as const;
        check(planUndo(history, facts, policy, undo), history, facts, fixes);
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(guarded > 100 && free > 100, `${guarded} guarded, ${free} free`);
});

test('control 6: a release that lacks a fix of the live one needs the same consent, but is asked once', () => {
  let guarded = 0;
  fc.assert(
    fc.property(
      releaseCase,
      marks,
      fc.boolean(),
      ({ history: plain, facts, policy, request }, fixes, holds) => {
        const history = marked(plain, fixes);
        const live = history.releases.find(({ deployment }) => deployment === 'live');
        const held = live?.securityFixes ?? [];
        const release = { ...request.release, ...(holds ? { securityFixes: held } : {}) };
        const plan = planRelease(history, facts, policy, { ...request, release });
        if (isRefusal(plan)) return;
        const expected = holds || request.phase === 'finish' ? [] : held;
        if (expected.length > 0) guarded += 1;
        requireGuarded(plan, [...expected].sort());
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(guarded > 50, `${guarded} guarded`);
});
