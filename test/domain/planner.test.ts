import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Facts } from '../../src/domain/facts.ts';
import { ancestorsOf, isRefusal, type Plan, type Refusal, type Strategy } from '../../src/domain/plan.ts';
import { planRehearsal } from '../../src/domain/planner/release.ts';
import type { ReleaseRequest, RollbackRequest } from '../../src/domain/planner/request.ts';
import { planRollback, planUndo } from '../../src/domain/planner/rollback.ts';
import type { History, Release } from '../../src/domain/release.ts';
import {
  answerRelease,
  answerRollback,
  beforeMigrations,
  beforeRelease,
  type Given,
  planned,
  refused,
} from '../support/vault-plans.ts';
import {
  bad,
  breaksOldCode,
  database,
  desktop,
  fix,
  good,
  losing,
  migration,
  rewritesRows,
  seen,
  vaultHistory,
  vaultPolicy,
  vaultRelease,
  web,
} from '../support/vault-situation.ts';

function rollback(given: Given = {}, request: Partial<RollbackRequest> = {}): Plan {
  return planned(answerRollback(given, request));
}

function ids(plan: Plan): readonly string[] {
  return plan.steps.map((step) => step.id);
}

function waitsFor(plan: Plan, id: string, before: string): boolean {
  assert.ok(
    ids(plan).includes(id) && ids(plan).includes(before),
    `${id} and ${before} in ${ids(plan).join(', ')}`,
  );
  return ancestorsOf(plan.steps, id).has(before);
}

function strategyOf(plan: Plan): Strategy | undefined {
  return plan.options.find((option) => option.verdict === 'chosen')?.strategy;
}

function vault(...changes: readonly Parameters<typeof database>[0][]): Facts {
  return seen({ vault: database(Object.assign({}, ...changes)) });
}

