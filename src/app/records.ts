import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { QuarantinedCommit, Release, ReleaseId } from '../domain/release.ts';
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
    const step = surface.kind === 'database' ? `${name}.migrate-up` : `${name}.stage`;
    const output = state.steps[step]?.output;
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
      const only = read.json('only');
      if (Array.isArray(only)) {
        // A part of the application went back: the release stays, and says which of its surfaces are older.
        const parts = Object.fromEntries(only.flatMap((name) => partOf(to, name)));
        await store.saveRelease(context.fence, {
          ...from,
          health: 'bad',
          surfaces: { ...from.surfaces, ...parts },
        });
        return null;
      }
      if (read.flag('undo')) {
        await store.saveReleases(context.fence, [
          { ...from, deployment: 'superseded' },
          { ...to, deployment: 'live', health: 'unproven' },
        ]);
        return null;
      }
      await store.saveReleases(context.fence, [
        { ...from, deployment: 'rolled-back', health: 'bad' },
        { ...to, deployment: 'live' },
      ]);
      const entry = quarantineEntry(from, to, read.text('reason'), now());
      if (entry !== null) await store.quarantine(context.fence, entry);
      return null;
    },
    verify: async (_context, input) => {
      const to = await known(store, new Input(input).release('to'));
      return { observed: `${to.id} is recorded as ${to.deployment}` };
    },
    undo: async (context, input) => {
      const read = new Input(input);
      const [from, to] = [await known(store, read.release('from')), await known(store, read.release('to'))];
      await store.saveReleases(context.fence, [
        { ...from, deployment: 'live' },
        { ...to, deployment: 'superseded' },
      ]);
      await store.liftQuarantine(from.commit, 'undone');
    },
  };
}

function partOf(to: Release, name: unknown): readonly (readonly [string, Release['surfaces'][string]])[] {
  const surface = typeof name === 'string' ? to.surfaces[name] : undefined;
  return surface === undefined ? [] : [[name as string, surface]];
}

/** Nothing to quarantine where both releases are the same code: the cause is not in it. */
function quarantineEntry(
  from: Release,
  to: Release,
  reason: string,
  since: number,
): QuarantinedCommit | null {
  if (from.commit === '' || from.commit === to.commit) return null;
  return { commit: from.commit, release: from.id, reason, since };
}
