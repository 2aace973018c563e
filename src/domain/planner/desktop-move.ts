import type { DesktopFacts } from '../facts.ts';
import type { Step, SurfaceChange } from '../plan.ts';
import type { SurfaceRelease } from '../release.ts';
import { compareVersions, isVersion } from '../version.ts';
import { step } from './builder.ts';

/** A desktop feed that has to offer `good`, the version of the release to go to. */
export type DesktopMove =
  | {
      readonly how: 'pull';
      readonly surface: string;
      readonly bad: string;
      readonly good: string;
      /** The good code under a higher version, when it is ready. */
      readonly standby: string | null;
    }
  | {
      readonly how: 'unpull';
      readonly surface: string;
      /** The version offered now; null when the feed is empty. */
      readonly offered: string | null;
      readonly good: string;
    };

/**
 * What the feed has to do for `target` to be what clients are offered and `leaving` to be withdrawn. The feed may
 * be half-way already: a halt by a guard, or by a run that was blocked, offers the good version and leaves
 * clients on the bad one where they are.
 */
export function desktopMove(
  surface: string,
  facts: DesktopFacts,
  target: SurfaceRelease,
  leaving: SurfaceRelease | undefined,
): { readonly moves: readonly DesktopMove[]; readonly warnings: readonly string[] } {
  const { offered } = facts;
  const isLeft = (version: string): boolean => version === leaving?.label && version !== target.label;
  const isTarget = (version: string): boolean =>
    version === target.label || (target.commit !== '' && facts.versions[version]?.commit === target.commit);
  const left = Object.keys(facts.versions).find(isLeft);
  const good = standing(facts, (version) => isTarget(version) && !isLeft(version)) ?? target.label;
  const known = facts.versions[good];
  const settled = offered !== null && isTarget(offered);
  const withdrawn = left === undefined || facts.versions[left]?.status === 'pulled';
  // Pulled, and nothing above it is out: a run was stopped before its hotfix, or none was ready then.
  const strands = left !== undefined && offered !== null && isAbove(left, offered);
  if (settled && withdrawn && !strands) return { moves: [], warnings: [] };
  if (known === undefined) {
    return { moves: [], warnings: [`${surface}: ${good} was never published here; the feed stays as it is`] };
  }
  const bad = left ?? offered;
  // Where there is nothing to pull, what stood before is offered again.
  if (bad === null || (!settled && (known.status === 'pulled' || known.status === 'halted'))) {
    return { moves: [{ how: 'unpull', surface, offered, good }], warnings: [] };
  }
  // The good code is out under a higher version already: withdrawing is all that is left.
  const out = isAbove(good, bad);
  const ready =
    facts.standby !== null && facts.standby.commit === target.commit ? facts.standby.version : null;
  const standby = out ? null : ready;
  return {
    moves:
      settled && withdrawn && !out && standby === null ? [] : [{ how: 'pull', surface, bad, good, standby }],
    warnings:
      standby === null && !out
        ? [`${surface}: who already has ${bad} keeps it until a hotfix above it is published: none is ready`]
        : [],
  };
}

/** The highest of these that is neither halted nor pulled: going below it would take good code from clients. */
function standing(facts: DesktopFacts, suits: (version: string) => boolean): string | undefined {
  const found = Object.entries(facts.versions).flatMap(([version, { status }]) =>
    suits(version) && (status === 'published' || status === 'offered') ? [version] : [],
  );
  return found.reduce<string | undefined>(
    (highest, version) => (highest === undefined || isAbove(version, highest) ? version : highest),
    undefined,
  );
}

/** False where either is no version: nothing is known of their order. */
function isAbove(version: string, other: string): boolean {
  return isVersion(version) && isVersion(other) && compareVersions(version, other) > 0;
}

/**
 * Freezing stands beside the switch and may fail: nothing waits for it, and where there is no switch to wait for,
 * pulling is as quick. Pulling follows the switch; the standby hotfix comes last, because clients that have
 * installed it can't be taken back.
 */
export function desktopSteps(
  moves: readonly DesktopMove[],
  context: { readonly gate: readonly string[]; readonly moved: readonly string[] },
): readonly Step[] {
  const pullsAtOnce = context.moved.every((id) => context.gate.includes(id));
  return moves.flatMap((move) => {
    if (move.how === 'unpull') {
      return [
        step({
          surface: move.surface,
          action: 'desktop.unpull',
          title: `offer ${move.good} again`,
          input: { version: move.good, offered: move.offered },
          after: context.moved,
          onFailure: 'block',
          estimateMs: 100,
        }),
      ];
    }
    const halt = pullsAtOnce
      ? []
      : [
          step({
            surface: move.surface,
            action: 'desktop.halt',
            title: `halt ${move.bad}`,
            input: { version: move.bad },
            after: context.gate,
            importance: 'best-effort',
            onFailure: 'block',
            estimateMs: 50,
          }),
        ];
    const pull = step({
      surface: move.surface,
      action: 'desktop.pull',
      title: `pull ${move.bad}, offer ${move.good}`,
      input: { version: move.bad, to: move.good },
      after: context.moved,
      onFailure: 'block',
      estimateMs: 100,
    });
    const publish =
      move.standby === null
        ? []
        : [
            step({
              surface: move.surface,
              action: 'desktop.publish-standby',
              title: `publish ${move.standby}: the code of ${move.good} under a higher version`,
              input: { version: move.standby },
              after: [...context.moved, pull.id],
              onFailure: 'block',
              estimateMs: 500,
              pointOfNoReturn: true,
            }),
          ];
    return [...halt, pull, ...publish];
  });
}

export function desktopChange(move: DesktopMove): SurfaceChange {
  const { surface, good } = move;
  if (move.how === 'unpull') {
    const now = move.offered ?? 'nothing';
    return { surface, kind: 'desktop', now, after: good, what: `offer ${good} again`, estimateMs: 150 };
  }
  const { bad, standby } = move;
  return {
    surface,
    kind: 'desktop',
    now: bad,
    after: standby ?? good,
    what:
      standby === null ? `pull ${bad}, offer ${good}` : `pull ${bad}; the code of ${good} out as ${standby}`,
    estimateMs: standby === null ? 150 : 650,
  };
}