describe('the way back of the database: the first that is possible, in this order', () => {
  test('1. given old code that runs on the new schema and untouched rows, the schema is kept: nothing to lose, web back at once', () => {
    const plan = rollback();
    assert.equal(strategyOf(plan), 'keep-schema');
    assert.ok(!plan.steps.some((step) => step.surface === 'vault'));
    assert.deepEqual([plan.rowsLost, plan.lossUncertain, plan.blockedWritesMs], [0, false, 0]);
    assert.ok(plan.estimateMs < 1000, `${plan.estimateMs} ms`);
  });

  test('2. given rewritten rows, keeping the schema is no way back: it migrates down', () => {
    const plan = rollback({ facts: vault({ migrations: [migration('0018', rewritesRows)] }) });
    assert.equal(strategyOf(plan), 'migrate-down');
    const down = plan.steps.find((step) => step.id === 'vault.migrate-down');
    assert.deepEqual(down?.input, {
      release: 'r3',
      commit: bad,
      versions: ['0018'],
      applied: ['0016', '0017'],
    });
    assert.equal(plan.rowsLost, 0);
  });

  test('2. given rewritten rows that the operator declares good, the schema may be kept', () => {
    const facts = vault({ migrations: [migration('0018', rewritesRows)] });
    assert.equal(strategyOf(rollback({ facts }, { strategy: 'keep-schema' })), 'keep-schema');
    const breaking = vault({ migrations: [migration('0018', { ...rewritesRows, ...breaksOldCode })] });
    refused(answerRollback({ facts: breaking }, { strategy: 'keep-schema' }), 'target-gone');
  });

  test('2. given a down migration that does not run, its reason is listed and the others are still offered', () => {
    const downFails = 'its down migration does not run: 0018_x.sql, line 9: no such column: "broken"';
    const keeps = vault({ migrations: [migration('0018', { downFails })] });
    assert.equal(strategyOf(rollback({ facts: keeps })), 'keep-schema');
    const breaks = { ...breaksOldCode, downFails };
    const plan = rollback({ facts: vault({ migrations: [migration('0018', breaks)] }) });
    assert.equal(strategyOf(plan), 'restore');
    const option = plan.options.find(({ strategy }) => strategy === 'migrate-down');
    assert.equal(option?.verdict, 'impossible');
    assert.match(option?.reason ?? '', /0018_x\.sql, line 9/);
  });

  test('3. given no down migration and a provider that can salvage, the backup is restored and later writes carried over', () => {
    const plan = rollback({
      facts: vault({
        migrations: [migration('0018', { ...breaksOldCode, down: 'restore-only' })],
        capabilities: { restore: true, salvage: true },
      }),
    });
    assert.equal(strategyOf(plan), 'restore-with-salvage');
    assert.equal(plan.rowsLost, 0);
  });

  test('4. else the backup alone, with every lost row counted', () => {
    const restoreOnly = {
      migrations: [migration('0018', { ...breaksOldCode, down: 'restore-only' })],
    } as const;
    const plan = rollback({ facts: vault(restoreOnly, { measurements: losing(24) }) });
    assert.equal(strategyOf(plan), 'restore');
    assert.deepEqual([plan.rowsLost, plan.lossUncertain], [24, false]);
    const restore = plan.steps.find((step) => step.action === 'database.restore');
    assert.deepEqual(restore?.input, { backup: 'r3-before', fingerprint: 'f2', applied: ['0016', '0017'] });
    const uncounted = rollback({ facts: vault(restoreOnly) });
    assert.deepEqual([uncounted.rowsLost, uncounted.lossUncertain], [0, true]);
    const inexact = rollback({ facts: vault(restoreOnly, { measurements: losing(24, false) }) });
    assert.deepEqual([inexact.rowsLost, inexact.lossUncertain], [24, true]);
  });

  test('none of them: refused, and every way is named with what it lacks', () => {
    const facts = vault({
      migrations: [migration('0018', { ...breaksOldCode, down: 'missing' })],
      backups: [],
    });
    const { missing } = refused(answerRollback({ facts }), 'target-gone');
    assert.deepEqual(missing, [
      'vault: keep-schema: 0018 renames entries.text',
      'vault: migrate-down: 0018_moods has no down migration',
      'vault: restore-with-salvage: this provider cannot carry later writes over into a restored backup',
      'vault: restore: no verified backup holds the schema of that release',
    ]);
  });

  test('the others are shown with their price', () => {
    const plan = rollback({ facts: vault({ measurements: losing(24) }) });
    assert.deepEqual(
      plan.options.map((option) => [option.strategy, option.verdict]),
      [
        ['keep-schema', 'chosen'],
        ['migrate-down', 'possible'],
        ['restore-with-salvage', 'impossible'],
        ['restore', 'possible'],
      ],
    );
    assert.equal(plan.options.at(-1)?.risk?.tables[0]?.lost, 24);
    assert.equal(plan.rowsLost, 0, 'what is not chosen costs nothing');
  });

  test('a down is no way back where what the migration overwrote is kept nowhere', () => {
    const migrations = [migration('0018', { ...rewritesRows, preImages: 'none' })];
    assert.equal(strategyOf(rollback({ facts: vault({ migrations, measurements: losing(0) }) })), 'restore');
  });

  test('an unverified backup, or one of another schema, is none', () => {
    const [backup] = database().backups;
    assert.ok(backup !== undefined);
    const migrations = [migration('0018', { ...breaksOldCode, down: 'missing' })];
    for (const useless of [
      { ...backup, verified: false },
      { ...backup, applied: ['0016'] },
    ]) {
      refused(answerRollback({ facts: vault({ migrations, backups: [useless] }) }), 'target-gone');
    }
  });

  test('a release whose schema was not recorded is refused: an empty ledger would take everything back', () => {
    const surfaces = vaultRelease(2).surfaces;
    for (const artifact of [null, 'unreadable', [], { applied: 7 }]) {
      const history = vaultHistory(
        {},
        { surfaces: { ...surfaces, vault: { ...surfaces.vault, artifact } as never } },
      );
      const { missing } = refused(answerRollback({ history }), 'target-gone');
      assert.match(missing.join(), /vault: the schema that r2 left behind is not recorded/);
      refused(answerRollback({ history }, { only: ['web'] }), 'surfaces-inseparable');
    }
  });

  test('a ledger that has parted from the target is neither kept nor taken back by halves', () => {
    const facts = vault({ applied: ['0016', '0018'], migrations: [migration('0017'), migration('0018')] });
    assert.equal(strategyOf(rollback({ facts })), 'restore');
    const { missing } = refused(answerRollback({ facts }, { strategy: 'migrate-down' }), 'target-gone');
    assert.match(missing.join(), /0017, which is not applied/);
  });
});

