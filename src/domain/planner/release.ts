import type { Facts } from '../facts.ts';
import { shortCommit } from '../names.ts';
import type { Plan, Refusal, Step, SurfaceChange } from '../plan.ts';
import { type History, isSameCode, liveRelease, type Release, wayBackFrom } from '../release.ts';
import { regressionOf, regressionWarnings, securityFixesLost } from '../security-fix.ts';
import { actions } from './actions.ts';
import { finishPlan, refuse, step } from './builder.ts';
import {
  compatibility,
  type DatabaseMove,
  decideOrder,
  explainOrder,
  holdWarnings,
  movementChanges,
  movementSteps,
  type Order,
  retireSteps,
  type WebMove,
} from './movement.ts';
import { collectMoves, type DesktopRelease, type ReleaseMoves, schedule } from './release-moves.ts';
import type { Policy, RehearsalRequest, ReleaseRequest } from './request.ts';
import { schemaLabel } from './rollback-moves.ts';

function refusalOf(request: ReleaseRequest | RehearsalRequest, moves: ReleaseMoves): Refusal | undefined {
  const bad = request.quarantinedAncestors[0];
  if (bad !== undefined) {
    const { commit } = request.release;
    const is = commit === bad ? 'is' : `contains ${shortCommit(bad)}, which is`;
    return refuse(
      'quarantined',
      `${shortCommit(commit)} ${is} quarantined since it was rolled back; it lacks a fix or revert of ${shortCommit(bad)}`,
      [`a fix or revert of ${shortCommit(bad)}`],
      `unship quarantine lift ${shortCommit(bad)} --fixed-by SHA`,
    );
  }
  if (moves.missing.length === 0) {
    if (moves.torn.length === 0) return undefined;
    return refuse(
      'surfaces-inseparable',
      `${request.changed.join(', ')} can't be released without the others`,
      moves.torn,
      'repeat it without --only, or name the missing surface as well',
    );
  }
  return refuse(
    moves.missing.some((item) => item.includes('no down migration')) ? 'no-down-migration' : 'target-gone',
    `${request.release.id} (${shortCommit(request.release.commit)}) can't be released: it would have no way back`,
    moves.missing,
    'write the down migration, or mark the migration `-- unship: restore-only`',
  );
}

function stageDesktop(
  move: DesktopRelease,
  release: Release,
  after: readonly string[],
  onFailure: Step['onFailure'],
): Step {
  return step({
    surface: move.surface,
    action: 'desktop.stage',
    title: `take in ${move.version}`,
    input: {
      release: release.id,
      commit: move.commit,
      version: move.version,
      artifact: null,
    },
    after,
    onFailure,
    estimateMs: 500,
  });
}

function changesOf(moves: ReleaseMoves): readonly SurfaceChange[] {
  return [
    ...movementChanges(moves.webs, moves.databases, {
      schema: (_facts, applied) => schemaLabel(applied),
    }).map((change) => (change.kind === 'web' ? { ...change, what: 'build, start, check, switch' } : change)),
    ...moves.desktops.map(
      (move): SurfaceChange => ({
        surface: move.surface,
        kind: 'desktop',
        now: move.facts.offered ?? 'nothing',
        after: move.version,
        what: `publish ${move.version}`,
        estimateMs: 500,
      }),
    ),
  ];
}

function explainLater(later: readonly DatabaseMove[]): readonly string[] {
  return later.flatMap(({ distance }) =>
    compatibility(distance).reasons.currentRunsAfter.map(
      (reason) => `${distance.lacking.join(', ')} waits for the end of the watch: ${reason}`,
    ),
  );
}

