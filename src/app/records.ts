import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Before } from '../domain/planner/request.ts';
import { isMadeOf, type QuarantinedCommit, type Release, type ReleaseId } from '../domain/release.ts';
import { foldRun, type RunState } from '../domain/run.ts';
import type { Store } from '../store/store.port.ts';
import { Input } from '../surfaces/input.ts';
import type { ActionHandler } from '../surfaces/surface.port.ts';

/** State of a run as its journal tells it. */
export async function runState(store: Store, run: number): Promise<RunState | undefined> {
  const plan = await store.plan(run);
  return plan === undefined ? undefined : foldRun(plan, await store.journal(run));
}

async function known(store: Store, id: ReleaseId): Promise<Release> {
  const release = await store.release(id);
  if (release !== undefined) return release;
  throw new UnshipError('unknown-release', { happened: `there is no release ${id} in the history` });
}

/** Artifacts as the run's own steps made them: what was staged, what the migrations left behind. */
async function withArtifacts(store: Store, run: number, release: Release): Promise<Release> {
  const state = await runState(store, run);
  if (state === undefined) return release;
  const surfaces = Object.entries(release.surfaces).map(([name, surface]) => {
    if (surface.since !== release.id) return [name, surface] as const;
    // A contracting migration ran after the others: what it left behind is what is there.
    const verbs = surface.kind === 'database' ? ['migrate-up-contract', 'migrate-up'] : ['stage'];
    const output = verbs
      .map((verb) => state.steps[`${name}.${verb}`]?.output)
      .find((item) => item !== undefined);
    return [
      name,
      output === undefined || output === null ? surface : { ...surface, artifact: output },
    ] as const;
  });
  return { ...release, surfaces: Object.fromEntries(surfaces) };
}

const nothing = async (): Promise<void> => {};

/** `unship.record-live`: this release serves now, unproven; the one before is superseded. */
export function recordLive(store: Store, run: number): ActionHandler {
  return {
    validate: nothing,
    apply: async (context, input): Promise<Json> => {
      const read = new Input(input);
      const release = await withArtifacts(store, run, await known(store, read.release('release')));
      const previous = read.optionalText('previous');
      const changes: Release[] = [{ ...release, deployment: 'live', health: 'unproven' }];
      if (previous !== null) {
        changes.push({ ...(await known(store, read.release('previous'))), deployment: 'superseded' });
      }
      await store.saveReleases(context.fence, changes);
      return null;
    },
    verify: async (_context, input) => {
      const release = await known(store, new Input(input).release('release'));
      return { observed: `${release.id} is recorded as ${release.deployment}` };
    },
    undo: async (context, input) => {
      const read = new Input(input);
      const release = await known(store, read.release('release'));
      const changes: Release[] = [{ ...release, deployment: 'rolled-back' }];
      if (read.optionalText('previous') !== null) {
        changes.push({ ...(await known(store, read.release('previous'))), deployment: 'live' });
      }
      await store.saveReleases(context.fence, changes);
    },
  };
}

/** `unship.record-good`: the watch ended healthy; what contracting migrations left behind is taken in. */
export function recordGood(store: Store, run: number): ActionHandler {
  return {
    validate: nothing,
    apply: async (context, input): Promise<Json> => {
      const read = new Input(input);
      const release = await withArtifacts(store, run, await known(store, read.release('release')));
      await store.saveRelease(context.fence, {
        ...release,
        health: read.flag('proven') ? 'good' : release.health,
      });
      return null;
    },
    verify: async (_context, input) => {
      const release = await known(store, new Input(input).release('release'));
      return { observed: `${release.id} is ${release.health}` };
    },
    undo: async (context, input) => {
      const release = await known(store, new Input(input).release('release'));
      await store.saveRelease(context.fence, { ...release, health: 'unproven' });
    },
  };
}