describe('the order between web and database', () => {
  const down = (changes: Parameters<typeof migration>[1]): Facts =>
    vault({ migrations: [migration('0018', { ...rewritesRows, ...changes })] });

  test('given old code that runs on the new schema, the web is back first and the database follows', () => {
    const plan = rollback({ facts: down({}) });
    assert.ok(waitsFor(plan, 'vault.migrate-down', 'web.switch'));
  });

  test('given new code that runs on the old schema, the database goes first', () => {
    const plan = rollback({ facts: down({ ...breaksOldCode, newCodeRuns: { holds: true, reason: '' } }) });
    assert.ok(waitsFor(plan, 'web.switch', 'vault.migrate-down'));
    assert.ok(!ids(plan).includes('web.hold'));
  });

  test('given neither, requests wait while both change', () => {
    const plan = rollback({ facts: down(breaksOldCode) });
    assert.ok(waitsFor(plan, 'vault.migrate-down', 'web.hold'));
    assert.ok(waitsFor(plan, 'web.switch', 'vault.migrate-down'));
    assert.ok(plan.blockedWritesMs > 0);
    assert.deepEqual(plan.why, ['0018 renames entries.text', 'the new code reads what 0018 adds']);
    assert.deepEqual(plan.warnings, []);
  });

  test('where requests cannot wait, it is said that some will fail', () => {
    const facts = seen({
      web: web({ canHold: false }),
      vault: database({ migrations: [migration('0018', { ...rewritesRows, ...breaksOldCode })] }),
    });
    assert.deepEqual(rollback({ facts }).warnings, [
      "web can't hold requests back: some fail while both sides change",
    ]);
  });

  test('a limit to the web is refused where its old code needs the old schema, and the other way round', () => {
    const facts = down(breaksOldCode);
    const without = refused(answerRollback({ facts }, { only: ['web'] }), 'surfaces-inseparable');
    assert.deepEqual(without.missing, ['web needs vault to go with it: 0018 renames entries.text']);
    const alone = refused(answerRollback({ facts }, { only: ['vault'] }), 'surfaces-inseparable');
    assert.deepEqual(alone.missing, ['vault needs web to go with it: the new code reads what 0018 adds']);
    assert.ok(!isRefusal(answerRollback({ facts }, { only: ['web', 'vault'] })));
    assert.ok(!isRefusal(answerRollback({ facts: down({}) }, { only: ['web'] })));
  });
});