/** Releases a commit: checks of the way back, backup, expanding migrations, web, watch, desktop, contracting migrations. */
export function planRelease(
  history: History,
  facts: Facts,
  policy: Policy,
  request: ReleaseRequest,
): Plan | Refusal {
  const { release } = request;
  const live = liveRelease(history);
  const all = collectMoves(history, facts, release, request.changed);
  // Between `begin` and `finish` the team's own CI deploys the web surfaces.
  const moves: ReleaseMoves = request.phase === 'whole' ? all : { ...all, webs: [] };
  const refusal = refusalOf(request, moves);
  if (refusal !== undefined) return refusal;
  const { now, later } = schedule(all);
  const order = decideOrder(all.webs, now, 'database-first');
  let blockedWritesMs = 0;
  const steps: Step[] = [];
  const add = (...items: readonly Step[]): readonly string[] => {
    steps.push(...items);
    return items.map((item) => item.id);
  };
  const gate =
    policy.approvals.includes('release') && request.phase !== 'finish'
      ? add(
          step({
            action: 'unship.approval',
            title: 'wait for an approval',
            input: { kind: 'release' },
            onFailure: 'undo',
            estimateMs: 0,
          }),
        )
      : [];
  let ready = gate;
  // Where the team's CI has switched the web, what was to come before it and is still pending comes at once.
  if (request.phase !== 'finish' || now.length > 0) {
    const staged = request.phase === 'finish' ? [] : moves.desktops;
    const taken = add(...staged.map((move) => stageDesktop(move, release, gate, 'undo')));
    ready = [...gate, ...taken];
    const movement = movementSteps(
      moves.webs.length === 0 && now.length > 0 ? 'only-database' : order,
      moves.webs,
      now,
      {
        onFailure: 'undo',
        after: ready,
      },
    );
    add(...movement.steps);
    blockedWritesMs += movement.blockedWritesMs;
    if (movement.moved.length > 0) ready = movement.moved;
  }
  if (request.phase !== 'begin') {
    const good = wayBackFrom(history, release);
    const finish = finishSteps(release, { live, good }, moves, all, {
      later,
      ready,
      policy,
      schemaChanges: now.length > 0 && order === 'hold',
    });
    add(...finish.steps);
    blockedWritesMs += finish.blockedWritesMs;
  }
  // What `begin` was allowed need not be asked of `finish`.
  const lost = request.phase === 'finish' || live === undefined ? [] : securityFixesLost(live, release);
  return finishPlan(
    {
      kind: 'release',
      from: live?.id ?? null,
      to: release.id,
      reason: request.reason,
      steps,
      changes: changesOf(all),
      why: [...explainOrder(order, now), ...explainLater(all.webs.length === 0 ? [] : later)],
      options: [],
      warnings: [
        ...sameCodeWarnings(live, release),
        ...regressionWarnings(lost),
        ...restoreOnlyWarnings(moves),
        ...releaseHoldWarnings(request.phase, order, all.webs),
      ],
      ...regressionOf(lost),
      blockedWritesMs,
    },
    facts,
    policy,
  );
}

function releaseHoldWarnings(
  phase: ReleaseRequest['phase'],
  order: Order,
  webs: readonly WebMove[],
): readonly string[] {
  if (phase === 'whole') return holdWarnings(order, webs);
  if (phase === 'finish' || order !== 'hold') return [];
  return ['the old code meets the new schema until your CI has deployed: it does not run on it'];
}

function restoreOnlyWarnings(moves: ReleaseMoves): readonly string[] {
  return moves.databases.flatMap((move) => {
    const pending = new Set(move.distance.lacking);
    return move.distance.facts.migrations
      .filter((migration) => pending.has(migration.version) && migration.down === 'restore-only')
      .map((migration) => `${migration.name} is restore-only: going back loses what is written after it`);
  });
}

/** A repeated deploy proves nothing about the code, and is no way back from it. */
function sameCodeWarnings(live: Release | undefined, release: Release): readonly string[] {
  if (live === undefined || !isSameCode(live, release)) return [];
  return [
    `${release.id} is the same code as ${live.id} (${shortCommit(release.commit)}): a rollback goes to what was before both`,
  ];
}

