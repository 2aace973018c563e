import type { Plan, Step } from '../../src/domain/plan.ts';
import type { Release } from '../../src/domain/release.ts';
import type { JournalEntry, NewJournalEntry } from '../../src/domain/run.ts';

/** 2026-07-03 14:31:07 UTC. */
export const began: number = Date.UTC(2026, 6, 3, 14, 31, 7);
export const badCommit: string = '9c1e0f2'.padEnd(40, '0');
const goodCommit = '4ab77d1'.padEnd(40, '0');

function step(surface: string, action: string, title: string, more: Partial<Step> = {}): Step {
  return {
    id: `${surface}.${action.split('.')[1]}`,
    surface,
    action,
    input: {},
    after: [],
    importance: 'required',
    onFailure: 'block',
    estimateMs: 100,
    pointOfNoReturn: false,
    title,
    timeoutMs: 60_000,
    ...more,
  };
}

export function rollbackPlan(more: Partial<Plan> = {}): Plan {
  return {
    schema: 'unship.plan/1',
    kind: 'rollback',
    application: 'vault',
    environment: 'production',
    from: 'r42',
    to: 'r41',
    reason: 'entries can not be saved',
    steps: [
      step('web', 'web.switch', 'switch to r41'),
      step('vault', 'database.migrate-down', 'migrate-down 0018'),
      step('desktop', 'desktop.pull', 'pull 1.1.0'),
      step('unship', 'unship.notify', 'tell the team', { importance: 'best-effort' }),
    ],
    changes: [
      { surface: 'web', kind: 'web', now: 'r42', after: 'r41', what: 'switch', estimateMs: 100 },
      { surface: 'vault', kind: 'database', now: '18', after: '17', what: 'migrate-down', estimateMs: 2_000 },
      { surface: 'desktop', kind: 'desktop', now: '1.1.0', after: '1.0.0', what: 'pull', estimateMs: 100 },
    ],
    why: [],
    options: [],
    risk: {
      tables: [{ table: 'entries', kept: 1_392, archived: 212, lost: 0, editedSince: 3 }],
      dropped: ['entries.mood'],
      exact: true,
    },
    rowsLost: 0,
    lossUncertain: false,
    blockedWritesMs: 0,
    estimateMs: 7_000,
    warnings: [],
    hash: '7f3a19'.padEnd(64, '0'),
    ...more,
  };
}

/** Entries as a store gives them back, one a second from `began` on. */
export function journalOf(...entries: readonly NewJournalEntry[]): readonly JournalEntry[] {
  return entries.map((entry, index) => ({ ...entry, seq: index + 1, at: began + index * 1_000 }));
}

export const rolledBack: readonly JournalEntry[] = journalOf(
  { type: 'run', status: 'running' },
  { type: 'step', step: 'web.switch', status: 'applying', attempt: 1 },
  { type: 'step', step: 'web.switch', status: 'applied', attempt: 1, output: {} },
  { type: 'step', step: 'web.switch', status: 'verified', attempt: 1, observed: 'r41 answers' },
  { type: 'step', step: 'vault.migrate-down', status: 'applying', attempt: 1 },
  {
    type: 'step',
    step: 'vault.migrate-down',
    status: 'failed',
    attempt: 1,
    error: { slug: 'database-locked', message: 'database-locked: pid 77 holds it' },
  },
  { type: 'step', step: 'vault.migrate-down', status: 'applying', attempt: 2 },
  {
    type: 'step',
    step: 'vault.migrate-down',
    status: 'applied',
    attempt: 2,
    output: {
      givenBack: 5,
      keptEdits: 3,
      archived: 212,
      archive: '/state/archives/0018.db',
      fingerprint: 'f',
    },
  },
  { type: 'step', step: 'vault.migrate-down', status: 'verified', attempt: 2, observed: 'schema 17' },
  { type: 'step', step: 'desktop.pull', status: 'applying', attempt: 1 },
  { type: 'step', step: 'desktop.pull', status: 'verified', attempt: 1, observed: 'offers 1.0.0' },
  { type: 'step', step: 'unship.notify', status: 'applying', attempt: 1 },
  {
    type: 'step',
    step: 'unship.notify',
    status: 'failed',
    attempt: 3,
    error: { slug: 'channel-failed', message: 'channel-failed: Slack: ECONNREFUSED' },
  },
  { type: 'run', status: 'done' },
);

export function release(id: 'r41' | 'r42'): Release {
  return {
    id,
    createdAt: began - 600_000,
    createdBy: 'ada',
    commit: id === 'r42' ? badCommit : goodCommit,
    deployment: id === 'r42' ? 'rolled-back' : 'live',
    health: id === 'r42' ? 'bad' : 'good',
    surfaces: {},
    configurationHash: 'c',
  };
}