describe('the desktop in a rollback', () => {
  test('the rollout is halted beside the switch; pulling follows it, the standby hotfix comes last and for good', () => {
    const plan = rollback();
    const step = (id: string) => plan.steps.find((item) => item.id === id);
    assert.deepEqual(step('desktop.halt')?.after, []);
    assert.equal(step('desktop.halt')?.importance, 'best-effort');
    assert.ok(waitsFor(plan, 'desktop.pull', 'web.switch'));
    assert.ok(!waitsFor(plan, 'desktop.pull', 'desktop.halt'), 'a vendor that is down holds nobody up');
    assert.ok(waitsFor(plan, 'desktop.publish-standby', 'desktop.pull'));
    assert.deepEqual(
      plan.steps.filter((item) => item.pointOfNoReturn).map((item) => item.id),
      ['desktop.publish-standby'],
    );
  });

  test('without a standby hotfix it is said that clients keep what they have', () => {
    const plan = rollback({ facts: seen({ desktop: desktop({ standby: null }) }) });
    assert.ok(!ids(plan).includes('desktop.publish-standby'));
    assert.match(plan.warnings.join(), /keeps it until a hotfix above it is published/);
    const other = desktop({ standby: { version: '1.1.1', commit: bad } });
    assert.ok(!ids(rollback({ facts: seen({ desktop: other }) })).includes('desktop.publish-standby'));
  });

  test('a feed that already offers the good version, and has pulled the bad one, is left alone while no hotfix is ready', () => {
    const versions = {
      '1.0.0': { status: 'offered', commit: good },
      '1.1.0': { status: 'pulled', commit: bad },
    } as const;
    const facts = seen({ desktop: desktop({ offered: '1.0.0', versions, standby: null }) });
    assert.ok(!rollback({ facts }).steps.some((step) => step.surface === 'desktop'));
  });

  test('a rollback of the desktop alone pulls at once', () => {
    const plan = rollback({}, { only: ['desktop'] });
    assert.deepEqual(plan.steps.find((step) => step.id === 'desktop.pull')?.after, []);
    assert.ok(!ids(plan).includes('desktop.halt'));
  });

  test('a feed that is empty, or holds the good version back, offers it again', () => {
    const halted = { '1.0.0': { status: 'halted', commit: good } } as const;
    const published = { '1.0.0': { status: 'published', commit: good } } as const;
    for (const [offered, versions] of [
      [null, published],
      [null, halted],
      ['0.9.0', halted],
    ] as const) {
      const plan = rollback({ facts: seen({ desktop: desktop({ offered, versions }) }) });
      const steps = plan.steps.filter((step) => step.surface === 'desktop');
      assert.deepEqual(
        steps.map(({ id, input }) => [id, input]),
        [['desktop.unpull', { version: '1.0.0', offered }]],
      );
      assert.deepEqual(
        plan.changes.find((change) => change.surface === 'desktop'),
        {
          surface: 'desktop',
          kind: 'desktop',
          now: offered ?? 'nothing',
          after: '1.0.0',
          what: 'offer 1.0.0 again',
          estimateMs: 150,
        },
      );
    }
  });

  test('a feed that offers nothing any more, because the bad version was halted, still gets the good one', () => {
    const versions = {
      '1.0.0': { status: 'published', commit: good },
      '1.1.0': { status: 'halted', commit: bad },
    } as const;
    const plan = rollback({ facts: seen({ desktop: desktop({ offered: null, versions }) }) });
    assert.deepEqual(plan.steps.find((step) => step.id === 'desktop.pull')?.input, {
      version: '1.1.0',
      to: '1.0.0',
    });
  });
});