function finishSteps(
  release: Release,
  before: { readonly live: Release | undefined; readonly good: Release | undefined },
  moves: ReleaseMoves,
  all: ReleaseMoves,
  context: {
    readonly later: readonly DatabaseMove[];
    readonly ready: readonly string[];
    readonly policy: Policy;
    readonly schemaChanges: boolean;
  },
): { readonly steps: readonly Step[]; readonly blockedWritesMs: number } {
  const { policy } = context;
  const { live, good: lastGood } = before;
  const record = step({
    action: 'unship.record-live',
    title: `record ${release.id} as live`,
    input: { release: release.id, previous: live?.id ?? null },
    after: context.ready,
    onFailure: 'undo',
    estimateMs: 5,
  });
  const retire = retireSteps(moves.webs, {
    after: record.id,
    schemaChanges: context.schemaChanges,
    onFailure: 'undo',
  });
  const publish = (after: readonly string[]): readonly Step[] =>
    moves.desktops.map((move) =>
      step({
        surface: move.surface,
        action: 'desktop.publish',
        title: `publish ${move.version}`,
        input: {
          release: release.id,
          commit: move.commit,
          version: move.version,
          previous: move.facts.offered,
        },
        after,
        onFailure: 'undo',
        estimateMs: 500,
        pointOfNoReturn: true,
      }),
    );
  const early = policy.desktop === 'during' ? publish([record.id]) : [];
  const watch =
    policy.bakeMs > 0
      ? [
          step({
            action: 'unship.watch',
            title: 'watch',
            input: { release: release.id, bakeMs: policy.bakeMs },
            after: [record.id, ...early.map((item) => item.id)],
            onFailure: 'stop',
            estimateMs: policy.bakeMs,
            timeoutMs: Math.max(actions['unship.watch'].timeoutMs, 2 * policy.bakeMs),
          }),
        ]
      : [];
  const watched = [record.id, ...early.map((item) => item.id), ...watch.map((item) => item.id)];
  const late = policy.desktop === 'after' ? publish(watched) : [];
  const contract = movementSteps('only-database', [], context.later, {
    onFailure: 'stop',
    after: watched,
    suffix: 'contract',
  });
  const done = [...watched, ...late.map((item) => item.id), ...contract.moved];
  const good = step({
    action: 'unship.record-good',
    title: `record ${release.id} as ${policy.bakeMs > 0 ? 'good' : 'released, unproven'}`,
    input: { release: release.id, proven: policy.bakeMs > 0 },
    after: done,
    onFailure: 'stop',
    estimateMs: 5,
  });
  const kept = [live, lastGood].filter((item) => item !== undefined);
  const prune = all.webs.map((move) =>
    step({
      surface: move.surface,
      action: 'web.prune',
      title: 'delete builds beyond those kept',
      input: {
        protect: [release.id, ...kept.map((item) => item.surfaces[move.surface]?.since ?? item.id)],
      },
      after: [good.id],
      importance: 'best-effort',
      onFailure: 'stop',
    }),
  );
  return {
    steps: [record, ...retire, ...early, ...watch, ...late, ...contract.steps, good, ...prune],
    blockedWritesMs: contract.blockedWritesMs,
  };
}

/** Builds what the release needs, then releases and rolls back on a copy. */
export function planRehearsal(
  history: History,
  facts: Facts,
  policy: Policy,
  request: RehearsalRequest,
): Plan | Refusal {
  const { release } = request;
  const moves = collectMoves(history, facts, release, request.changed);
  const refusal = refusalOf(request, moves);
  if (refusal !== undefined) return refusal;
  const stages = [
    ...moves.webs.map((move) =>
      step({
        surface: move.surface,
        action: 'web.stage',
        title: `check out and build ${shortCommit(move.target.commit)}`,
        input: { ...move.target },
        onFailure: 'stop',
        estimateMs: move.facts.measurements.buildMs || 10_000,
      }),
    ),
    ...moves.desktops.map((move) => stageDesktop(move, release, [], 'stop')),
  ];
  const rehearse = step({
    action: 'unship.rehearse',
    title: 'release and roll back on a copy',
    input: { release: release.id, changed: [...request.changed] },
    after: stages.map((item) => item.id),
    onFailure: 'stop',
    estimateMs: 5000,
  });
  return finishPlan(
    {
      kind: 'rehearsal',
      from: liveRelease(history)?.id ?? null,
      to: release.id,
      reason: 'rehearsal',
      steps: [...stages, rehearse],
      changes: changesOf(moves),
      why: [],
      options: [],
      warnings: restoreOnlyWarnings(moves),
      blockedWritesMs: 0,
    },
    facts,
    policy,
  );
}
