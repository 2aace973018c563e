import type { DatabaseArtifact, Facts } from '../facts.ts';
import type { Json } from '../json.ts';
import { shortCommit } from '../names.ts';
import type { Plan, PlanKind, Refusal, Step, Strategy, StrategyOption } from '../plan.ts';
import {
  findRelease,
  type History,
  isQuarantined,
  lastGoodRelease,
  liveRelease,
  type Release,
  releaseNumber,
  type SurfaceRelease,
} from '../release.ts';
import { finishPlan, refuse, step } from './builder.ts';
import { chooseStrategy, databaseDistance } from './database-strategy.ts';
import { type DesktopMove, desktopChange, desktopMove, desktopSteps } from './desktop-move.ts';
import {
  compatibility,
  type DatabaseMove,
  decideOrder,
  explainOrder,
  holdWarnings,
  movementChanges,
  movementSteps,
  type WebMove,
} from './movement.ts';
import type { Policy, RollbackRequest, UndoRequest } from './request.ts';

/** Ledger and schema that a release left behind; an unreadable artifact counts as an empty ledger. */
export function databaseArtifact(artifact: Json): DatabaseArtifact {
  const record = (typeof artifact === 'object' && artifact !== null ? artifact : {}) as {
    applied?: unknown;
    fingerprint?: unknown;
  };
  const applied = Array.isArray(record.applied)
    ? record.applied.filter((item) => typeof item === 'string')
    : [];
  return { applied, fingerprint: typeof record.fingerprint === 'string' ? record.fingerprint : '' };
}

/** A schema as people call it: its newest migration. */
export function schemaLabel(applied: readonly string[]): string {
  return applied.at(-1) ?? 'empty';
}

/** The release that is to be taken back: the live one, or a newer one that did not get that far. */
export function currentRelease(history: History): Release | undefined {
  const live = liveRelease(history);
  const pending = history.releases.find((release) => release.deployment === 'pending');
  if (pending === undefined) return live;
  return live === undefined || releaseNumber(pending.id) > releaseNumber(live.id) ? pending : live;
}

function chooseTarget(history: History, from: Release, request: RollbackRequest): Release | Refusal {
  if (request.to !== undefined) {
    const named = findRelease(history, request.to);
    if (named === undefined) {
      return refuse(
        'unknown-release',
        `there is no release ${request.to}`,
        [`release ${request.to}`],
        'unship releases',
      );
    }
    if (named.deployment === 'pending' || releaseNumber(named.id) > releaseNumber(from.id)) {
      return refuse(
        'no-target',
        named.deployment === 'pending'
          ? `${named.id} never served`
          : `${named.id} is newer than ${from.id}: a rollback only goes back`,
        [`a release before ${from.id}`],
        'unship undo brings back what a rollback took away; unship release goes forward',
      );
    }
    const commits = [named.commit, ...Object.values(named.surfaces).map((surface) => surface.commit)];
    const bad = commits.flatMap((commit) => (commit === '' ? [] : (isQuarantined(history, commit) ?? [])))[0];
    if (bad !== undefined) {
      return refuse(
        'quarantined',
        `${named.id} contains ${shortCommit(bad.commit)}, quarantined with ${bad.release}: ${bad.reason}`,
        ['a release that is not quarantined'],
        'unship releases',
      );
    }
    return named;
  }
  const rolledBackOver = history.releases.find(
    (release) =>
      release.deployment === 'rolled-back' &&
      release.health === 'bad' &&
      releaseNumber(release.id) > releaseNumber(from.id),
  );
  if (from.deployment === 'live' && rolledBackOver !== undefined) {
    return refuse(
      'already-there',
      `${from.id} is live since ${rolledBackOver.id} was rolled back`,
      ['the name of the release to go to'],
      'to go back further, name it: unship rollback rN (see unship releases)',
    );
  }
  const live = liveRelease(history);
  if (from.deployment === 'pending' && live?.health === 'good') return live;
  const target = lastGoodRelease(history, from.id);
  if (target !== undefined) return target;
  return refuse(
    'no-target',
    `no release before ${from.id} has proven good`,
    ['a last good release'],
    'name one you trust: unship rollback rN (see unship releases)',
  );
}

