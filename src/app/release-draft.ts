import { UnshipError } from '../domain/errors.ts';
import { type Facts, readDatabaseArtifact, type SurfaceFacts } from '../domain/facts.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import { isCommit, shortCommit } from '../domain/names.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { planRehearsal } from '../domain/planner/release.ts';
import { schemaLabel } from '../domain/planner/rollback-moves.ts';
import { type History, liveRelease, type Release, type SurfaceRelease } from '../domain/release.ts';
import type { Source } from '../surfaces/source.port.ts';
import { explainFailures, observe } from './observe.ts';
import type { Parts } from './parts.ts';

export interface ReleaseDraft {
  readonly release: Release;
  /** Surfaces that this release changes; the others are carried over. */
  readonly changed: readonly string[];
  /** Those that alone it was asked to change. */
  readonly only: readonly string[] | undefined;
}

/** What a release is drafted from: the commit, and which surfaces it may change; all unless named. */
interface Ask {
  readonly id: Release['id'];
  readonly commit: string;
  readonly only?: readonly string[] | undefined;
}

/**
 * Which surfaces change and which are carried over. A database without pending migrations and a desktop application
 * whose version is the offered one do not change.
 */
function partition(
  live: Release | undefined,
  facts: Facts,
  { id, commit, only }: Ask,
): { readonly surfaces: Release['surfaces']; readonly changed: readonly string[] } {
  const surfaces: { [surface: string]: SurfaceRelease } = {};
  const changed: string[] = [];
  for (const [name, seen] of Object.entries(facts.surfaces)) {
    const before = live?.surfaces[name];
    const isAsked = only === undefined || only.includes(name);
    const fresh = isAsked ? changeOf(seen, commit, id) : null;
    if (fresh !== null) {
      surfaces[name] = fresh;
      changed.push(name);
    } else if (before !== undefined) {
      surfaces[name] = carriedOver(before, seen, isAsked ? { commit, since: id } : before);
    } else {
      const adopted = adoptedSurface(seen, id);
      if (adopted !== null) surfaces[name] = adopted;
    }
  }
  return { surfaces, changed };
}

/** What a release of `commit` would be. */
export async function draftRelease(
  parts: Parts,
  commit: string,
  { only, securityFix = false }: { readonly only?: readonly string[]; readonly securityFix?: boolean },
): Promise<ReleaseDraft> {
  const { store, surfaces, runtime, request } = parts;
  requireKnown(surfaces, only ?? []);
  const history = await store.planningHistory();
  const live = liveRelease(history);
  const query = { releases: live === undefined ? [] : [live], commit, countRisk: false };
  const { facts, failures } = await observe(surfaces, query, runtime);
  if (failures[0] !== undefined) throw failures[0].error;
  const id = await store.nextReleaseId();
  const { surfaces: parted, changed } = partition(live, facts, { id, commit, only });
  const release: Release = {
    id,
    createdAt: runtime.clock.now(),
    createdBy: request.user,
    commit,
    deployment: 'pending',
    health: 'unproven',
    surfaces: parted,
    configurationHash: request.definitionHash,
  };
  const fixes = await securityFixes(parts, release, live, securityFix);
  return { release: fixes.length === 0 ? release : { ...release, securityFixes: fixes }, changed, only };
}

/**
 * A draft says what there is to do and what stays as it is; when another run has been faster, it says something
 * false. Throws `plan-stale` then.
 */
export async function requireStillSo(
  { store }: Parts,
  { release, only }: ReleaseDraft,
  live: Release | undefined,
  facts: Facts,
): Promise<void> {
  const { id, commit } = release;
  const { surfaces } = partition(live, facts, { id, commit, only });
  const isSame =
    canonicalJson(surfaces as unknown as Json) === canonicalJson(release.surfaces as unknown as Json);
  if (isSame && (await store.nextReleaseId()) === id) return;
  throw new UnshipError('plan-stale', {
    happened: `what ${id} was to be made from has changed since, by another run or by hand`,
    done: 'nothing',
    next: 'repeat it: it is drafted anew',
  });
}

function requireKnown(surfaces: Parts['surfaces'], names: readonly string[]): void {
  const unknown = names.filter((name) => !surfaces.has(name));
  if (unknown.length === 0) return;
  throw new UnshipError('unknown-surface', {
    happened: `there is no surface ${unknown.join(', ')}`,
    done: 'nothing',
    next: `surfaces: ${[...surfaces.keys()].join(', ')}`,
  });
}

/**
 * Fixes of the live release, but for those that the commit is older than; the release's own; and those of
 * releases that were taken back and are in the commit all the same.
 */
