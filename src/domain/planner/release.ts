import type { DatabaseFacts, DesktopFacts, Facts } from '../facts.ts';
import { shortCommit } from '../names.ts';
import type { Plan, Refusal, Step, SurfaceChange } from '../plan.ts';
import { type History, liveRelease, type Release } from '../release.ts';
import { finishPlan, refuse, step } from './builder.ts';
import { databaseDistance } from './database-strategy.ts';
import {
  type DatabaseMove,
  decideOrder,
  explainOrder,
  movementChanges,
  movementSteps,
  type Order,
  type WebMove,
} from './movement.ts';
import type { Policy, RehearsalRequest, ReleaseRequest } from './request.ts';
import { schemaLabel } from './rollback.ts';

interface DesktopRelease {
  readonly surface: string;
  readonly facts: DesktopFacts;
  readonly version: string;
}

interface ReleaseMoves {
  readonly webs: readonly WebMove[];
  readonly databases: readonly DatabaseMove[];
  readonly desktops: readonly DesktopRelease[];
  readonly missing: readonly string[];
}

function migrationProblems(surface: string, facts: DatabaseFacts): readonly string[] {
  const known = new Map(facts.migrations.map((migration) => [migration.version, migration]));
  return facts.pending.flatMap((version) => {
    const migration = known.get(version);
    if (migration === undefined) return [`${surface}: ${version} could not be read`];
    return migration.down === 'missing'
      ? [`${surface}: ${migration.name} has no down migration and is not marked restore-only`]
      : [];
  });
}

function collectMoves(
  history: History,
  facts: Facts,
  release: Release,
  changed: readonly string[],
): ReleaseMoves {
  const live = liveRelease(history);
  const webs: WebMove[] = [];
  const databases: DatabaseMove[] = [];
  const desktops: DesktopRelease[] = [];
  const missing: string[] = [];
  for (const name of [...changed].sort()) {
    const target = release.surfaces[name];
    const seen = facts.surfaces[name];
    if (target === undefined || seen === undefined) {
      missing.push(`${name}: could not be observed`);
    } else if (seen.kind === 'web') {
      const before = live?.surfaces[name];
      const current =
        seen.live === null
          ? null
          : before?.since === seen.live
            ? { release: before.since, commit: before.commit, artifact: before.artifact }
            : { release: seen.live, commit: '', artifact: null };
      // Whatever is on disk, staging is a step: it does nothing when the rehearsal has done it.
      const view = {
        ...seen,
        releases: { ...seen.releases, [release.id]: { readiness: 'rebuildable' as const } },
      };
      webs.push({
        surface: name,
        facts: view,
        target: { release: release.id, commit: target.commit, artifact: target.artifact },
        current,
      });
    } else if (seen.kind === 'database') {
      missing.push(...migrationProblems(name, seen));
      if (seen.pending.length === 0) continue;
      databases.push({
        distance: databaseDistance(name, seen, [...seen.applied, ...seen.pending]),
        strategy: 'migrate-up',
        release: release.id,
        commit: target.commit,
        from: null,
        estimateMs: seen.measurements.blockedMs['migrate-down'] ?? 300,
      });
    } else {
      if (seen.atCommit !== null && seen.atCommit !== seen.offered) {
        desktops.push({ surface: name, facts: seen, version: seen.atCommit });
      }
    }
  }
  return { webs, databases, desktops, missing };
}

function refusalOf(request: ReleaseRequest | RehearsalRequest, moves: ReleaseMoves): Refusal | undefined {
  const bad = request.quarantinedAncestors[0];
  if (bad !== undefined) {
    return refuse(
      'quarantined',
      `${shortCommit(request.release.commit)} contains ${shortCommit(bad)}, which was rolled back, and not its fix`,
      [`a fix or revert of ${shortCommit(bad)}`],
      `unship quarantine lift ${shortCommit(bad)} --fixed-by SHA`,
    );
  }
  if (moves.missing.length === 0) return undefined;
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
      commit: release.surfaces[move.surface]?.commit ?? release.commit,
      version: move.version,
      artifact: null,
    },
    after,
    onFailure,
    estimateMs: 500,
  });
}

