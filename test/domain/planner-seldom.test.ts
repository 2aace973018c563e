import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Facts } from '../../src/domain/facts.ts';
import type { Plan, Refusal } from '../../src/domain/plan.ts';
import { planRehearsal } from '../../src/domain/planner/release.ts';
import type { ReleaseRequest, UndoRequest } from '../../src/domain/planner/request.ts';
import { planUndo } from '../../src/domain/planner/rollback.ts';
import type { History } from '../../src/domain/release.ts';
import { answerRelease, answerRollback, planned, refused } from '../support/vault-plans.ts';
import {
  bad,
  breaksOldCode,
  database,
  desktop,
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

/** States and requests that are seldom met: nothing there yet, nothing known of it, names that nobody has. */

const empty: History = { releases: [], quarantine: [] };
function inputOf(plan: Plan, id: string): unknown {
  const step = plan.steps.find((item) => item.id === id);
  assert.ok(step, `${id} is not in ${plan.steps.map((item) => item.id).join(', ')}`);
  return step.input;
}

function changeOf(plan: Plan, surface: string): Plan['changes'][number] | undefined {
  return plan.changes.find((change) => change.surface === surface);
}

const gone = { startMs: 0, buildMs: 0, freeDiskBytes: 1e9 };

describe('a rollback', () => {
  test('of a surface that could not be observed, or turned out to be another kind, is refused', () => {
    const { web: _web, ...others } = seen().surfaces;
    for (const surfaces of [others, { ...others, web: database() }]) {
      const { slug, missing } = refused(answerRollback({ facts: { surfaces } }));
      assert.deepEqual([slug, missing], ['target-gone', ['web: could not be observed']]);
    }
  });

  test('to a build of which nothing is known is refused', () => {
    const { missing } = refused(answerRollback({ facts: seen({ web: web({ releases: {} }) }) }));
    assert.deepEqual(missing, ["web: r2 can't be brought back: nothing is known of it"]);
  });

  test('limited to a surface that the target does not have is refused, with those it has', () => {
    const { slug, missing, next } = refused(answerRollback({}, { only: ['web', 'admin', 'api'] }));
    assert.deepEqual([slug, missing], ['unknown-surface', ['admin', 'api']]);
    assert.equal(next, 'surfaces: web, vault, desktop');
  });

  test('to what is live is refused', () => {
    const { slug, happened } = refused(answerRollback({}, { to: 'r3' }));
    assert.deepEqual([slug, happened], ['already-there', 'r3 is what is live']);
  });

  test('without a quarantine says so in its record; where nobody is to be told, nobody is', () => {
    const policy = vaultPolicy({ notifyTeam: false });
    const plan = planned(answerRollback({ policy }, { quarantine: false }));
    const record = plan.steps.find((step) => step.id === 'unship.record-rollback');
    assert.equal(record?.title, 'record r2 as live');
    const { quarantine } = inputOf(plan, 'unship.record-rollback') as { readonly quarantine: boolean };
    assert.equal(quarantine, false);
    assert.ok(!plan.steps.some((step) => step.action === 'unship.notify'));
    assert.ok(planned(answerRollback()).steps.some((step) => step.action === 'unship.notify'));
  });

  test('of a surface that came with the release to be taken back keeps no way back to it', () => {
    const { web: served, ...others } = vaultRelease(3).surfaces;
    assert.ok(served);
    const history = vaultHistory({ surfaces: others as never });
    const plan = planned(answerRollback({ history }, { only: ['web'] }));
    const { replaced, restored } = inputOf(plan, 'unship.record-rollback') as Record<string, unknown>;
    assert.deepEqual([replaced, restored], [{}, { web: vaultRelease(2).surfaces.web }]);
  });

  test('from nothing that serves leaves nothing to go back to and nothing to retire', () => {
    const facts = seen({ web: web({ live: null, releases: { r2: { readiness: 'on-disk' } } }) });
    const plan = planned(answerRollback({ facts }));
    assert.equal((inputOf(plan, 'web.switch') as { readonly previous: unknown }).previous, null);
    assert.ok(!plan.steps.some((step) => step.action === 'web.retire'));
    assert.equal(changeOf(plan, 'web')?.now, 'unknown');
  });

  test('from what nobody recorded goes back to it by its number', () => {
    const facts = seen({ web: web({ live: 'r1' }) });
    const { previous } = inputOf(planned(answerRollback({ facts })), 'web.switch') as {
      readonly previous: unknown;
    };
    assert.deepEqual(previous, { release: 'r1', commit: '', artifact: null });
  });

  test('estimates what was never measured', () => {
    const start = (readiness: 'on-disk' | 'rebuildable'): readonly (number | undefined)[] => {
      const facts = seen({ web: web({ releases: { r2: { readiness } }, measurements: gone }) });
      const plan = planned(answerRollback({ facts }));
      return ['web.stage', 'web.start'].map((id) => plan.steps.find((step) => step.id === id)?.estimateMs);
    };
    assert.deepEqual(start('on-disk'), [undefined, 500]);
    assert.deepEqual(start('rebuildable'), [10_000, 500]);
  });

  test('holds back requests that nothing answers yet as well', () => {
    const facts = seen({
      web: web({ live: null }),
      vault: database({ migrations: [migration('0018', { ...rewritesRows, ...breaksOldCode })] }),
    });
    const hold = inputOf(planned(answerRollback({ facts })), 'web.hold') as { readonly previous: unknown };
    assert.equal(hold.previous, null);
  });

  test('of the desktop whose good code is out under a higher version only pulls', () => {
    const versions = {
      '1.0.0': { status: 'published', commit: good },
      '1.1.0': { status: 'halted', commit: bad },
      '1.1.1': { status: 'offered', commit: good },
    } as const;
    const plan = planned(
      answerRollback({ facts: seen({ desktop: desktop({ offered: '1.1.1', versions }) }) }),
    );
    assert.deepEqual(
      plan.steps.filter((step) => step.surface === 'desktop').map((step) => step.id),
      ['desktop.halt', 'desktop.pull'],
    );
    assert.deepEqual(plan.warnings, []);
    assert.equal(changeOf(plan, 'desktop')?.what, 'pull 1.1.0, offer 1.1.1');
  });

  test('of the desktop to a version that was never published leaves the feed as it is, and says so', () => {
    const versions = { '1.1.0': { status: 'offered', commit: bad } } as const;
    const plan = planned(answerRollback({ facts: seen({ desktop: desktop({ versions }) }) }));
    assert.deepEqual(
      plan.steps.filter((step) => step.surface === 'desktop'),
      [],
    );
    assert.deepEqual(plan.warnings, ['desktop: 1.0.0 was never published here; the feed stays as it is']);
  });

  test('takes no two versions for the same code whose commits are not known', () => {
    const two = vaultRelease(2).surfaces;
    const adopted = { ...two, desktop: { ...two.desktop, commit: '' } } as never;
    const versions = {
      '0.9.0': { status: 'offered', commit: '' },
      '1.0.0': { status: 'published', commit: '' },
    } as const;
    const facts = seen({ desktop: desktop({ offered: '0.9.0', versions }) });
    const plan = planned(answerRollback({ history: vaultHistory({}, { surfaces: adopted }), facts }));
    assert.deepEqual(inputOf(plan, 'desktop.pull'), { version: '0.9.0', to: '1.0.0' });
  });

  test('to a release of which one surface has a quarantined commit is refused', () => {
    const { web: served, ...others } = vaultRelease(2).surfaces;
    const surfaces = { ...others, web: { ...served, commit: 'd'.repeat(40) } } as never;
    const history: History = {
      ...vaultHistory({}, { surfaces }),
      quarantine: [{ commit: 'd'.repeat(40), release: 'r1', reason: 'leaks', since: 1 }],
    };
    const { slug, happened } = refused(answerRollback({ history }, { to: 'r2' }));
    assert.deepEqual([slug, happened], ['quarantined', 'r2 contains ddddddd, quarantined with r1: leaks']);
  });

  test('of two databases holds requests where one of them fits neither side, and adds up what they risk', () => {
    const surfaces = (id: 2 | 3) => ({
      ...vaultRelease(id).surfaces,
      archive: { ...vaultRelease(id).surfaces.vault, label: 'archive' },
    });
    const history = vaultHistory({ surfaces: surfaces(3) as never }, { surfaces: surfaces(2) as never });
    const fits = migration('0018', { ...rewritesRows, newCodeRuns: { holds: true, reason: '' } });
    const risk = (exact: boolean, column: string) => ({
      ...losing(0),
      risk: { 'migrate-down': { tables: [], dropped: [column], exact } },
    });
    const facts = seen({
      archive: database({ migrations: [fits], measurements: risk(true, 'entries.mood') }),
      vault: database({
        migrations: [migration('0018', { ...rewritesRows, ...breaksOldCode })],
        measurements: risk(false, 'entries.place'),
      }),
    });
    const plan = planned(answerRollback({ history, facts }));
    assert.ok(plan.steps.some((step) => step.id === 'web.hold'));
    assert.deepEqual(plan.risk, { tables: [], dropped: ['entries.mood', 'entries.place'], exact: false });
  });

  test('has the web back first where either side may go first; its undo changes the database first', () => {
    const both = migration('0018', { ...rewritesRows, newCodeRuns: { holds: true, reason: '' } });
    const places = (plan: Plan, database: string): boolean => {
      const ids = plan.steps.map((step) => step.id);
      assert.ok(ids.includes(database), ids.join());
      return ids.indexOf('web.switch') < ids.indexOf(database);
    };
    const back = planned(answerRollback({ facts: seen({ vault: database({ migrations: [both] }) }) }));
    assert.equal(places(back, 'vault.migrate-down'), true);
    const history: History = {
      releases: [vaultRelease(3, { deployment: 'rolled-back' }), vaultRelease(2, { deployment: 'live' })],
      quarantine: [],
    };
    const facts = seen({
      web: web({ live: 'r2' }),
      vault: database({ applied: ['0016', '0017'], migrations: [both] }),
    });
    const request = { kind: 'undo', run: 5, to: 'r3', reason: 'undo' } as const;
    assert.equal(
      places(planned(planUndo(history, facts, vaultPolicy(), request)), 'vault.migrate-up'),
      false,
    );
  });

  test('goes through surfaces by name, whatever order they were recorded in', () => {
    const { web: one, vault, desktop: two } = vaultRelease(2).surfaces;
    const surfaces = { web: one, admin: { ...one, label: 'admin' }, vault, desktop: two } as never;
    const history = vaultHistory({ surfaces }, { surfaces });
    const { missing } = refused(answerRollback({ history, facts: { surfaces: {} } }, { to: 'r2' }));
    assert.deepEqual(
      missing.map((item) => item.split(':')[0]),
      ['admin', 'desktop', 'vault', 'web'],
    );
  });
});

describe('the way back of a database', () => {
  const restoreOnly = migration('0018', { ...breaksOldCode, down: 'restore-only' });

  test('past migrations whose text nobody has is a restore', () => {
    const plan = planned(answerRollback({ facts: seen({ vault: database({ migrations: [] }) }) }));
    assert.deepEqual(
      plan.options.map(({ strategy, verdict, reason }) => [strategy, verdict, reason]).slice(0, 2),
      [
        ['keep-schema', 'impossible', '1 applied migrations are not known here'],
        ['migrate-down', 'impossible', 'the text of 0018 is not known here'],
      ],
    );
    assert.ok(plan.steps.some((step) => step.id === 'vault.restore'));
    assert.ok(
      plan.steps.some((step) => step.id === 'web.hold'),
      'nobody knows what runs on what',
    );
  });

  test('takes the newest backup that fits', () => {
    const [backup] = database().backups;
    assert.ok(backup);
    const backups = [3, 9, 5].map((takenAt) => ({ ...backup, id: `b${takenAt}`, takenAt }));
    const facts = seen({ vault: database({ migrations: [restoreOnly], backups }) });
    assert.equal(
      (inputOf(planned(answerRollback({ facts })), 'vault.restore') as { backup: string }).backup,
      'b9',
    );
  });

  test('that can neither restore nor go down is none', () => {
    const can = (restore: boolean, salvage: boolean, backups = database().backups): readonly string[] =>
      refused(
        answerRollback({
          facts: seen({
            vault: database({ migrations: [restoreOnly], capabilities: { restore, salvage }, backups }),
          }),
        }),
      ).missing.slice(2);
    assert.deepEqual(can(false, false), [
      'vault: restore-with-salvage: this provider cannot carry later writes over into a restored backup',
      'vault: restore: this database cannot be restored',
    ]);
    assert.deepEqual(can(true, true, []), [
      'vault: restore-with-salvage: no verified backup holds the schema of that release',
      'vault: restore: no verified backup holds the schema of that release',
    ]);
  });

  test('that loses by a lower bound is uncertain only where it loses at all', () => {
    const counted = (lost: number): boolean => {
      const { restore } = losing(lost, false).risk;
      assert.ok(restore);
      const measurements = { ...losing(lost), risk: { 'migrate-down': restore } };
      const facts = seen({
        vault: database({ migrations: [migration('0018', rewritesRows)], measurements }),
      });
      return planned(answerRollback({ facts })).lossUncertain;
    };
    assert.deepEqual([counted(0), counted(1)], [false, true]);
  });

  test('over a database that somebody has emptied restores the backup, and says that it can not tell what is lost', () => {
    const emptied = (backups = database().backups): Plan | Refusal =>
      answerRollback({ facts: seen({ vault: database({ applied: [], migrations: [], backups }) }) });
    const plan = planned(emptied());
    const chosen = plan.options.find(({ verdict }) => verdict === 'chosen');
    assert.deepEqual([chosen?.strategy, plan.lossUncertain], ['restore', true]);
    assert.ok(plan.warnings.includes('vault holds none of the migrations that r3 had: it was emptied'));
    assert.equal(refused(emptied([])).slug, 'target-gone');
    // Before the first migration a database is empty as it should be.
    const { vault, ...others } = vaultRelease(3).surfaces;
    for (const surfaces of [
      others,
      { ...others, vault: { ...vault, artifact: { applied: [], fingerprint: '' } } },
    ]) {
      const history = vaultHistory({ surfaces } as never);
      const facts = seen({ vault: database({ applied: [], migrations: [] }) });
      assert.ok(
        planned(answerRollback({ history, facts })).steps.some(({ id }) => id === 'vault.migrate-up'),
      );
    }
  });

  test('where the web serves already what it should lets go what a dead run has held back, where that can be', () => {
    const resumed = (canHold: boolean, only?: readonly string[]): readonly (readonly string[])[] => {
      const facts = seen({ web: web({ live: 'r2', canHold }) });
      const request = only === undefined ? {} : { only };
      const { steps } = planned(answerRollback({ facts }, request));
      return steps.filter(({ action }) => action === 'web.resume').map(({ id, after }) => [id, ...after]);
    };
    assert.deepEqual(resumed(true), [['web.resume']]);
    assert.deepEqual(resumed(false), []);
    assert.deepEqual(resumed(true, ['desktop']), []);
    assert.ok(!planned(answerRollback()).steps.some(({ action }) => action === 'web.resume'));
  });

  test('to a release that never said what schema it left behind records the one that is there', () => {
    const { vault, ...others } = vaultRelease(2).surfaces;
    const schemasFor = (fingerprint: string): unknown => {
      const artifact = { applied: ['0016', '0017'], fingerprint };
      const history = vaultHistory({}, { surfaces: { ...others, vault: { ...vault, artifact } } as never });
      const facts = seen({ vault: database({ applied: ['0016', '0017'], fingerprint: 'seen' }) });
      const plan = planned(answerRollback({ history, facts }));
      return (inputOf(plan, 'unship.record-rollback') as { schemas?: unknown }).schemas;
    };
    assert.deepEqual(schemasFor(''), { vault: { applied: ['0016', '0017'], fingerprint: 'seen' } });
    assert.equal(schemasFor('f2'), undefined);
  });

  test('to nothing at all is called empty', () => {
    const { vault, ...others } = vaultRelease(2).surfaces;
    const before = { ...vault, artifact: { applied: [], fingerprint: 'f0' } };
    const plan = planned(
      answerRollback({
        history: vaultHistory({}, { surfaces: { ...others, vault: before } as never }),
        facts: seen({
          vault: database({ applied: ['0018'], migrations: [migration('0018', rewritesRows)] }),
        }),
      }),
    );
    assert.deepEqual([changeOf(plan, 'vault')?.now, changeOf(plan, 'vault')?.after], ['0018', 'empty']);
  });
});

describe('undoing', () => {
  const undo = (history: History, request: Partial<UndoRequest> = {}): Plan | Refusal =>
    planUndo(history, seen(), vaultPolicy(), { kind: 'undo', run: 5, to: 'r3', reason: 'undo', ...request });

  test('where nothing is released, or of a release that is not there, is refused', () => {
    assert.equal(refused(undo(empty)).slug, 'not-live');
    const { slug, missing } = refused(undo(vaultHistory(), { to: 'r9' }));
    assert.deepEqual([slug, missing], ['unknown-release', ['release r9']]);
  });

  test('a limited rollback over which another release has come is refused', () => {
    const { web: replaced } = vaultRelease(3).surfaces;
    assert.ok(replaced);
    const history: History = {
      releases: [vaultRelease(4, { deployment: 'live' }), vaultRelease(3, { deployment: 'superseded' })],
      quarantine: [],
    };
    const { slug, happened } = refused(undo(history, { replaced: { web: replaced } }));
    assert.deepEqual([slug, happened], ['plan-stale', 'r4 followed r3']);
  });
});

describe('a release', () => {
  const nothingThere = (): Facts => ({
    surfaces: {
      web: web({ live: null, releases: {}, measurements: gone }),
      vault: database({ applied: [], pending: ['0018'], migrations: [migration('0018')] }),
      desktop: desktop({ offered: null, versions: {}, atCommit: '1.1.0', standby: null }),
    },
  });

  test('that is the first of all comes from nothing and retires nothing', () => {
    const plan = planned(answerRelease({ history: empty, facts: nothingThere() }));
    assert.equal(plan.from, null);
    assert.deepEqual(inputOf(plan, 'unship.record-live'), { release: 'r3', previous: null });
    assert.deepEqual(inputOf(plan, 'web.prune'), { protect: ['r3'] });
    assert.ok(!plan.steps.some((step) => step.action === 'web.retire'));
    assert.deepEqual(
      plan.changes.map(({ surface, now, after }) => [surface, now, after]),
      [
        ['web', 'unknown', 'r3'],
        ['vault', 'empty', '0018'],
        ['desktop', 'nothing', '1.1.0'],
      ],
    );
    const { web: live, ...others } = nothingThere().surfaces;
    const adopted = planned(
      answerRelease({
        history: empty,
        facts: { surfaces: { ...others, web: { ...live, live: 'r2' } as never } },
      }),
    );
    assert.deepEqual((inputOf(adopted, 'web.switch') as { previous: unknown }).previous, {
      release: 'r2',
      commit: '',
      artifact: null,
    });
  });

  test('of a surface that nobody sees, or a migration that nobody can read, is refused', () => {
    const { desktop: _desktop, ...others } = nothingThere().surfaces;
    const vault = database({ applied: [], pending: ['0018'], migrations: [] });
    const { slug, missing } = refused(answerRelease({ facts: { surfaces: { ...others, vault } } }));
    assert.deepEqual(
      [slug, missing],
      ['target-gone', ['desktop: could not be observed', 'vault: 0018 could not be read']],
    );
    const unnamed = refused(answerRelease({ facts: nothingThere() }, { changed: ['admin'] }));
    assert.deepEqual(unnamed.missing, ['admin: could not be observed']);
  });

  test('protects what it leaves by number where the surface is new', () => {
    const { web: _web, ...surfaces } = vaultRelease(2).surfaces;
    const history: History = {
      releases: [vaultRelease(2, { deployment: 'live', surfaces: surfaces as never })],
      quarantine: [],
    };
    const plan = planned(answerRelease({ history, facts: nothingThere() }));
    assert.deepEqual(inputOf(plan, 'web.prune'), { protect: ['r3', 'r2', 'r2'] });
  });

  test('that nobody watches is released, and not proven', () => {
    const plan = planned(answerRelease({ facts: nothingThere(), policy: vaultPolicy({ bakeMs: 0 }) }));
    assert.ok(!plan.steps.some((step) => step.action === 'unship.watch'));
    const record = plan.steps.find((step) => step.id === 'unship.record-good');
    assert.equal(record?.title, 'record r3 as released, unproven');
    assert.deepEqual(record?.input, { release: 'r3', proven: false });
  });

  test('by the team says that the old code meets the new schema; migrations that came late run at the end', () => {
    const facts: Facts = {
      surfaces: {
        ...nothingThere().surfaces,
        web: web({ live: 'r2' }),
        vault: database({
          applied: [],
          pending: ['0018'],
          migrations: [migration('0018', breaksOldCode)],
        }),
      },
    };
    const warnings = (phase: ReleaseRequest['phase']): readonly string[] =>
      planned(answerRelease({ facts }, { phase })).warnings;
    assert.deepEqual(warnings('begin'), [
      'the old code meets the new schema until your CI has deployed: it does not run on it',
    ]);
    assert.deepEqual(warnings('finish'), []);
    assert.deepEqual(warnings('whole'), []);
    const finish = planned(answerRelease({ facts }, { phase: 'finish' })).steps.map((step) => step.id);
    assert.ok(finish.indexOf('vault.migrate-up') < finish.indexOf('unship.record-live'));
    assert.ok(!finish.includes('desktop.stage'), 'the beginning took it in');
  });

  test('is rehearsed under the same refusals, from nothing too', () => {
    const request = {
      kind: 'rehearsal',
      release: vaultRelease(3, { deployment: 'pending' }),
      changed: ['web'],
      quarantinedAncestors: [],
    } as const;
    const { vault: _vault, ...facts } = nothingThere().surfaces;
    const plan = planned(planRehearsal(empty, { surfaces: facts }, vaultPolicy(), request));
    assert.equal(plan.from, null);
    assert.equal(plan.steps.find((step) => step.id === 'web.stage')?.estimateMs, 10_000);
    const contains = { ...request, quarantinedAncestors: [bad] };
    assert.equal(
      refused(planRehearsal(empty, { surfaces: facts }, vaultPolicy(), contains)).slug,
      'quarantined',
    );
  });
});

test('the same code is told also where its commit is not known', () => {
  const surfaces = vaultRelease(2).surfaces;
  const history: History = {
    releases: [
      vaultRelease(3, { deployment: 'live', surfaces }),
      vaultRelease(2, { deployment: 'superseded', health: 'good', commit: '', surfaces }),
    ],
    quarantine: [],
  };
  const facts = seen({
    vault: database({ applied: ['0016', '0017'] }),
    desktop: desktop({ offered: '1.0.0' }),
  });
  const { warnings } = planned(answerRollback({ history, facts }, { to: 'r2' }));
  assert.ok(
    warnings.some((text) => text.startsWith('r2 is the same code as r3: ')),
    warnings.join('; '),
  );
});
