import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Facts } from '../../src/domain/facts.ts';
import { isRefusal, type Plan, type Refusal } from '../../src/domain/plan.ts';
import { releaseToLeave, type Unfinished, unfinishedOf } from '../../src/domain/planner/leaving.ts';
import type { RollbackRequest } from '../../src/domain/planner/request.ts';
import { planRollback } from '../../src/domain/planner/rollback.ts';
import type { History, Release } from '../../src/domain/release.ts';
import type { RunSummary } from '../../src/domain/run.ts';
import {
  bad,
  database,
  desktop,
  good,
  seen,
  vaultHistory,
  vaultPolicy,
  vaultRelease,
  web,
} from '../support/vault-situation.ts';

function answer(history: History, facts: Facts, request: Partial<RollbackRequest> = {}): Plan | Refusal {
  return planRollback(history, facts, vaultPolicy(), { kind: 'rollback', reason: 'r', ...request });
}

function planned(...given: Parameters<typeof answer>): Plan {
  const plan = answer(...given);
  assert.ok(!isRefusal(plan), JSON.stringify(plan));
  return plan;
}

function actionsOf(plan: Plan): readonly string[] {
  return plan.steps.filter(({ surface }) => surface !== 'unship').map(({ id }) => id);
}

/** r3 was taken back, and that is on record. */
const recorded: History = {
  releases: [
    vaultRelease(3, { deployment: 'rolled-back', health: 'bad' }),
    vaultRelease(2, { deployment: 'live' }),
    vaultRelease(1),
  ],
  quarantine: [{ commit: bad, release: 'r3', reason: 'it loses entries', since: 1 }],
};
const back = {
  web: web({ live: 'r2' }),
  vault: database({ applied: ['0016', '0017'], fingerprint: 'f2', migrations: [] }),
};
const backing: Unfinished = { leaving: 'r3', base: 'r2' };

const pulled = {
  '1.0.0': { status: 'offered', commit: good },
  '1.1.0': { status: 'pulled', commit: bad },
} as const;

describe('a rollback where another run has stopped half-way', () => {
  test('goes on with what is left of it, though its record calls the good release live already', () => {
    const plan = planned(recorded, seen(back), { unfinished: backing });
    assert.deepEqual([plan.from, plan.to], ['r3', 'r2']);
    assert.deepEqual(actionsOf(plan), ['web.resume', 'desktop.pull', 'desktop.publish-standby']);
  });

  test('ends it where nothing is left to do: whoever says rollback is never told that it has happened', () => {
    const versions = { ...pulled, '1.1.1': { status: 'offered', commit: good } } as const;
    const facts = seen({ ...back, desktop: desktop({ offered: '1.1.1', versions, standby: null }) });
    const plan = planned(recorded, facts, { unfinished: backing });
    assert.deepEqual(actionsOf(plan), ['web.resume']);
    assert.deepEqual(plan.warnings, []);
    assert.ok(isRefusal(answer(recorded, facts)), 'without a run that has not ended it has happened');
  });

  test('a release whose undoing has stopped is left, not the one that it was to be undone to', () => {
    const history: History = {
      releases: [
        vaultRelease(4, { deployment: 'rolled-back' }),
        vaultRelease(3, { deployment: 'live', health: 'unproven' }),
        vaultRelease(2),
      ],
      quarantine: [],
    };
    const facts = seen({ web: web({ live: 'r4' }) });
    const plan = planned(history, facts, { unfinished: { leaving: 'r4', base: 'r3' } });
    assert.deepEqual([plan.from, plan.to], ['r4', 'r3']);
    assert.deepEqual(
      actionsOf(plan).filter((id) => id.startsWith('web.')),
      ['web.start', 'web.switch', 'web.retire'],
    );
  });

  test('an undo that has stopped is taken back to what was live before it', () => {
    // Nothing of it is on record, and web, schema and feed are the bad release's already.
    const facts = seen();
    const plan = planned(recorded, facts, { unfinished: backing });
    assert.deepEqual([plan.from, plan.to], ['r3', 'r2']);
    assert.ok(actionsOf(plan).includes('web.switch'));
  });

  test('who names the release that was being left is answered as if nothing had stopped', () => {
    const refusal = answer(recorded, seen(back), { unfinished: backing, to: 'r3' });
    assert.ok(isRefusal(refusal));
    assert.equal(refusal.slug, 'no-target');
  });
});

