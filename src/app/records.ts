import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Before } from '../domain/planner/request.ts';
import { isMadeOf, type QuarantinedCommit, type Release, type ReleaseId } from '../domain/release.ts';
import { foldRun, type RunState } from '../domain/run.ts';
import type { Store } from '../store/store.port.ts';
import { Input } from '../surfaces/input.ts';
import type { ActionHandler, Observation } from '../surfaces/surface.port.ts';

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
    verify: async (_context, input) => requireLive(await known(store, new Input(input).release('release'))),
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

/**
 * `unship.record-rollback`: which release serves, which was taken back, and that its commit must not come again. One
 * transaction, so that whoever takes over sees all of it or nothing, and adds nothing to the record of another.
 */
export function recordRollback(store: Store, run: number, now: () => number): ActionHandler {
  const together = (work: (state: Store) => Promise<void>): Promise<void> =>
    store.together('record-rollback', work);
  return {
    validate: nothing,
    apply: async ({ fence }, input): Promise<Json> => {
      const read = new Input(input);
      await together(async (state) => {
        if (read.json('only') !== null) await recordParts(state, fence, run, read);
        else if (read.flag('undo')) await recordUndo(state, fence, run, read);
        else await recordWhole(state, fence, read, now());
      });
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
      return requireLive(await known(store, read.release('to')));
    },
    undo: async ({ fence }, input) => {
      await together((state) => recordTakenBack(state, fence, new Input(input)));
    },
  };
}

/** A part of the application went: the release stays, and says which of its surfaces are other ones. */
async function recordParts(store: Store, fence: number, run: number, read: Input): Promise<void> {
  const from = await known(store, read.release('from'));
  const forgiven = beforeOf(read.json('restores'))?.releases[from.id]?.health ?? 'unproven';
  const parted = { ...from, surfaces: { ...from.surfaces, ...surfacesOf(read.json('restored')) } };
  const recorded = await withArtifacts(store, run, parted);
  await store.saveRelease(fence, { ...recorded, health: read.flag('undo') ? forgiven : 'bad' });
}

async function recordWhole(store: Store, fence: number, read: Input, now: number): Promise<void> {
  const [from, to] = await both(store, read);
  await store.saveReleases(fence, [
    ...(await otherLive(store, from, to)),
    { ...from, deployment: 'rolled-back', health: 'bad' },
    { ...withSchemas(to, read), deployment: 'live' },
  ]);
  const entry = quarantineEntry(from, to, read.text('reason'), now);
  if (entry !== null && read.flag('quarantine')) await store.quarantine(fence, entry);
}

async function recordUndo(store: Store, fence: number, run: number, read: Input): Promise<void> {
  const [from, to] = await both(store, read);
  const restored = beforeOf(read.json('restores'));
  const health = restored?.releases[to.id]?.health ?? 'unproven';
  await store.saveReleases(fence, [
    ...(await otherLive(store, from, to)),
    ...(await asBefore(store, restored, [from, to])),
    { ...from, deployment: 'superseded', ...takenBack(restored, from) },
    // What it had never come to, this run has made of it, or found.
    { ...(await withArtifacts(store, run, withSchemas(to, read))), deployment: 'live', health },
  ]);
  // A person wanted it back: what follows from it must not be refused.
  await store.liftQuarantine(to.commit, 'undone');
  for (const entry of restored?.quarantine ?? []) await store.quarantine(fence, entry);
}

async function recordTakenBack(store: Store, fence: number, read: Input): Promise<void> {
  const [from, to] = await both(store, read);
  if (read.json('only') !== null) {
    const surfaces = { ...from.surfaces, ...surfacesOf(read.json('replaced')) };
    await store.saveRelease(fence, { ...from, surfaces });
    return;
  }
  const before = beforeOf(read.json('before'));
  await store.saveReleases(fence, [
    { ...from, deployment: 'live', ...before?.releases[from.id] },
    { ...to, deployment: 'superseded', ...before?.releases[to.id] },
  ]);
  // What was there before stays, whoever put it there.
  const restored = beforeOf(read.json('restores'))?.quarantine ?? [];
  for (const commit of [from.commit, ...restored.map((entry) => entry.commit)]) {
    await store.liftQuarantine(commit, 'undone');
  }
  for (const entry of before?.quarantine ?? []) await store.quarantine(fence, entry);
}

async function both(store: Store, read: Input): Promise<readonly [from: Release, to: Release]> {
  return [await known(store, read.release('from')), await known(store, read.release('to'))];
}

/** A release that was taken back before it was recorded as live never said what schema it left behind. */
function withSchemas(release: Release, read: Input): Release {
  const seen = Object.entries((read.json('schemas') ?? {}) as { readonly [surface: string]: Json });
  const known = seen.flatMap(([name, artifact]) => {
    const surface = release.surfaces[name];
    return surface === undefined ? [] : [[name, { ...surface, artifact }] as const];
  });
  return { ...release, surfaces: { ...release.surfaces, ...Object.fromEntries(known) } };
}

function requireLive({ id, deployment }: Release): Observation {
  if (deployment === 'live') return { observed: `${id} is recorded as live` };
  throw new UnshipError('internal', { happened: `${id} is recorded as ${deployment}, not as live` });
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
      const { id, deployment } = await known(store, new Input(input).release('release'));
      if (deployment === 'rolled-back') return { observed: `${id} is recorded as taken back` };
      throw new UnshipError('internal', {
        happened: `${id} is recorded as ${deployment}, not as taken back`,
      });
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
  const again = Object.entries(restored?.releases ?? {}).filter(
    ([id, { deployment }]) => deployment === 'rolled-back' && !others.some((one) => one.id === id),
  );
  return await Promise.all(
    again.map(async ([id, stood]) => ({ ...(await known(store, id as ReleaseId)), ...stood })),
  );
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
