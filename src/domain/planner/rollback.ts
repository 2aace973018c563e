import type { Facts } from '../facts.ts';
import type { Json } from '../json.ts';
import { shortCommit } from '../names.ts';
import type { Plan, PlanKind, Refusal, Step } from '../plan.ts';
import {
  alreadyBackAt,
  commitsOf,
  findRelease,
  type History,
  isMadeOf,
  isQuarantined,
  isSameCode,
  lastGoodRelease,
  liveRelease,
  type QuarantinedCommit,
  type Release,
  type ReleaseId,
  releaseNumber,
  type SurfaceRelease,
  wayBackFrom,
} from '../release.ts';
import { regressionOf, regressionWarnings, securityFixesLost } from '../security-fix.ts';
import { finishPlan, refuse, step } from './builder.ts';
import { desktopChange, desktopSteps } from './desktop-move.ts';
import { currentRelease, releaseToLeave } from './leaving.ts';
import {
  decideOrder,
  explainOrder,
  holdWarnings,
  movementChanges,
  movementSteps,
  retireSteps,
} from './movement.ts';
import type { Before, Policy, RollbackRequest, UndoRequest } from './request.ts';
import { collectMoves, type Moves, schemaLabel } from './rollback-moves.ts';

export { schemaLabel } from './rollback-moves.ts';

/** The quarantine of any commit that the release is made of. */
function quarantineOf(history: History, release: Release): QuarantinedCommit | undefined {
  return commitsOf(release).flatMap((commit) => isQuarantined(history, commit) ?? [])[0];
}

/** Told before anything is looked at: what else is wrong here does not matter to a mistyped name. */
export function unknownRelease(id: ReleaseId): Refusal {
  return refuse('unknown-release', `there is no release ${id}`, [`release ${id}`], 'unship releases');
}

function chooseTarget(history: History, from: Release, request: RollbackRequest): Release | Refusal {
  if (request.to !== undefined) {
    const named = findRelease(history, request.to);
    if (named === undefined) return unknownRelease(request.to);
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
    const bad = quarantineOf(history, named);
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
      nameIt,
    );
  }
  const live = liveRelease(history);
  // Taking a half-finished release back means what serves now, proven or not, as long as it is not known to be bad.
  // The same for one that is taken back half-way.
  const stands = live !== undefined && live.health !== 'bad' && quarantineOf(history, live) === undefined;
  if (from.id !== live?.id && stands) return live;
  const isBackAt = alreadyBackAt(history, from, request.only);
  if (isBackAt !== undefined) {
    return refuse(
      'already-there',
      `${from.id} is made of what ${isBackAt.id} is made of: a rollback would change no code`,
      ['the name of the release to go to'],
      nameIt,
    );
  }
  return wayBackFrom(history, from, request.only) ?? noTarget(history, from);
}

const nameIt = 'to go back further, name it: unship rollback rN (see unship releases)';