/** Taken right before the migration, so that it lacks as few later writes as can be. */
function backups(
  databases: readonly DatabaseMove[],
  release: Release,
  after: readonly string[],
  onFailure: Step['onFailure'],
): readonly Step[] {
  return databases.map((move) =>
    step({
      surface: move.distance.surface,
      action: 'database.backup',
      title: 'back up, verified',
      input: { release: release.id },
      after,
      onFailure,
      estimateMs: Math.max(100, move.distance.facts.measurements.bytes / 200_000),
    }),
  );
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

/** A schema change that only new code can live with waits until the watch has ended healthy: it contracts. */
function splitContracting(
  order: Order,
  moves: ReleaseMoves,
): { readonly now: readonly DatabaseMove[]; readonly later: readonly DatabaseMove[] } {
  return order === 'web-first' ? { now: [], later: moves.databases } : { now: moves.databases, later: [] };
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
  const order = decideOrder(all.webs, moves.databases, 'database-first');
  const { now, later } = splitContracting(order, moves);
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
  if (request.phase !== 'finish') {
    const taken = add(...moves.desktops.map((move) => stageDesktop(move, release, gate, 'undo')));
    ready = [...gate, ...taken, ...add(...backups(now, release, gate, 'undo'))];
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
    if (movement.moved.length > 0) ready = movement.moved;
  }
  if (request.phase !== 'begin') {
    add(
      ...finishSteps(release, live, moves, all, {
        later,
        ready,
        policy,
        schemaChanges: now.length > 0 && order === 'hold',
      }),
    );
  }
  return finishPlan(
    {
      kind: 'release',
      from: live?.id ?? null,
      to: release.id,
      reason: request.reason,
      steps,
      changes: changesOf(all),
      why: explainOrder(order, moves.databases),
      options: [],
      warnings: restoreOnlyWarnings(moves),
      blockedWritesMs: 0,
    },
    facts,
    policy,
  );
}

function restoreOnlyWarnings(moves: ReleaseMoves): readonly string[] {
  return moves.databases.flatMap((move) => {
    const pending = new Set(move.distance.lacking);
    return move.distance.facts.migrations
      .filter((migration) => pending.has(migration.version) && migration.down === 'restore-only')
      .map((migration) => `${migration.name} is restore-only: going back loses what is written after it`);
  });
}

function finishSteps(
  release: Release,
  live: Release | undefined,
  moves: ReleaseMoves,
  all: ReleaseMoves,
  context: {
    readonly later: readonly DatabaseMove[];
    readonly ready: readonly string[];
    readonly policy: Policy;
    readonly schemaChanges: boolean;
  },
): readonly Step[] {
  const { policy } = context;
  const record = step({
    action: 'unship.record-live',
    title: `record ${release.id} as live`,
    input: { release: release.id, previous: live?.id ?? null },
    after: context.ready,
    onFailure: 'undo',
    estimateMs: 5,
  });
  const retire = moves.webs.flatMap((move) =>
    move.current === null
      ? []
      : [
          step({
            surface: move.surface,
            action: 'web.retire',
            title: `take ${move.current.release} out of the way`,
            input: { target: { ...move.current }, how: context.schemaChanges ? 'stop' : 'keep-warm' },
            after: [record.id],
            importance: 'best-effort',
            onFailure: 'undo',
          }),
        ],
  );
  const publish = (after: readonly string[]): readonly Step[] =>
    moves.desktops.map((move) =>
      step({
        surface: move.surface,
        action: 'desktop.publish',
        title: `publish ${move.version}`,
        input: {
          release: release.id,
          commit: release.surfaces[move.surface]?.commit ?? release.commit,
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
          }),
        ]
      : [];
  const watched = [record.id, ...early.map((item) => item.id), ...watch.map((item) => item.id)];
  const late = policy.desktop === 'after' ? publish(watched) : [];
  const savedLater = backups(context.later, release, watched, 'stop');
  const contract = movementSteps('only-database', [], context.later, {
    onFailure: 'stop',
    after: savedLater.length > 0 ? savedLater.map((item) => item.id) : watched,
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
  const prune = all.webs.map((move) =>
    step({
      surface: move.surface,
      action: 'web.prune',
      title: 'delete builds beyond those kept',
      input: {
        protect: [release.id, ...(live === undefined ? [] : [live.surfaces[move.surface]?.since ?? live.id])],
      },
      after: [good.id],
      importance: 'best-effort',
      onFailure: 'stop',
    }),
  );
  return [record, ...retire, ...early, ...watch, ...late, ...savedLater, ...contract.steps, good, ...prune];
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
