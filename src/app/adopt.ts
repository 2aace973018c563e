import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Release, SurfaceRelease } from '../domain/release.ts';
import { observe } from './observe.ts';
import type { Parts } from './parts.ts';
import { adoptedSurface } from './release-draft.ts';
import type { Runs } from './runs.ts';

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
  const id = await store.nextReleaseId();
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