interface Moves {
  readonly webs: readonly WebMove[];
  readonly databases: readonly DatabaseMove[];
  readonly desktops: readonly DesktopMove[];
  readonly options: readonly StrategyOption[];
  readonly warnings: readonly string[];
  readonly missing: readonly string[];
  /** What a limit to some surfaces would tear apart. */
  readonly torn: readonly string[];
}

/** A limited rollback leaves the other surfaces as they are: what moves has to run with what stays. */
function tornApart(
  to: Release,
  facts: Facts,
  only: readonly string[] | undefined,
  databases: readonly DatabaseMove[],
): readonly string[] {
  if (only === undefined) return [];
  const targets = Object.entries(to.surfaces);
  // Webs that serve the target already are on its side; of one that serves nothing known, nothing is known.
  const older = targets.flatMap(([name, target]) => {
    const seen = facts.surfaces[name];
    return seen?.kind === 'web' && seen.live !== target.since ? [{ name, live: seen.live }] : [];
  });
  const moving = older.filter(({ name }) => only.includes(name));
  const staying = older.filter(({ name, live }) => !only.includes(name) && live !== null);
  const left = databases.flatMap(({ distance }) =>
    staying.flatMap(({ name }) =>
      compatibility(distance).reasons.currentRunsAfter.map(
        (reason) => `${distance.surface} needs ${name} to go with it: ${reason}`,
      ),
    ),
  );
  const behind = targets.flatMap(([name, target]) => {
    const seen = facts.surfaces[name];
    if (only.includes(name) || seen?.kind !== 'database') return [];
    const distance = databaseDistance(name, seen, databaseArtifact(target.artifact).applied);
    return moving.flatMap((web) =>
      compatibility(distance).reasons.targetRunsBefore.map(
        (reason) => `${web.name} needs ${name} to go with it: ${reason}`,
      ),
    );
  });
  return [...new Set([...left, ...behind])];
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function collectMoves(
  from: Release,
  to: Release,
  facts: Facts,
  only: readonly string[] | undefined,
  asked: Strategy | undefined,
): Moves {
  const webs: WebMove[] = [];
  const databases: DatabaseMove[] = [];
  const desktops: DesktopMove[] = [];
  const options: StrategyOption[] = [];
  const warnings: string[] = [];
  const missing: string[] = [];
  for (const [name, target] of Object.entries(to.surfaces).sort(byName)) {
    if (only !== undefined && !only.includes(name)) continue;
    const current = from.surfaces[name];
    const seen = facts.surfaces[name];
    if (seen === undefined || seen.kind !== target.kind) {
      missing.push(`${name}: could not be observed`);
      continue;
    }
    if (seen.kind === 'web') {
      if (seen.live === target.since) continue;
      const readiness = seen.releases[target.since];
      if (readiness === undefined || readiness.readiness === 'gone') {
        missing.push(
          `${name}: ${target.since} can't be brought back: ${readiness?.reason ?? 'nothing is known of it'}`,
        );
        continue;
      }
      webs.push({
        surface: name,
        facts: seen,
        target: { release: target.since, commit: target.commit, artifact: target.artifact },
        current:
          seen.live === null
            ? null
            : seen.live === current?.since
              ? { release: current.since, commit: current.commit, artifact: current.artifact }
              : { release: seen.live, commit: '', artifact: null },
      });
    } else if (seen.kind === 'database') {
      const distance = databaseDistance(name, seen, databaseArtifact(target.artifact).applied);
      const choice = chooseStrategy(distance, asked);
      options.push(...choice.options);
      if (choice.chosen === null) missing.push(...choice.missing);
      else if (choice.chosen !== 'none' && choice.chosen !== 'keep-schema') {
        const chosen = choice.options.find((option) => option.verdict === 'chosen');
        databases.push({
          distance,
          strategy: choice.chosen,
          release: target.since,
          commit: target.commit,
          from: current === undefined ? null : { release: current.since, commit: current.commit },
          estimateMs: chosen?.estimateMs ?? 500,
        });
      }
    } else {
      const move = desktopMove(name, seen, target, current);
      desktops.push(...move.moves);
      warnings.push(...move.warnings);
    }
  }
  for (const name of Object.keys(from.surfaces).sort()) {
    if (only !== undefined || to.surfaces[name] !== undefined) continue;
    warnings.push(`${name} came after ${to.id} and stays as it is`);
  }
  return {
    webs,
    databases,
    desktops,
    options,
    warnings,
    missing,
    torn: tornApart(to, facts, only, databases),
  };
}

function picked(
  surfaces: Release['surfaces'],
  names: readonly string[],
): { readonly [name: string]: SurfaceRelease } {
  return Object.fromEntries(
    names.flatMap((name) => {
      const surface = surfaces[name];
      return surface === undefined ? [] : [[name, surface]];
    }),
  );
}

function json(surfaces: Release['surfaces']): Json {
  return surfaces as unknown as Json;
}

function recordTitle(
  from: Release,
  to: Release,
  kind: PlanKind,
  only: readonly string[] | undefined,
): string {
  if (only !== undefined)
    return `record ${only.join(', ')} of ${from.id} as taken ${kind === 'undo' ? 'forward' : 'back'}`;
  if (kind === 'undo') return `record ${to.id} as live, lift its quarantine`;
  return `record ${to.id} as live, quarantine ${shortCommit(from.commit) || from.id}`;
}

/** The records and messages that follow, once everything is where it should be. */
function aftermath(
  from: Release,
  to: Release,
  moves: Moves,
  context: {
    readonly moved: readonly string[];
    readonly required: readonly string[];
    readonly schemaChanges: boolean;
    readonly kind: PlanKind;
    readonly only: readonly string[] | undefined;
    readonly reason: string;
    readonly policy: Policy;
  },
): readonly Step[] {
  const { only } = context;
  const record = step({
    action: 'unship.record-rollback',
    title: recordTitle(from, to, context.kind, only),
    input: {
      from: from.id,
      to: to.id,
      undo: context.kind === 'undo',
      only: only === undefined ? null : [...only],
      // What a limited rollback writes over: the way back to it. The record itself would lose it.
      replaced: only === undefined ? null : json(picked(from.surfaces, only)),
      restored: only === undefined ? null : json(picked(to.surfaces, only)),
      before: { from: from.deployment, to: to.deployment },
      reason: context.reason,
    },
    after: context.moved,
    onFailure: 'block',
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
            onFailure: 'block',
          }),
        ],
  );
  const all = [...context.required, record.id];
  const messages = [
    ...(context.kind === 'undo'
      ? []
      : [
          step({
            action: 'unship.incident',
            title: 'draft the incident',
            input: { from: from.id, to: to.id },
            after: all,
            importance: 'best-effort',
            onFailure: 'block',
          }),
        ]),
    ...(context.policy.notifyTeam
      ? [
          step({
            action: 'unship.notify',
            title: 'tell the team',
            input: { message: context.kind === 'undo' ? 'undone' : 'rolled-back', from: from.id, to: to.id },
            after: all,
            importance: 'best-effort',
            onFailure: 'block',
            estimateMs: 500,
          }),
        ]
      : []),
  ];
  return [record, ...retire, ...messages];
}