describe('where a rollback goes', () => {
  test('to the last good release, which need not be the previous one', () => {
    const history: History = {
      releases: [vaultRelease(3), vaultRelease(2, { health: 'bad' }), vaultRelease(1)],
      quarantine: [],
    };
    const facts = seen({ web: web({ releases: { r1: { readiness: 'on-disk' } } }) });
    assert.equal(rollback({ history, facts }).to, 'r1');
  });

  test('not further back when it is repeated, unless it is told to where', () => {
    const after: History = {
      releases: [
        vaultRelease(3, { deployment: 'rolled-back', health: 'bad' }),
        vaultRelease(2, { deployment: 'live' }),
        vaultRelease(1),
      ],
      quarantine: [{ commit: bad, release: 'r3', reason: 'it loses entries', since: 1 }],
    };
    const facts = seen({ web: web({ live: 'r2', releases: { r1: { readiness: 'on-disk' } } }) });
    const answer = refused(answerRollback({ history: after, facts }), 'already-there');
    assert.match(answer.next, /unship rollback rN/);
    assert.equal(rollback({ history: after, facts }, { to: 'r1' }).to, 'r1');
    refused(answerRollback({ history: after, facts }, { to: 'r3' }), 'no-target');
  });

  test('to what is live, when a release stopped half-way', () => {
    const history: History = {
      releases: [vaultRelease(4), vaultRelease(3, { health: 'good' }), vaultRelease(2)],
      quarantine: [],
    };
    const plan = rollback({ history });
    assert.deepEqual([plan.from, plan.to], ['r4', 'r3']);
    assert.ok(!plan.steps.some((step) => step.action === 'web.switch'), 'r3 still serves');
    const live = (changes: Parameters<typeof vaultRelease>[1]): History => ({
      ...history,
      releases: [vaultRelease(4), vaultRelease(3, changes), vaultRelease(2)],
    });
    const unproven = rollback({ history: live({ health: 'unproven' }) });
    assert.equal(unproven.to, 'r3', 'nobody asked to go further back than what serves');
    assert.deepEqual(unproven.warnings, ['r3 has not proven good']);
    assert.equal(rollback({ history: live({ health: 'bad' }) }).to, 'r2');
  });

  test('never to a quarantined commit, nor to what never served', () => {
    const history: History = {
      releases: [
        vaultRelease(4, { deployment: 'live' }),
        vaultRelease(3, { deployment: 'pending' }),
        vaultRelease(2),
      ],
      quarantine: [{ commit: good, release: 'r2', reason: 'leaks', since: 1 }],
    };
    refused(answerRollback({ history }, { to: 'r2' }), 'quarantined');
    refused(answerRollback({ history }, { to: 'r3' }), 'no-target');
    refused(answerRollback({ history }), 'no-target');
    refused(answerRollback({ history }, { to: 'r9' }), 'unknown-release');
    refused(answerRollback({ history: { releases: [], quarantine: [] } }), 'not-live');
  });

  test('an older release that is not on disk is built first; one whose commit is gone is refused', () => {
    const rebuildable = web({ releases: { r2: { readiness: 'rebuildable' } } });
    const plan = rollback({ facts: seen({ web: rebuildable }) });
    assert.ok(waitsFor(plan, 'web.start', 'web.stage'));
    assert.ok(plan.estimateMs >= 20_000);
    const gone = web({ releases: { r2: { readiness: 'gone', reason: 'its commit was pruned' } } });
    const answer = refused(answerRollback({ facts: seen({ web: gone }) }), 'target-gone');
    assert.deepEqual(answer.missing, ["web: r2 can't be brought back: its commit was pruned"]);
  });

  test('from a release whose commit is not known: it is called by its number', () => {
    const { title } = rollback().steps.find(({ id }) => id === 'unship.record-rollback') ?? {};
    assert.equal(title, 'record r2 as live, quarantine bbbbbbb');
    const adopted = rollback({ history: vaultHistory({ commit: '' }) });
    assert.equal(
      adopted.steps.find(({ id }) => id === 'unship.record-rollback')?.title,
      'record r2 as live, quarantine r3',
    );
  });

  test('a database that only the target names goes down by the texts that were kept', () => {
    const { web: only } = vaultRelease(3).surfaces;
    const plan = rollback({
      history: vaultHistory({ surfaces: { web: only } as never }),
      facts: vault({ migrations: [migration('0018', rewritesRows)] }),
    });
    assert.deepEqual(plan.steps.find((step) => step.id === 'vault.migrate-down')?.input, {
      release: 'r2',
      commit: '',
      versions: ['0018'],
      applied: ['0016', '0017'],
    });
  });

  test('what came after the target stays as it is, and that is said', () => {
    const { admin, ...older } = { admin: undefined, ...vaultRelease(2).surfaces };
    assert.equal(admin, undefined);
    const three = { ...vaultRelease(3).surfaces, admin: { ...vaultRelease(3).surfaces.web, label: 'r3' } };
    const history = vaultHistory({ surfaces: three as never }, { surfaces: older });
    assert.ok(rollback({ history }).warnings.includes('admin came after r2 and stays as it is'));
  });
});

describe('a commit that was released twice', () => {
  const again = (commit: string): History => ({
    releases: [
      vaultRelease(4, { commit, deployment: 'live', surfaces: surfacesOf(vaultRelease(4), commit) }),
      vaultRelease(3, { health: 'good', deployment: 'superseded' }),
      vaultRelease(2),
    ],
    quarantine: [],
  });

  /** A surface that a release did not change stays as it is; the others are of this commit. */
  function surfacesOf({ surfaces }: Release, commit: string): Release['surfaces'] {
    return Object.fromEntries(Object.entries(surfaces).map(([name, part]) => [name, { ...part, commit }]));
  }

  test('is no way back from itself, also when it passed its watch: the rollback goes beyond both', () => {
    const live = { web: web({ live: 'r4', releases: { r2: { readiness: 'warm' } } }) };
    const plan = rollback({ history: again(bad), facts: seen(live) });
    assert.deepEqual([plan.from, plan.to], ['r4', 'r2']);
    assert.deepEqual(
      plan.warnings.filter((text) => text.includes('same code')),
      [],
    );
    const other = rollback({
      history: again('c'.repeat(40)),
      facts: seen({ web: web({ live: 'r4', releases: { r3: { readiness: 'warm' } } }) }),
    });
    assert.equal(other.to, 'r3');
  });

  test('is gone back to where a person names it, with a warning, and no quarantine is promised', () => {
    const facts = seen({ web: web({ live: 'r4', releases: { r3: { readiness: 'warm' } } }) });
    const plan = rollback({ history: again(bad), facts }, { to: 'r3' });
    assert.ok(
      plan.warnings.includes(
        `r3 is the same code as r4 (${bad.slice(0, 7)}): what is wrong with the one is wrong with the other`,
      ),
    );
    const record = plan.steps.find((step) => step.action === 'unship.record-rollback');
    assert.equal(record?.title, 'record r3 as live');
  });

  test('has no way back where nothing else proved good, and the refusal says why', () => {
    const { releases } = again(bad);
    const history = { releases: releases.slice(0, 2), quarantine: [] };
    const answer = planRollback(history, seen(), vaultPolicy(), { kind: 'rollback', reason: 'r' });
    assert.match(refused(answer, 'no-target').happened, /of other code: r3 has the same commits/);
  });

  test('a release whose parts were all taken back one by one is not left behind for an older one', () => {
    const three = vaultRelease(3, { health: 'bad', surfaces: vaultRelease(2).surfaces });
    const one = vaultRelease(1, { surfaces: surfacesOf(vaultRelease(1), fix), commit: fix });
    const history = { releases: [three, vaultRelease(2), one], quarantine: [] };
    const answer = planRollback(history, seen(), vaultPolicy(), { kind: 'rollback', reason: 'r' });
    assert.match(refused(answer, 'already-there').happened, /r3 is made of what r2 is made of/);
  });
});