/** `unship.record-rollback`: which release serves, which was taken back, and that its commit must not come again. */
export function recordRollback(store: Store, now: () => number): ActionHandler {
  return {
    validate: nothing,
    apply: async (context, input): Promise<Json> => {
      const read = new Input(input);
      const [from, to] = [await known(store, read.release('from')), await known(store, read.release('to'))];
      const undo = read.flag('undo');
      const restored = beforeOf(read.json('restores'));
      if (read.json('only') !== null) {
        // A part of the application went: the release stays, and says which of its surfaces are other ones.
        const forgiven = restored?.releases[from.id]?.health ?? 'unproven';
        await store.saveRelease(context.fence, {
          ...from,
          health: undo ? forgiven : 'bad',
          surfaces: { ...from.surfaces, ...surfacesOf(read.json('restored')) },
        });
        return null;
      }
      const others = await otherLive(store, from, to);
      if (undo) {
        await store.saveReleases(context.fence, [
          ...others,
          ...(await asBefore(store, restored, [from, to])),
          { ...from, deployment: 'superseded', ...takenBack(restored, from) },
          { ...to, deployment: 'live', health: restored?.releases[to.id]?.health ?? 'unproven' },
        ]);
        // A person wanted it back: what follows from it must not be refused.
        await store.liftQuarantine(to.commit, 'undone');
        for (const entry of restored?.quarantine ?? []) await store.quarantine(context.fence, entry);
        return null;
      }
      await store.saveReleases(context.fence, [
        ...others,
        { ...from, deployment: 'rolled-back', health: 'bad' },
        { ...to, deployment: 'live' },
      ]);
      const entry = quarantineEntry(from, to, read.text('reason'), now());
      if (entry !== null && read.flag('quarantine')) await store.quarantine(context.fence, entry);
      return null;
    },
    verify: async (_context, input) => {
      const read = new Input(input);
      if (read.json('only') !== null) {
        const { id, surfaces } = await known(store, read.release('from'));
        const parts = Object.keys(surfacesOf(read.json('restored'))).map(
          (name) => `${name} ${surfaces[name]?.label ?? 'as it was'}`,
        );
        return { observed: `${id} is recorded with ${parts.join(', ')}` };
      }
      const to = await known(store, read.release('to'));
      return { observed: `${to.id} is recorded as ${to.deployment}` };
    },
    undo: async (context, input) => {
      const read = new Input(input);
      const [from, to] = [await known(store, read.release('from')), await known(store, read.release('to'))];
      if (read.json('only') !== null) {
        const surfaces = { ...from.surfaces, ...surfacesOf(read.json('replaced')) };
        await store.saveRelease(context.fence, { ...from, surfaces });
        return;
      }
      const before = beforeOf(read.json('before'));
      await store.saveReleases(context.fence, [
        { ...from, deployment: 'live', ...before?.releases[from.id] },
        { ...to, deployment: 'superseded', ...before?.releases[to.id] },
      ]);
      // What was there before stays, whoever put it there.
      const restored = beforeOf(read.json('restores'))?.quarantine ?? [];
      for (const commit of [from.commit, ...restored.map((entry) => entry.commit)]) {
        await store.liftQuarantine(commit, 'undone');
      }
      for (const entry of before?.quarantine ?? []) await store.quarantine(context.fence, entry);
    },
  };
}

/** `unship.record-aborted`: a release that was begun, and that no other was live before, has ended. */
export function recordAborted(store: Store): ActionHandler {
  const record = async (fence: number, input: Json, deployment: Release['deployment']): Promise<void> => {
    const release = await known(store, new Input(input).release('release'));
    await store.saveRelease(fence, { ...release, deployment });
  };
  return {
    validate: nothing,
    apply: async (context, input): Promise<Json> => {
      await record(context.fence, input, 'rolled-back');
      return null;
    },
    verify: async (_context, input) => {
      const release = await known(store, new Input(input).release('release'));
      return { observed: `${release.id} is recorded as ${release.deployment}` };
    },
    undo: async (context, input) => await record(context.fence, input, 'pending'),
  };
}

function surfacesOf(value: Json): Release['surfaces'] {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? (value as unknown as Release['surfaces']) : {};
}

function beforeOf(value: Json): Before | null {
  return value === null ? null : (value as unknown as Before);
}

/** A release that an undo brought back, and that was taken back before: it is again what it was. */
function takenBack(restored: Before | null, release: Release): Partial<Release> {
  const stood = restored?.releases[release.id];
  return stood?.deployment === 'rolled-back' ? stood : {};
}

/** The same for one that something newer has followed meanwhile. */
async function asBefore(
  store: Store,
  restored: Before | null,
  others: readonly Release[],
): Promise<readonly Release[]> {
  const ids = Object.keys(restored?.releases ?? {}).filter((id) => !others.some((one) => one.id === id));
  const releases = await Promise.all(ids.map((id) => known(store, id as ReleaseId)));
  return releases.map((release) => ({ ...release, ...takenBack(restored, release) }));
}

/** One release is live: where a half-finished one is taken back beyond the live one, that one ends too. */
async function otherLive(store: Store, from: Release, to: Release): Promise<readonly Release[]> {
  const { releases } = await store.planningHistory();
  return releases
    .filter((release) => release.deployment === 'live' && release.id !== from.id && release.id !== to.id)
    .map((release) => ({ ...release, deployment: 'superseded' }));
}

/** Nothing to quarantine where the code still serves as a part of the other release: the cause is not in it. */
function quarantineEntry(
  from: Release,
  to: Release,
  reason: string,
  since: number,
): QuarantinedCommit | null {
  if (from.commit === '' || isMadeOf(to, from.commit)) return null;
  return { commit: from.commit, release: from.id, reason, since };
}
