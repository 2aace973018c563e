import type { Json } from '../json.ts';
import { shortCommit } from '../names.ts';
import type { PlanKind, Step } from '../plan.ts';
import { commitsOf, type History, isMadeOf, type Release, type SurfaceRelease } from '../release.ts';
import { step } from './builder.ts';
import { retireSteps } from './movement.ts';
import type { Before, Policy } from './request.ts';
import type { Moves } from './rollback-moves.ts';

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
export function before(history: History, from: Release, to: Release): Before {
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
export function aftermath(
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
      ...(Object.keys(moves.schemas).length === 0 ? {} : { schemas: moves.schemas as unknown as Json }),
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