function summary(kind: RunSummary['kind'], from: Release['id'] | null, to: Release['id'] | null): RunSummary {
  return { kind, from, to } as RunSummary;
}

test('which release is left follows from the newest run that moves between two', () => {
  assert.equal(unfinishedOf([]), undefined);
  assert.equal(
    unfinishedOf([summary('maintenance', null, null), summary('rehearsal', 'r3', 'r4')]),
    undefined,
  );
  assert.equal(unfinishedOf([summary('undo', 'r3', 'r3'), summary('release', null, 'r1')]), undefined);
  assert.equal(unfinishedOf([summary('rehearsal', 'r2', 'r3')]), undefined);
  const release = summary('release', 'r2', 'r3');
  const undone = [summary('rollback', 'r3', 'r2'), summary('undo', 'r2', 'r3'), summary('undo', 'r3', 'r2')];
  for (const run of [release, ...undone]) assert.deepEqual(unfinishedOf([run]), backing, run.kind);
  assert.deepEqual(unfinishedOf([summary('rollback', 'r2', 'r1'), release]), { leaving: 'r2', base: 'r1' });
  assert.equal(releaseToLeave(recorded, backing)?.id, 'r3');
  // The record says of itself what is to be left, or the history has moved on.
  assert.equal(releaseToLeave(vaultHistory(), backing)?.id, 'r3');
  assert.equal(releaseToLeave(recorded, { leaving: 'r9', base: 'r2' })?.id, 'r2');
  assert.equal(releaseToLeave(recorded, { leaving: 'r2', base: 'r1' })?.id, 'r2');
});

describe('a feed that a rollback finds half-way', () => {
  const live = vaultHistory({}, {});

  function desktopOf(changes: Parameters<typeof desktop>[0]): Pick<Plan, 'warnings' | 'steps'> {
    const plan = planned(live, seen({ desktop: desktop(changes) }));
    return { warnings: plan.warnings, steps: plan.steps.filter(({ surface }) => surface === 'desktop') };
  }

  test('with the bad version pulled and no hotfix out, a hotfix that lies ready now is published', () => {
    const { steps, warnings } = desktopOf({ offered: '1.0.0', versions: pulled });
    assert.deepEqual(
      steps.map(({ id }) => id).filter((id) => id !== 'desktop.halt'),
      ['desktop.pull', 'desktop.publish-standby'],
    );
    assert.deepEqual(warnings, []);
  });

  test('with none ready it is left alone, and it is said who waits', () => {
    const { steps, warnings } = desktopOf({ offered: '1.0.0', versions: pulled, standby: null });
    assert.deepEqual(steps, []);
    assert.match(warnings.join(), /who already has 1\.1\.0 keeps it until a hotfix above it/);
  });

  test('an earlier hotfix of the good code is no hotfix of this version, and is not gone below', () => {
    const versions = {
      '1.0.0': { status: 'published', commit: good },
      '1.0.1': { status: 'offered', commit: good },
      '1.1.0': { status: 'halted', commit: bad },
    } as const;
    const { steps } = desktopOf({ offered: '1.0.1', versions });
    const inputs = Object.fromEntries(steps.map(({ id, input }) => [id, input]));
    assert.deepEqual(inputs['desktop.pull'], { version: '1.1.0', to: '1.0.1' });
    assert.deepEqual(inputs['desktop.publish-standby'], { version: '1.1.1' });
  });

  test('good code that is out above the bad version is offered again: no other hotfix is needed', () => {
    const versions = {
      '1.0.0': { status: 'published', commit: good },
      '1.1.0': { status: 'offered', commit: bad },
      '1.1.1': { status: 'published', commit: good },
    } as const;
    const { steps, warnings } = desktopOf({ offered: '1.1.0', versions, standby: null });
    const inputs = Object.fromEntries(steps.map(({ id, input }) => [id, input]));
    assert.deepEqual(inputs['desktop.pull'], { version: '1.1.0', to: '1.1.1' });
    assert.equal(inputs['desktop.publish-standby'], undefined);
    assert.deepEqual(warnings, []);
  });
});