function planMove(
  from: Release,
  to: Release,
  facts: Facts,
  policy: Policy,
  request: RollbackRequest | UndoRequest,
): Plan | Refusal {
  const asked = request.kind === 'rollback' ? request.strategy : undefined;
  const unknown = (request.only ?? []).filter((name) => to.surfaces[name] === undefined);
  if (unknown.length > 0) {
    return refuse(
      'unknown-surface',
      `${to.id} has no surface ${unknown.join(', ')}`,
      unknown,
      `surfaces: ${Object.keys(to.surfaces).join(', ')}`,
    );
  }
  const moves = collectMoves(from, to, facts, request.only, asked);
  if (moves.missing.length > 0) {
    return refuse(
      'target-gone',
      `there is no way from ${from.id} to ${to.id}`,
      moves.missing,
      'unship plan rN for another release',
    );
  }
  if (moves.torn.length > 0) {
    return refuse(
      'surfaces-inseparable',
      `${(request.only ?? []).join(', ')} can't go from ${from.id} to ${to.id} without the others`,
      moves.torn,
      'repeat it without --only, or name the missing surface as well',
    );
  }
  const order = decideOrder(
    moves.webs,
    moves.databases,
    request.kind === 'rollback' ? 'web-first' : 'database-first',
  );
  const approval = policy.approvals.includes('rollback')
    ? [
        step({
          action: 'unship.approval',
          title: 'wait for an approval',
          input: { kind: request.kind },
          onFailure: 'block',
          estimateMs: 0,
        }),
      ]
    : [];
  const gate = approval.map((item) => item.id);
  const movement = movementSteps(order, moves.webs, moves.databases, { onFailure: 'block', after: gate });
  const moved = movement.moved.length > 0 ? movement.moved : gate;
  const desktop = desktopSteps(moves.desktops, { gate, moved });
  const core = [...approval, ...movement.steps, ...desktop];
  const required = core.filter((item) => item.importance === 'required').map((item) => item.id);
  const steps = [
    ...core,
    ...aftermath(from, to, moves, {
      moved,
      required,
      schemaChanges: moves.databases.length > 0,
      kind: request.kind,
      only: request.only,
      reason: request.reason,
      policy,
    }),
  ];
  return finishPlan(
    {
      kind: request.kind,
      from: from.id,
      to: to.id,
      reason: request.reason,
      steps,
      changes: [
        ...movementChanges(moves.webs, moves.databases, {
          schema: (_facts, applied) => schemaLabel(applied),
        }),
        ...moves.desktops.map(desktopChange),
      ],
      why: explainOrder(order, moves.databases),
      options: moves.options,
      warnings: [
        ...moves.warnings,
        ...(to.health === 'good' || request.kind === 'undo' ? [] : [`${to.id} has not proven good`]),
        ...holdWarnings(order, moves.webs),
      ],
      blockedWritesMs: movement.blockedWritesMs,
    },
    facts,
    policy,
  );
}