describe('undoing a rollback', () => {
  const after: History = {
    releases: [
      vaultRelease(3, { deployment: 'rolled-back', health: 'bad' }),
      vaultRelease(2, { deployment: 'live' }),
    ],
    quarantine: [{ commit: bad, release: 'r3', reason: 'it loses entries', since: 1 }],
  };

  test('brings back what it took away, the database backed up and first, although it is quarantined', () => {
    const facts = seen({
      web: web({ live: 'r2' }),
      vault: database({ applied: ['0016', '0017'] }),
      desktop: desktop({
        offered: '1.1.1',
        versions: {
          '1.0.0': { status: 'published', commit: good },
          '1.1.0': { status: 'pulled', commit: bad },
        },
      }),
    });
    const plan = planUndo(after, facts, vaultPolicy(), { kind: 'undo', run: 5, to: 'r3', reason: 'undo' });
    assert.ok(!isRefusal(plan));
    assert.ok(waitsFor(plan, 'vault.migrate-up', 'vault.backup'));
    assert.ok(waitsFor(plan, 'web.switch', 'vault.migrate-up'));
    assert.ok(ids(plan).includes('desktop.unpull'));
    const record = plan.steps.find((step) => step.action === 'unship.record-rollback');
    assert.deepEqual(record?.input, {
      from: 'r2',
      to: 'r3',
      undo: true,
      quarantine: false,
      only: null,
      replaced: null,
      restored: null,
      before: {
        releases: {
          r2: { deployment: 'live', health: 'good' },
          r3: { deployment: 'rolled-back', health: 'bad' },
        },
        quarantine: after.quarantine,
      },
      restores: null,
      reason: 'undo',
    });
  });

  test('of an undo carries what that one forgave, and says that the commit is quarantined again', () => {
    const undone = vaultHistory({ deployment: 'live' }, { deployment: 'superseded' });
    const restores = {
      releases: {
        r2: { deployment: 'live', health: 'good' },
        r3: { deployment: 'rolled-back', health: 'bad' },
      },
      quarantine: after.quarantine,
    } as const;
    const request = { kind: 'undo', run: 2, to: 'r2', reason: 'undo', restores } as const;
    const plan = planUndo(undone, seen(), vaultPolicy(), request);
    assert.ok(!isRefusal(plan));
    const record = plan.steps.find((step) => step.action === 'unship.record-rollback');
    assert.equal(record?.title, `record r2 as live, quarantine ${bad.slice(0, 7)} again`);
    const input = record?.input as { readonly before: unknown; readonly restores: unknown };
    assert.deepEqual(input.restores, restores);
    assert.deepEqual(input.before, {
      releases: {
        r3: { deployment: 'live', health: 'unproven' },
        r2: { deployment: 'superseded', health: 'good' },
      },
      quarantine: [],
    });
  });

  test('of a limited rollback brings those surfaces back, in the release that stayed', () => {
    const limited = rollback({}, { only: ['web'] });
    const record = limited.steps.find((step) => step.action === 'unship.record-rollback');
    assert.ok(record !== undefined);
    const { replaced, restored } = record.input as unknown as {
      readonly replaced: History['releases'][number]['surfaces'];
      readonly restored: History['releases'][number]['surfaces'];
    };
    assert.equal(replaced.web?.since, 'r3');
    const surfaces = { ...vaultRelease(3).surfaces, ...restored };
    const history = vaultHistory({ surfaces, health: 'bad' });
    const facts = seen({ web: web({ live: 'r2' }) });
    const request = { kind: 'undo', run: 6, to: 'r3', reason: 'undo' } as const;
    refused(planUndo(history, facts, vaultPolicy(), request), 'already-there');
    const plan = planUndo(history, facts, vaultPolicy(), { ...request, replaced });
    assert.ok(!isRefusal(plan));
    assert.deepEqual(
      plan.steps.filter((step) => step.surface !== 'unship').map((step) => step.id),
      ['web.start', 'web.switch', 'web.retire'],
    );
    assert.match(
      JSON.stringify(plan.steps.find((step) => step.id === 'web.switch')?.input),
      /"release":"r3"/,
    );
  });
});

