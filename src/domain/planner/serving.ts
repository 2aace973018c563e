import type { Facts, WebFacts } from '../facts.ts';
import type { Refusal, Step, SurfaceChange } from '../plan.ts';
import type { Release, SurfaceRelease } from '../release.ts';
import { refuse, step } from './builder.ts';

/** What an estimate says before a build was measured, in ms. */
const unmeasuredBuildMs = 10_000;

/** Brings up what is live: after a reboot, or for the first time where its build was never here. */
export function planServing(
  live: Release | undefined,
  facts: Facts,
): { readonly steps: readonly Step[]; readonly changes: readonly SurfaceChange[] } | Refusal {
  const webs = Object.entries(facts.surfaces).flatMap(([surface, seen]) => {
    const part = live?.surfaces[surface];
    return seen.kind === 'web' && part !== undefined ? [{ surface, seen, part }] : [];
  });
  if (webs.length === 0) {
    return refuse('not-live', 'no web release is live here', ['a live web release'], 'unship release');
  }
  const gone = webs.flatMap(({ surface, seen, part }) => {
    const known = seen.releases[part.since];
    return known?.readiness === 'gone'
      ? [`${surface}: ${part.since} can't be brought up: ${known.reason ?? 'its build is gone'}`]
      : [];
  });
  if (gone.length > 0) {
    return refuse(
      'target-gone',
      'what is live is neither on the disk nor in the repository',
      gone,
      'release a commit that is there: unship release REF',
    );
  }
  return {
    steps: webs.flatMap(({ surface, seen, part }) => servingSteps(surface, seen, part)),
    changes: webs.map(({ surface, seen, part }) => servingChange(surface, seen, part)),
  };
}

function servingSteps(surface: string, seen: WebFacts, part: SurfaceRelease): readonly Step[] {
  const target = { release: part.since, commit: part.commit, artifact: part.artifact };
  const stage =
    seen.releases[part.since]?.readiness === 'rebuildable'
      ? [
          step({
            surface,
            action: 'web.stage',
            title: `check out and build ${part.since}`,
            input: target,
            onFailure: 'block',
            estimateMs: seen.measurements.buildMs || unmeasuredBuildMs,
          }),
        ]
      : [];
  const start = step({
    surface,
    action: 'web.start',
    title: `start and check ${part.since}`,
    input: target,
    after: stage.map((item) => item.id),
    onFailure: 'block',
    estimateMs: startEstimate(seen, part),
  });
  const to = step({
    surface,
    action: 'web.switch',
    title: `serve ${part.since}`,
    input: { target, previous: null },
    after: [start.id],
    onFailure: 'block',
  });
  return [...stage, start, to];
}

function startEstimate({ releases, measurements }: WebFacts, part: SurfaceRelease): number {
  return releases[part.since]?.readiness === 'warm' ? 20 : measurements.startMs || 500;
}

function servingChange(surface: string, seen: WebFacts, part: SurfaceRelease): SurfaceChange {
  const readiness = seen.releases[part.since]?.readiness;
  const { buildMs } = seen.measurements;
  const build = readiness === 'rebuildable' ? buildMs || unmeasuredBuildMs : 0;
  const isUp = readiness === 'warm';
  return {
    surface,
    kind: 'web',
    now: isUp ? part.since : 'not running',
    after: part.since,
    what: isUp ? 'runs already: check it, serve it' : `${build > 0 ? 'check out, build, ' : ''}start, serve`,
    estimateMs: build + startEstimate(seen, part),
  };
}