async function securityFixes(
  { source, store }: Parts,
  { id, commit }: Release,
  live: Release | undefined,
  marked: boolean,
): Promise<readonly Release['id'][]> {
  const contains = (one: string, other: string): Promise<boolean> =>
    source.contains(one, other).catch(() => false);
  const kept: Release['id'][] = [];
  for (const fix of live?.securityFixes ?? []) {
    const fixed = (await store.release(fix))?.commit ?? '';
    const isOlder = fixed !== '' && fixed !== commit && (await contains(fixed, commit));
    if (isOlder) continue;
    if (fixed !== '' && !(await contains(commit, fixed)))
      await requireWholeHistory(source, `the security fix ${shortCommit(fixed)} of ${fix}`, commit);
    kept.push(fix);
  }
  const known = new Set([...kept, ...(live?.securityFixes ?? [])]);
  for (const other of await store.recentReleases(50)) {
    const isFix = other.securityFixes?.includes(other.id) === true && !known.has(other.id);
    if (isFix && (await contains(commit, other.commit))) kept.push(other.id);
  }
  const isFix = marked || (await source.hasTrailer(commit, live?.commit ?? '', 'Security-fix'));
  return isFix ? [...kept, id] : kept;
}

function changeOf(seen: SurfaceFacts, commit: string, id: Release['id']): SurfaceRelease | null {
  if (seen.kind === 'web') return { kind: 'web', commit, artifact: null, label: id, since: id };
  if (seen.kind === 'database') {
    if (seen.pending.length === 0) return null;
    const applied = [...seen.applied, ...seen.pending];
    return {
      kind: 'database',
      commit,
      artifact: { applied, fingerprint: '' },
      label: schemaLabel(applied),
      since: id,
    };
  }
  if (seen.atCommit === null || seen.atCommit === seen.offered) return null;
  return { kind: 'desktop', commit, artifact: null, label: seen.atCommit, since: id };
}

/**
 * A schema can be another than the live release left behind: a rollback kept it, or a person has migrated. It is
 * what the new code is released on, so going back to that code must lead there and no further.
 */
function carriedOver(
  before: SurfaceRelease,
  seen: SurfaceFacts,
  from: Pick<SurfaceRelease, 'commit' | 'since'>,
): SurfaceRelease {
  if (seen.kind !== 'database') return before;
  const recorded = readDatabaseArtifact(before.artifact)?.applied;
  if (recorded?.join('\n') === seen.applied.join('\n')) return before;
  const artifact = { applied: [...seen.applied], fingerprint: seen.fingerprint };
  return { kind: 'database', ...from, artifact, label: schemaLabel(seen.applied) };
}

/** What is there already becomes part of the release as it is. */
export function adoptedSurface(seen: SurfaceFacts, id: Release['id']): SurfaceRelease | null {
  if (seen.kind === 'web') return null;
  if (seen.kind === 'database') {
    const artifact = { applied: [...seen.applied], fingerprint: seen.fingerprint };
    return { kind: 'database', commit: '', artifact, label: schemaLabel(seen.applied), since: id };
  }
  if (seen.offered === null) return null;
  const commit = seen.versions[seen.offered]?.commit ?? '';
  return { kind: 'desktop', commit, artifact: null, label: seen.offered, since: id };
}

/** Throws `history-cut-off` in a clone where an ancestor may be missing. */
async function requireWholeHistory(source: Source, what: string, commit: string): Promise<void> {
  if (!(await source.isShallow())) return;
  throw new UnshipError('history-cut-off', {
    happened: `${source.root} is a shallow clone: whether ${shortCommit(commit)} contains ${what} can't be told`,
    done: 'nothing',
  });
}

/** Quarantined commits that `commit` contains without the fix that lifted them. Throws `history-cut-off`. */
export async function quarantinedAncestors(
  source: Source,
  history: History,
  commit: string,
): Promise<readonly string[]> {
  // A quarantined commit that a whole clone does not have can't be among its ancestors.
  const has = (ancestor: string): Promise<boolean> => source.contains(commit, ancestor).catch(() => false);
  const active = history.quarantine.filter(({ fixedBy }) => fixedBy === undefined || isCommit(fixedBy));
  const contained = await Promise.all(
    active.map(async ({ commit: bad, fixedBy }) => {
      // Lifting it lets the fix ship, not the bad commit by itself.
      if (fixedBy !== undefined && (await has(fixedBy))) return [];
      if (await has(bad)) return [bad];
      await requireWholeHistory(source, `the quarantined ${shortCommit(bad)}`, commit);
      return [];
    }),
  );
  return contained.flat();
}

export async function rehearsalPlan(
  parts: Parts,
  release: Release,
  changed: readonly string[],
): Promise<Plan | Refusal> {
  const { store, surfaces, runtime, policy, source } = parts;
  const history = await store.planningHistory();
  const live = liveRelease(history);
  const query = { releases: live === undefined ? [] : [live], commit: release.commit, countRisk: false };
  const { facts, failures } = await observe(surfaces, query, runtime);
  const plan = planRehearsal(history, facts, policy, {
    kind: 'rehearsal',
    release,
    changed,
    quarantinedAncestors: await quarantinedAncestors(source, history, release.commit),
  });
  return isRefusal(plan) ? explainFailures(plan, failures) : plan;
}