describe('releasing', () => {
  const pending = (changes: Parameters<typeof migration>[1] = {}): Facts =>
    beforeMigrations(migration('0018', changes));
  const answer = (given: Given = {}, request: Partial<ReleaseRequest> = {}): Plan | Refusal =>
    answerRelease({ facts: pending(), ...given }, request);
  const release = (given: Given = {}, request: Partial<ReleaseRequest> = {}): Plan =>
    planned(answer(given, request));

  test('builds, backs up, expands the schema, switches, watches, publishes the desktop, and then calls it good', () => {
    const plan = release();
    const order = [
      'web.stage',
      'vault.backup',
      'vault.migrate-up',
      'web.start',
      'web.switch',
      'unship.record-live',
      'unship.watch',
      'desktop.publish',
      'unship.record-good',
    ];
    for (const [index, id] of order.slice(1).entries()) {
      assert.ok(waitsFor(plan, id, order[index] ?? ''), `${id} after ${order[index]}`);
    }
    assert.ok(
      waitsFor(plan, 'vault.migrate-up', 'desktop.stage'),
      'nothing live before everything is at hand',
    );
  });

  test('publishes the desktop at the start of the watch where the policy says so', () => {
    const plan = release({ policy: vaultPolicy({ desktop: 'during' }) });
    assert.ok(waitsFor(plan, 'unship.watch', 'desktop.publish'));
  });

  test('contracts after the watch, with a backup of its own', () => {
    const contracting = { ...breaksOldCode, newCodeRuns: { holds: true, reason: '' } };
    const plan = release({ facts: pending(contracting) });
    assert.ok(waitsFor(plan, 'vault.backup-contract', 'unship.watch'));
    assert.ok(waitsFor(plan, 'vault.migrate-up-contract', 'vault.backup-contract'));
    assert.ok(waitsFor(plan, 'unship.record-good', 'vault.migrate-up-contract'));
    assert.ok(!ids(plan).includes('web.hold'));
    assert.match(plan.why.join(), /0018 waits for the end of the watch/);
  });

  test('expands before the web and contracts after the watch, where a release does both', () => {
    const both = seen({
      web: web({ live: 'r2' }),
      vault: database({
        applied: ['0017'],
        pending: ['0018', '0019'],
        migrations: [
          migration('0018'),
          migration('0019', { ...breaksOldCode, newCodeRuns: { holds: true, reason: '' } }),
        ],
      }),
    });
    const plan = release({ facts: both }, { changed: ['web', 'vault'] });
    const input = (id: string) =>
      plan.steps.find((step) => step.id === id)?.input as {
        readonly versions: unknown;
        readonly applied: unknown;
      };
    assert.deepEqual(input('vault.migrate-up').versions, ['0018']);
    assert.deepEqual(input('vault.migrate-up').applied, ['0017', '0018']);
    assert.deepEqual(input('vault.migrate-up-contract').versions, ['0019']);
    assert.deepEqual(input('vault.migrate-up-contract').applied, ['0017', '0018', '0019']);
    assert.ok(waitsFor(plan, 'web.switch', 'vault.migrate-up'));
    assert.ok(waitsFor(plan, 'vault.migrate-up-contract', 'unship.watch'));
  });

  test('holds requests where neither code runs on both schemas, and takes the backup before the hold', () => {
    const plan = release({ facts: pending(breaksOldCode) });
    assert.ok(waitsFor(plan, 'web.hold', 'vault.backup'));
    assert.ok(waitsFor(plan, 'vault.migrate-up', 'web.hold'));
    assert.ok(plan.blockedWritesMs > 0);
  });

  test('is refused without a way back', () => {
    const none = refused(answer({ facts: pending({ down: 'missing' }) }), 'no-down-migration');
    assert.deepEqual(none.missing, [
      'vault: 0018_moods has no down migration and is not marked restore-only',
    ]);
    const marked = release({ facts: pending({ down: 'restore-only' }) });
    assert.match(marked.warnings.join(), /restore-only: going back loses/);
  });

  test('is refused with a quarantined commit inside', () => {
    const answered = refused(answer({}, { quarantinedAncestors: [bad] }), 'quarantined');
    assert.match(answered.next, /unship quarantine lift bbbbbbb --fixed-by/);
  });

  test('limited to the web is refused where the new code needs the new schema, and the other way round', () => {
    refused(answer({}, { changed: ['web'] }), 'surfaces-inseparable');
    const carried = { ...vaultRelease(3).surfaces, web: vaultRelease(2).surfaces.web } as never;
    const alone = { changed: ['vault'], release: vaultRelease(3, { surfaces: carried }) };
    assert.ok(!isRefusal(answer({}, alone)), 'the old web runs on it');
    refused(answer({ facts: pending(breaksOldCode) }, alone), 'surfaces-inseparable');
  });

  test('by the team: begin saves and migrates, finish records, watches and publishes', () => {
    const begin = release({}, { phase: 'begin' });
    assert.deepEqual(ids(begin), ['desktop.stage', 'vault.backup', 'vault.migrate-up']);
    const migrated = seen({ web: web(), desktop: (pending().surfaces.desktop ?? desktop()) as never });
    const finish = release({ facts: migrated }, { phase: 'finish' });
    assert.deepEqual(ids(finish), [
      'unship.record-live',
      'unship.watch',
      'desktop.publish',
      'unship.record-good',
      'web.prune',
    ]);
  });

  test('keeps the last good build, also when what was live is not it', () => {
    const unproven: History = {
      releases: [vaultRelease(2, { deployment: 'live', health: 'unproven' }), vaultRelease(1)],
      quarantine: [],
    };
    const plan = release({ history: unproven });
    const prune = plan.steps.find((step) => step.action === 'web.prune');
    assert.deepEqual(prune?.input, { protect: ['r3', 'r2', 'r1'] });
  });

  test('a watch of several days is not cut off by the time limit of a step', () => {
    const plan = release({ policy: vaultPolicy({ bakeMs: 3 * 86_400_000 }) });
    const watch = plan.steps.find((step) => step.action === 'unship.watch');
    assert.ok((watch?.timeoutMs ?? 0) > 3 * 86_400_000);
  });

  test('waits for an approval before anything else where the policy asks for one', () => {
    const plan = release({ policy: vaultPolicy({ approvals: ['release', 'rollback'] }) });
    for (const id of ids(plan)) {
      assert.ok(id === 'unship.approval' || waitsFor(plan, id, 'unship.approval'), id);
    }
    const back = rollback({ policy: vaultPolicy({ approvals: ['rollback'] }) });
    assert.ok(waitsFor(back, 'desktop.halt', 'unship.approval'));
  });

  test('a rehearsal builds and then tries both ways on a copy; it touches nothing live', () => {
    const {
      phase: _phase,
      reason: _reason,
      ...request
    } = {
      release: vaultRelease(3, { deployment: 'pending' }),
      changed: ['web', 'vault', 'desktop'],
      quarantinedAncestors: [],
      phase: 'whole',
      reason: '',
    };
    const plan = planRehearsal(beforeRelease, pending(), vaultPolicy(), { ...request, kind: 'rehearsal' });
    assert.ok(!isRefusal(plan));
    assert.deepEqual(ids(plan), ['web.stage', 'desktop.stage', 'unship.rehearse']);
  });
});
