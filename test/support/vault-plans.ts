import assert from 'node:assert/strict';
import type { Facts, MigrationFacts } from '../../src/domain/facts.ts';
import { isRefusal, type Plan, type Refusal } from '../../src/domain/plan.ts';
import { planRelease } from '../../src/domain/planner/release.ts';
import type { Policy, ReleaseRequest, RollbackRequest } from '../../src/domain/planner/request.ts';
import { planRollback } from '../../src/domain/planner/rollback.ts';
import type { History } from '../../src/domain/release.ts';
import {
  database,
  desktop,
  good,
  seen,
  vaultHistory,
  vaultPolicy,
  vaultRelease,
  web,
} from './vault-situation.ts';

/** What differs from the usual: r3 is live and bad, r2 is the good one before it. */
export interface Given {
  readonly history?: History;
  readonly facts?: Facts;
  readonly policy?: Policy;
}

export function answerRollback(given: Given = {}, request: Partial<RollbackRequest> = {}): Plan | Refusal {
  const { history = vaultHistory(), facts = seen(), policy = vaultPolicy() } = given;
  return planRollback(history, facts, policy, { kind: 'rollback', reason: 'it loses entries', ...request });
}

/** r2 is live, and r3 is to be released. */
export const beforeRelease: History = {
  releases: [vaultRelease(2, { deployment: 'live' })],
  quarantine: [],
};

/** What is seen then, with the migrations that r3 brings. */
export function beforeMigrations(...migrations: readonly MigrationFacts[]): Facts {
  return seen({
    web: web({ live: 'r2' }),
    vault: database({
      applied: ['0016', '0017'],
      pending: migrations.map(({ version }) => version),
      migrations,
    }),
    desktop: desktop({
      offered: '1.0.0',
      versions: { '1.0.0': { status: 'offered', commit: good } },
      atCommit: '1.1.0',
      standby: null,
    }),
  });
}

export function answerRelease(
  given: Given & { readonly facts: Facts },
  request: Partial<ReleaseRequest> = {},
): Plan | Refusal {
  const { history = beforeRelease, facts, policy = vaultPolicy() } = given;
  return planRelease(history, facts, policy, {
    kind: 'release',
    release: vaultRelease(3, { deployment: 'pending' }),
    changed: ['web', 'vault', 'desktop'],
    quarantinedAncestors: [],
    phase: 'whole',
    reason: 'release',
    ...request,
  });
}

export function planned(answer: Plan | Refusal): Plan {
  assert.ok(!isRefusal(answer), isRefusal(answer) ? `${answer.happened}: ${answer.missing.join('; ')}` : '');
  return answer;
}

/** The refusal, with this slug where one is given. */
export function refused(answer: Plan | Refusal, slug?: string): Refusal {
  assert.ok(isRefusal(answer), 'a plan was made');
  if (slug !== undefined) {
    assert.equal(answer.slug, slug, `${answer.happened}: ${answer.missing.join('; ')}`);
  }
  return answer;
}
