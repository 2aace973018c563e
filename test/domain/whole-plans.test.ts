import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Facts, MigrationFacts } from '../../src/domain/facts.ts';
import type { Plan, Refusal } from '../../src/domain/plan.ts';
import { planRehearsal } from '../../src/domain/planner/release.ts';
import type { ReleaseRequest, RollbackRequest, UndoRequest } from '../../src/domain/planner/request.ts';
import { planUndo } from '../../src/domain/planner/rollback.ts';
import type { History } from '../../src/domain/release.ts';
import {
  answerRelease,
  answerRollback,
  beforeMigrations,
  beforeRelease,
  type Given,
} from '../support/vault-plans.ts';
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

/**
 * Whole answers of the planner, as text beside this file: whoever changes one sees in the review what it changes
 * for everyone. `UPDATE_PLANS=1 node test/domain/whole-plans.test.ts` writes them anew.
 */
const file = new URL('whole-plans.txt', import.meta.url);
const isUpdate = process.env.UPDATE_PLANS === '1';
const kept = new Map(
  readFileSync(file, 'utf8')
    .split(/^(?=# )/m)
    .map((part) => [part.slice(2, part.indexOf('\n')), part]),
);
const written: string[] = [];

function textOf(answer: Plan | Refusal): readonly string[] {
  if ('refused' in answer) {
    const { refused, slug, happened, missing, next } = answer;
    return [
      `refused ${refused} ${slug}: ${happened}`,
      ...missing.map((item) => `  - ${item}`),
      `  > ${next}`,
    ];
  }
  const { steps, changes, options, why, warnings, hash: _hash, ...numbers } = answer;
  return [
    JSON.stringify(numbers),
    ...changes.map((change) => `change ${JSON.stringify(change)}`),
    ...options.map((option) => `option ${JSON.stringify(option)}`),
    ...why.map((line) => `why ${line}`),
    ...warnings.map((line) => `warning ${line}`),
    ...steps.flatMap(({ id, surface, action, after, title, input, ...rest }) => [
      `${id} (${surface} ${action}) after [${after.join(', ')}]: ${title}`,
      `  ${JSON.stringify(input)}`,
      `  ${JSON.stringify(rest)}`,
    ]),
  ];
}

function whole(name: string, ...answers: readonly (() => Plan | Refusal)[]): void {
  test(name, () => {
    const text = [`# ${name}`, ...answers.flatMap((answer) => textOf(answer())), '', ''].join('\n');
    if (isUpdate) {
      written.push(text);
      writeFileSync(file, written.join(''));
    }
    assert.equal(text, isUpdate ? text : kept.get(name));
  });
}

function rollback(given: Given = {}, request: Partial<RollbackRequest> = {}): () => Plan | Refusal {
  return () => answerRollback(given, request);
}

function undo(given: Given, request: Partial<UndoRequest> = {}): () => Plan | Refusal {
  const { history = vaultHistory(), facts = seen(), policy = vaultPolicy() } = given;
  return () =>
    planUndo(history, facts, policy, { kind: 'undo', run: 5, to: 'r3', reason: 'undo', ...request });
}

const pending = vaultRelease(3, { deployment: 'pending' });

function release(given: Partial<Given>, request: Partial<ReleaseRequest> = {}): () => Plan | Refusal {
  return () => answerRelease({ facts: beforeMigrations(migration('0018')), ...given }, request);
}

const rewriting = (changes: Partial<MigrationFacts>, ...others: readonly MigrationFacts[]): Facts =>
  seen({ vault: database({ migrations: [migration('0018', { ...rewritesRows, ...changes }), ...others] }) });
const runsBefore = { newCodeRuns: { holds: true, reason: 'the new code does not need 0018' } };
const careful = vaultPolicy({ approvals: ['release', 'rollback'] });
const restoreOnly = migration('0018', { ...breaksOldCode, down: 'restore-only' });
const after: History = {
  releases: [
    vaultRelease(3, { deployment: 'rolled-back', health: 'bad' }),
    vaultRelease(2, { deployment: 'live' }),
    vaultRelease(1),
  ],
  quarantine: [{ commit: bad, release: 'r3', reason: 'it loses entries', since: 1 }],
};
const back = seen({
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
const served = vaultRelease(3).surfaces;

describe('the whole plan of a rollback', () => {
  whole('that keeps the schema', rollback());
  whole(
    'that waits for an approval',
    rollback({ policy: careful }),
    rollback({ policy: careful }, { only: ['desktop'] }),
  );
  whole('web first, then down', rollback({ facts: rewriting({}) }));
  whole('down first, then web', rollback({ facts: rewriting({ ...breaksOldCode, ...runsBefore }) }));
  whole('both while requests wait', rollback({ facts: rewriting(breaksOldCode) }));
  whole(
    'both where requests cannot wait, built anew, by a restore',
    rollback({
      facts: seen({
        web: web({ canHold: false, releases: { r2: { readiness: 'rebuildable' } } }),
        vault: database({ migrations: [restoreOnly], measurements: losing(24) }),
        desktop: desktop({ standby: null }),
      }),
    }),
  );
  whole(
    'of two migrations, newest first',
    rollback({
      facts: seen({
        vault: database({
          applied: ['0016', '0017', '0018', '0019'],
          migrations: [migration('0018', rewritesRows), migration('0019')],
          measurements: { bytes: 1e8, rows: {}, risk: {}, blockedMs: { 'migrate-down': 70, restore: 900 } },
        }),
      }),
    }),
  );
  whole(
    'limited to some surfaces',
    rollback({}, { only: ['web'] }),
    rollback({}, { only: ['desktop', 'vault'] }),
  );
  whole(
    'to one that has not proven good',
    rollback({ history: vaultHistory({}, { health: 'unproven' }) }, { to: 'r2' }),
  );
});

describe('the whole plan of an undo', () => {
  whole('that brings all back', undo({ history: after, facts: back }));
  whole(
    'that brings some surfaces back',
    undo(
      { facts: seen({ web: web({ live: 'r2' }), desktop: desktop({ offered: '1.0.0' }) }) },
      { replaced: { web: served.web as never, desktop: served.desktop as never } },
    ),
  );
});

describe('the whole plan of a release', () => {
  whole('that expands', release({}));
  whole(
    'that contracts',
    release({ facts: beforeMigrations(migration('0018', { ...breaksOldCode, ...runsBefore })) }),
  );
  whole(
    'that expands, and contracts later',
    release({
      facts: beforeMigrations(migration('0018'), migration('0019', { ...breaksOldCode, ...runsBefore })),
    }),
  );
  whole(
    'that changes both while requests wait',
    release({ facts: beforeMigrations(migration('0018', breaksOldCode)) }),
  );
  whole(
    'that publishes during the watch, approved',
    release({ policy: vaultPolicy({ desktop: 'during', approvals: ['release'] }) }),
  );
  whole('that nobody watches', release({ policy: vaultPolicy({ bakeMs: 0 }) }));
  whole('of the database alone', release({}, { changed: ['vault'] }));
  whole(
    'with nothing new for the desktop',
    release({ facts: seen({ ...beforeMigrations().surfaces, desktop: desktop() }) }),
  );
  whole('begun by the team', release({ policy: careful }, { phase: 'begin' }));
  whole(
    'finished by the team',
    release({ policy: careful }, { phase: 'finish' }),
    release({ facts: beforeMigrations() }, { phase: 'finish' }),
  );
  whole(
    'that only a restore takes back',
    release({ facts: beforeMigrations(migration('0018', { down: 'restore-only' })) }),
  );
  whole('rehearsed', () =>
    planRehearsal(beforeRelease, beforeMigrations(migration('0018')), vaultPolicy(), {
      kind: 'rehearsal',
      release: pending,
      changed: ['web', 'vault', 'desktop'],
      quarantinedAncestors: [],
    }),
  );
});

describe('the whole refusal', () => {
  const neverServed: History = {
    releases: [vaultRelease(4, { deployment: 'live' }), pending, vaultRelease(2, { health: 'unproven' })],
    quarantine: [{ commit: good, release: 'r2', reason: 'leaks', since: 1 }],
  };
  const nothing: History = { releases: [], quarantine: [] };
  whole(
    'of a rollback',
    rollback({ history: nothing }),
    rollback({}, { to: 'r9' }),
    rollback({}, { to: 'r3' }),
    rollback({}, { only: ['admin'] }),
    rollback({ history: neverServed }),
    rollback({ history: neverServed }, { to: 'r2' }),
    rollback({ history: neverServed }, { to: 'r3' }),
    rollback({ history: after, facts: back }),
    rollback({ history: after, facts: back }, { to: 'r3' }),
    rollback({ facts: rewriting(breaksOldCode) }, { only: ['web'] }),
    rollback({ facts: rewriting(breaksOldCode) }, { only: ['vault'] }),
    rollback({ facts: { surfaces: {} } }),
    rollback({ facts: rewriting({ ...breaksOldCode, down: 'missing' }) }, { strategy: 'migrate-down' }),
  );
  whole(
    'of an undo',
    undo({ history: nothing }),
    undo({}, { to: 'r9' }),
    undo({}),
    undo({ history: neverServed }, { replaced: served }),
  );
  whole(
    'of a release',
    release({ facts: beforeMigrations(migration('0018', { down: 'missing' })) }),
    release({ facts: { surfaces: {} } }),
    release({}, { quarantinedAncestors: [bad] }),
    release({}, { changed: ['web'] }),
    release(
      { facts: beforeMigrations(migration('0018', breaksOldCode)) },
      {
        changed: ['vault'],
        release: vaultRelease(3, { surfaces: { ...served, web: vaultRelease(2).surfaces.web as never } }),
      },
    ),
  );
});
