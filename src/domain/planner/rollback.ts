import type { Facts } from '../facts.ts';
import { shortCommit } from '../names.ts';
import type { Plan, Refusal } from '../plan.ts';
import { findRelease, type History, isSameCode, type Release, type ReleaseId } from '../release.ts';
import { regressionOf, regressionWarnings, securityFixesLost } from '../security-fix.ts';
import { aftermath, before } from './aftermath.ts';
import { finishPlan, refuse, step } from './builder.ts';
import { desktopChange, desktopSteps } from './desktop-move.ts';
import { currentRelease, releaseToLeave } from './leaving.ts';
import {
  decideOrder,
  explainOrder,
  holdWarnings,
  movementChanges,
  movementSteps,
  resumeSteps,
} from './movement.ts';
import type { Policy, RollbackRequest, UndoRequest } from './request.ts';
import { collectMoves, schemaLabel } from './rollback-moves.ts';
import { chooseTarget, unknownRelease } from './rollback-target.ts';

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
  const resumed = resumeSteps(moves.staying, { after: moved, onFailure: 'block' });
  const core = [...approval, ...movement.steps, ...resumed, ...desktop];
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
