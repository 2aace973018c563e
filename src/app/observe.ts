import { errorCatalogue } from '../domain/error-catalogue.ts';
import { isUnshipError, messageOf } from '../domain/errors.ts';
import type { Facts, SurfaceFacts } from '../domain/facts.ts';
import type { Refusal } from '../domain/plan.ts';
import { releaseToLeave, type Unfinished } from '../domain/planner/leaving.ts';
import {
  findRelease,
  type History,
  liveRelease,
  type Release,
  type ReleaseId,
  wayBackFrom,
} from '../domain/release.ts';
import type { Runtime } from '../domain/runtime.ts';
import { timeLimit } from '../domain/time-limit.ts';
import type { Query, Surface } from '../surfaces/surface.port.ts';
import type { Parts } from './parts.ts';
import { otherHost, surfacesElsewhere } from './surface-places.ts';

/** Longest time for looking at one surface, in ms. */
const observeWithinMs = 60_000;

export interface Observation {
  readonly facts: Facts;
  /** Surfaces that could not be looked at, with the reason. */
  readonly failures: readonly { readonly surface: string; readonly error: unknown }[];
}

/** Looks at all surfaces side by side. One that can't be seen is left out, and told why. */
export async function observe(
  surfaces: ReadonlyMap<string, Surface>,
  query: Query,
  runtime: Runtime,
): Promise<Observation> {
  const seen: { [surface: string]: SurfaceFacts } = {};
  const failures: { surface: string; error: unknown }[] = [];
  using limit = timeLimit(runtime.clock, observeWithinMs);
  const { signal } = limit;
  await Promise.all(
    [...surfaces.values()].map(async (surface) => {
      try {
        seen[surface.name] = await surface.observe({ runtime, signal }, query);
      } catch (error) {
        failures.push({ surface: surface.name, error });
      }
    }),
  );
  return { facts: { surfaces: seen }, failures };
}

/** What is there now, as the live release knows it; nothing is counted. */
export async function look(parts: Parts): Promise<Observation & { readonly live: Release | undefined }> {
  const live = liveRelease(await parts.store.planningHistory());
  const query = { releases: live === undefined ? [] : [live], countRisk: false };
  const elsewhere = new Map((await surfacesElsewhere(parts)).map((item) => [item.surface, item]));
  const here = new Map([...parts.surfaces].filter(([surface]) => !elsewhere.has(surface)));
  const { facts, failures } = await observe(here, query, parts.runtime);
  // From here they would look as if nothing of them were left.
  const unseen = [...elsewhere.values()].map((item) => ({
    surface: item.surface,
    error: otherHost(parts, item),
  }));
  return { live, facts, failures: [...failures, ...unseen] };
}

/** The releases that a plan can come from or go to: looking at more would only cost time. */
export function releasesInQuestion(
  history: History,
  target: ReleaseId | undefined,
  only?: readonly string[],
  unfinished?: Unfinished,
): readonly Release[] {
  const current = releaseToLeave(history, unfinished);
  const candidates = [
    current,
    liveRelease(history),
    target === undefined ? undefined : findRelease(history, target),
    current === undefined ? undefined : wayBackFrom(history, current, only),
  ];
  const unique = new Map(
    candidates.flatMap((release) => (release === undefined ? [] : [[release.id, release]])),
  );
  return [...unique.values()];
}

/** A refusal names what could not be looked at, in the words of the error that prevented it. */
export function explainFailures(refusal: Refusal, failures: Observation['failures']): Refusal {
  // What is refused for another reason would be refused as well if everything had been seen.
  const unseen = refusal.missing.filter((item) => item.endsWith('could not be observed'));
  if (failures.length === 0 || unseen.length === 0) return refusal;
  const reasons = failures.map(({ surface, error }) => {
    const text = isUnshipError(error) ? error.details.happened : messageOf(error);
    return `${surface}: ${text}`;
  });
  const others = refusal.missing.filter((item) => !unseen.includes(item));
  const first = failures.find(({ error }) => isUnshipError(error))?.error;
  const known = isUnshipError(first) ? first : undefined;
  return {
    ...refusal,
    slug: known?.slug ?? refusal.slug,
    missing: [...reasons, ...others],
    next: known?.details.next ?? errorCatalogue[known?.slug ?? '']?.next ?? refusal.next,
  };
}