/** Takes the current release back. Total: every combination of facts gives a plan or a refusal that names what is missing. */
export function planRollback(
  history: History,
  facts: Facts,
  policy: Policy,
  request: RollbackRequest,
): Plan | Refusal {
  const from = currentRelease(history);
  if (from === undefined)
    return refuse('not-live', 'nothing is released here', ['a live release'], 'unship init');
  const to = chooseTarget(history, from, request);
  if ('refused' in to) return to;
  if (to.id === from.id) {
    return refuse(
      'already-there',
      `${to.id} is what is live`,
      ['another release to go to'],
      'unship releases',
    );
  }
  return planMove(from, to, facts, policy, request);
}

/** Brings back what a rollback took away. Quarantine does not stop it: a person asked for exactly this release. */
export function planUndo(
  history: History,
  facts: Facts,
  policy: Policy,
  request: UndoRequest,
): Plan | Refusal {
  const from = currentRelease(history);
  const to = findRelease(history, request.to);
  if (from === undefined)
    return refuse('not-live', 'nothing is released here', ['a live release'], 'unship init');
  if (to === undefined) {
    return refuse(
      'unknown-release',
      `there is no release ${request.to}`,
      [`release ${request.to}`],
      'unship releases',
    );
  }
  if (request.replaced !== undefined) {
    // A limited rollback left the release in place: its surfaces alone come back.
    const only = Object.keys(request.replaced).sort();
    const whole = { ...from, surfaces: { ...from.surfaces, ...request.replaced } };
    if (to.id === from.id) return planMove(from, whole, facts, policy, { ...request, only });
    return refuse(
      'plan-stale',
      `${from.id} followed ${to.id}`,
      [`${to.id} as the live release`],
      'unship status',
    );
  }
  if (to.id === from.id)
    return refuse('already-there', `${to.id} is what is live`, ['another run to undo'], 'unship runs');
  return planMove(from, to, facts, policy, request);
}
