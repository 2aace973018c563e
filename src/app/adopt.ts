import { UnshipError } from '../domain/errors.ts';
import type { Facts } from '../domain/facts.ts';
import type { Json } from '../domain/json.ts';
import {
  isReleaseId,
  type Release,
  type ReleaseId,
  releaseNumber,
  type SurfaceRelease,
} from '../domain/release.ts';
import { observe } from './observe.ts';
import type { Parts } from './parts.ts';
import { adoptedSurface } from './release-draft.ts';
import type { Runs } from './runs.ts';

/**
 * What a state that was lost has left: builds and backups are named after its releases, and one that is made now
 * must not be taken for one of those.
 */
function lostReleases(facts: Facts): {
  readonly newest: number;
  readonly serving?: { readonly surface: string; readonly release: ReleaseId };
} {
  const surfaces = Object.entries(facts.surfaces);
  const [serving] = surfaces.flatMap(([surface, seen]) =>
    seen.kind === 'web' && seen.live !== null && isReleaseId(seen.live)
      ? [{ surface, release: seen.live }]
      : [],
  );
  const backups = surfaces.flatMap(([, seen]) => (seen.kind === 'database' ? seen.backups : []));
  const releases = [
    ...backups.map(({ release }) => release),
    ...(serving === undefined ? [] : [serving.release]),
  ];
  const newest = Math.max(0, ...releases.map(releaseNumber));
  return { newest, ...(serving === undefined ? {} : { serving }) };
}

/**
 * Takes what is live today as the first release, good on the operator's word: from then on there is a way back.
 * Its web code is known by its commit only, so going back to it builds it.
 */
export async function adoptLive(parts: Parts, runs: Runs, ref: string | undefined): Promise<Release> {
  const { store, source, surfaces, runtime, request } = parts;
  const [newest] = await store.recentReleases(1);
  if (newest !== undefined) {
    throw new UnshipError('already-there', {
      happened: `${newest.id} is recorded here already`,
      done: 'nothing',
      next: 'unship status',
    });
  }
  const commit = await source.resolve(ref ?? 'HEAD');
  const { facts, failures } = await observe(surfaces, { releases: [], commit, countRisk: false }, runtime);
  if (failures[0] !== undefined) throw failures[0].error;
  const lost = lostReleases(facts);
  if (ref === undefined && lost.serving !== undefined) {
    throw new UnshipError('usage-invalid', {
      happened: `${lost.serving.surface} serves ${lost.serving.release} of a state that is gone; HEAD need not be its commit`,
      done: 'nothing',
      next: `unship init --adopt COMMIT; the folder ${lost.serving.release}-… in surfaces/${lost.serving.surface}/releases of the state folder is named after it`,
    });
  }
  const next = releaseNumber(await store.nextReleaseId());
  const id: ReleaseId = `r${Math.max(next, lost.newest + 1)}`;
  const parted: { [surface: string]: SurfaceRelease } = {};
  for (const [name, seen] of Object.entries(facts.surfaces)) {
    const adopted: SurfaceRelease | null =
      seen.kind === 'web'
        ? { kind: 'web', commit, artifact: null, label: id, since: id }
        : adoptedSurface(seen, id);
    if (adopted !== null)
      parted[name] = { ...adopted, commit: adopted.commit === '' ? commit : adopted.commit };
  }
  const release: Release = {
    id,
    createdAt: runtime.clock.now(),
    createdBy: request.user,
    commit,
    deployment: 'live',
    health: 'good',
    surfaces: parted,
    configurationHash: request.definitionHash,
  };
  await runs.underLease(async (fence) => {
    await store.saveConfiguration(request.definitionHash, request.definition as unknown as Json);
    await store.saveRelease(fence, release);
  });
  return release;
}
