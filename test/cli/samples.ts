import type { Plan, Step } from '../../src/domain/plan.ts';
import type { Release } from '../../src/domain/release.ts';
import type { RunResult, StatusReport } from '../../src/domain/report.ts';

/** Half past two in the afternoon, wherever the test runs. */
export const afternoon: number = new Date(2026, 2, 2, 14, 31, 7).getTime();

export function sampleStep(id: string, more: Partial<Step> = {}): Step {
  return {
    id,
    surface: id.split('.')[0] ?? '',
    action: id,
    input: null,
    after: [],
    importance: 'required',
    onFailure: 'block',
    estimateMs: 2000,
    pointOfNoReturn: false,
    title: `does ${id}`,
    timeoutMs: 60_000,
    ...more,
  };
}

export function samplePlan(more: Partial<Plan> = {}): Plan {
  return {
    schema: 'unship.plan/1',
    kind: 'rollback',
    application: 'vault',
    environment: 'production',
    from: 'r42',
    to: 'r41',
    reason: '',
    steps: [
      sampleStep('freeze.lock', { estimateMs: 200 }),
      sampleStep('database.migrate-down', { after: ['freeze.lock'] }),
      sampleStep('web.switch', { after: ['database.migrate-down'], estimateMs: 100 }),
      sampleStep('desktop.publish-standby', {
        after: ['web.switch'],
        pointOfNoReturn: true,
        title: 'publishing 1.1.1',
        estimateMs: 4000,
      }),
    ],
    changes: [
      {
        surface: 'web',
        kind: 'web',
        now: 'r42',
        after: 'r41',
        what: 'switch to the warm release',
        estimateMs: 90,
      },
      {
        surface: 'desktop',
        kind: 'desktop',
        now: '1.1.0',
        after: '1.1.1',
        what: "halt; r41's code out as 1.1.1",
        estimateMs: 4000,
      },
      {
        surface: 'database',
        kind: 'database',
        now: '18',
        after: '17',
        what: 'archive, then migrate-down 0018',
        estimateMs: 2000,
      },
    ],
    why: ['r41 cannot run on schema 18: it reads entries.mood'],
    options: [
      {
        surface: 'database',
        strategy: 'keep-schema',
        verdict: 'impossible',
        reason: 'see Why',
        estimateMs: 0,
        risk: null,
      },
      {
        surface: 'database',
        strategy: 'migrate-down',
        verdict: 'chosen',
        reason: '',
        estimateMs: 2000,
        risk: null,
      },
      {
        surface: 'database',
        strategy: 'restore',
        verdict: 'possible',
        reason: '',
        estimateMs: 9000,
        risk: {
          tables: [
            { table: 'entries', kept: 0, archived: 0, lost: 1368, editedSince: 0 },
            { table: 'users', kept: 0, archived: 0, lost: 24, editedSince: 0 },
          ],
          dropped: [],
          exact: true,
        },
      },
    ],
    risk: {
      tables: [{ table: 'entries', kept: 1392, archived: 212, lost: 0, editedSince: 0 }],
      dropped: ['entries.mood'],
      exact: true,
    },
    rowsLost: 0,
    lossUncertain: false,
    blockedWritesMs: 2300,
    estimateMs: 7000,
    warnings: [],
    hash: '7f3a19'.padEnd(64, '0'),
    ...more,
  };
}

/** The same rollback, as it is when nothing but the backup is left. */
export function losingPlan(): Plan {
  return samplePlan({
    rowsLost: 1392,
    hash: 'c0ffee'.padEnd(64, '0'),
    risk: {
      tables: [
        { table: 'entries', kept: 0, archived: 0, lost: 1368, editedSince: 0 },
        { table: 'users', kept: 0, archived: 0, lost: 24, editedSince: 0 },
      ],
      dropped: [],
      exact: true,
    },
  });
}

export function sampleRelease(id: `r${number}`, more: Partial<Release> = {}): Release {
  return {
    id,
    createdAt: afternoon - 3_600_000,
    createdBy: 'alex',
    commit: id === 'r42' ? '9c1e0f2'.padEnd(40, '0') : '4ab77d1'.padEnd(40, '0'),
    deployment: id === 'r42' ? 'live' : 'superseded',
    health: id === 'r42' ? 'bad' : 'good',
    surfaces: {
      web: { kind: 'web', commit: '9c1e0f2'.padEnd(40, '0'), artifact: null, label: '9c1e0f2', since: id },
      desktop: {
        kind: 'desktop',
        commit: '4ab77d1'.padEnd(40, '0'),
        artifact: null,
        label: '1.1.0',
        since: 'r40',
      },
    },
    configurationHash: 'ab'.repeat(32),
    ...more,
  };
}

export function sampleResult(more: Partial<RunResult> = {}): RunResult {
  return {
    schema: 'unship.run/1',
    run: 58,
    kind: 'rollback',
    status: 'done',
    from: 'r42',
    to: 'r41',
    ms: 7100,
    observed: ['web r41', 'schema 17', 'feed offers 1.1.1'],
    requests: { failed: 0, total: 2040, heldMs: 2300 },
    data: { kept: 1392, archived: 212, lost: 0 },
    notDone: ['users not told: no channel configured'],
    open: ['r42 quarantined', 'deploys locked'],
    next: [{ command: 'unship incident show 12' }, { command: 'unship undo 58', note: 'brings r42 back' }],
    ...more,
  };
}

export function sampleStatus(more: Partial<StatusReport> = {}): StatusReport {
  return {
    schema: 'unship.status/1',
    application: 'vault',
    environment: 'production',
    live: { release: 'r42', health: 'bad', commit: '9c1e0f2'.padEnd(40, '0'), since: afternoon - 360_000 },
    wayBack: { from: 'r42', to: 'r41', estimateMs: 7000, rowsLost: 0, exact: true },
    surfaces: [
      { surface: 'web', now: 'r42', text: '5.1 % of requests fail (r41: 0.2 %)' },
      { surface: 'desktop', now: '1.1.0', text: 'at 10 %, 37 desktops' },
      { surface: 'database', now: '18', text: 'backup 14:24, verified' },
    ],
    runs: [],
    holder: null,
    open: [],
    next: { command: 'unship plan' },
    ...more,
  };
}