/** Why there is nothing to go back to from here, and what helps. */
export function noTarget(history: History, from: Release): Refusal {
  const same = lastGoodRelease(history, from.id);
  const isFirst = releaseNumber(from.id) === 1;
  return refuse(
    'no-target',
    isFirst
      ? `${from.id} is the first release: there is nothing to go back to yet`
      : same === undefined
        ? `no release before ${from.id} has proven good`
        : `no good release before ${from.id} is of other code: ${same.id} has the same commits`,
    ['a last good release'],
    isFirst
      ? 'release a fix: unship release; from the second release on there is a way back'
      : 'name one you trust: unship rollback rN (see unship releases)',
  );
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

function json(value: Release['surfaces'] | Before): Json {
  return value as unknown as Json;
}

/** Where both stand now: the record that follows would lose it, and whoever undoes the run needs it. */
function before(history: History, from: Release, to: Release): Before {
  const commits = [from, to].flatMap(commitsOf);
  return {
    releases: Object.fromEntries(
      [from, to].map(({ id, deployment, health }) => [id, { deployment, health }]),
    ),
    quarantine: history.quarantine.filter(
      (entry) => entry.fixedBy === undefined && commits.includes(entry.commit),
    ),
  };
}

function recordTitle(
  from: Release,
  to: Release,
  context: {
    readonly kind: PlanKind;
    readonly only: readonly string[] | undefined;
    readonly quarantine: boolean;
    readonly restores: Before | undefined;
  },
): string {
  const { kind, only, restores } = context;
  if (only !== undefined) {
    const isForward = (kind === 'undo') === (restores === undefined);
    return `record ${only.join(', ')} of ${from.id} as taken ${isForward ? 'forward' : 'back'}`;
  }
  if (restores !== undefined) {
    const again = restores.quarantine.map((entry) => shortCommit(entry.commit)).join(', ');
    return `record ${to.id} as live${again === '' ? '' : `, quarantine ${again} again`}`;
  }
  if (kind === 'undo') return `record ${to.id} as live, lift its quarantine`;
  return context.quarantine && !isMadeOf(to, from.commit)
    ? `record ${to.id} as live, quarantine ${shortCommit(from.commit) || from.id}`
    : `record ${to.id} as live`;
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
    readonly quarantine: boolean;
    readonly only: readonly string[] | undefined;
    readonly before: Before;
    readonly restores: Before | undefined;
    readonly reason: string;
    readonly policy: Policy;
  },
): readonly Step[] {
  const { only } = context;
  const record = step({
    action: 'unship.record-rollback',
    title: recordTitle(from, to, context),
    input: {
      from: from.id,
      to: to.id,
      undo: context.kind === 'undo',
      quarantine: context.quarantine,
      only: only === undefined ? null : [...only],
      // What a limited rollback writes over: the way back to it. The record itself would lose it.
      replaced: only === undefined ? null : json(picked(from.surfaces, only)),
      restored: only === undefined ? null : json(picked(to.surfaces, only)),
      before: json(context.before),
      restores: context.restores === undefined ? null : json(context.restores),
      reason: context.reason,
    },
    after: context.moved,
    onFailure: 'block',
    estimateMs: 5,
  });
  const retire = retireSteps(moves.webs, {
    after: record.id,
    schemaChanges: context.schemaChanges,
    onFailure: 'block',
  });
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

/** What never served has fixed nothing yet. */
function fixesLost(from: Release, to: Release, facts: Facts): readonly ReleaseId[] {
  const serves =
    from.deployment !== 'pending' ||
    Object.values(facts.surfaces).some((seen) => seen.kind === 'web' && seen.live === from.id);
  return securityFixesLost(from, to).filter((id) => serves || id !== from.id);
}

function planMove(
  history: History,
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
  if (request.only !== undefined && moves.torn.length > 0) {
    return refuse(
      'surfaces-inseparable',
      `${request.only.join(', ')} can't go from ${from.id} to ${to.id} without the others`,
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
  const lost = fixesLost(from, to, facts);
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
      quarantine: request.kind === 'rollback' && request.quarantine !== false,
      only: request.only,
      before: before(history, from, to),
      restores: request.kind === 'undo' ? request.restores : undefined,
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
        ...regressionWarnings(lost),
        ...moves.warnings,
        ...(to.health === 'good' || request.kind === 'undo' ? [] : [`${to.id} has not proven good`]),
        ...(request.kind === 'rollback' && isSameCode(from, to, request.only)
          ? [sameCodeWarning(from, to)]
          : []),
        ...holdWarnings(order, moves.webs),
      ],
      ...regressionOf(lost),
      blockedWritesMs: movement.blockedWritesMs,
    },
    facts,
    policy,
  );
}

function sameCodeWarning(from: Release, to: Release): string {
  const commit = shortCommit(to.commit);
  return `${to.id} is the same code as ${from.id}${commit === '' ? '' : ` (${commit})`}: what is wrong with the one is wrong with the other`;
}

/** Takes the current release back. Total: every combination of facts gives a plan or a refusal that names what is missing. */
export function planRollback(
  history: History,
  facts: Facts,
  policy: Policy,
  request: RollbackRequest,
): Plan | Refusal {
  // Who names the release that was being left does not want to be rid of it.
  const isNamed = request.to !== undefined && request.to === request.unfinished?.leaving;
  const from = releaseToLeave(history, isNamed ? undefined : request.unfinished);
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
  return planMove(history, from, to, facts, policy, request);
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
  if (to === undefined) return unknownRelease(request.to);
  if (request.replaced !== undefined) {
    // A limited rollback left the release in place: its surfaces alone come back.
    const only = Object.keys(request.replaced).sort();
    const whole = { ...from, surfaces: { ...from.surfaces, ...request.replaced } };
    if (to.id === from.id) return planMove(history, from, whole, facts, policy, { ...request, only });
    return refuse(
      'plan-stale',
      `${from.id} followed ${to.id}`,
      [`${to.id} as the live release`],
      'unship status',
    );
  }
  if (to.id === from.id)
    return refuse('already-there', `${to.id} is what is live`, ['another run to undo'], 'unship runs');
  return planMove(history, from, to, facts, policy, request);
}
