import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import type { Facts } from '../domain/facts.ts';
import { isRefusal, type Plan, type Refusal, type Step } from '../domain/plan.ts';
import { planRelease } from '../domain/planner/release.ts';
import type { Policy } from '../domain/planner/request.ts';
import { planRollback } from '../domain/planner/rollback.ts';
import { isReleaseId, liveRelease, type RehearsalRecord, type Release } from '../domain/release.ts';
import { Engine, type RunOutcome } from '../engine/engine.ts';
import { Session } from '../engine/session.ts';
import { openSqliteStore } from '../store/open-sqlite.ts';
import type { Store } from '../store/store.port.ts';
import { databaseSurface } from '../surfaces/database/actions.ts';
import type { DatabasePort } from '../surfaces/database/database.port.ts';
import { desktopSurface } from '../surfaces/desktop/actions.ts';
import type { DesktopPort } from '../surfaces/desktop/desktop.port.ts';
import { Input } from '../surfaces/input.ts';
import type { ActionHandler, Query, Surface, WorkContext } from '../surfaces/surface.port.ts';
import { webSurface } from '../surfaces/web/actions.ts';
import type { WebPort } from '../surfaces/web/web.port.ts';
import { fenceOff } from './fence-off.ts';
import { observe } from './observe.ts';
import { wouldOpenLive } from './own-database.ts';
import type { Parts, Ports } from './parts.ts';
import { recordGood, recordLive, recordRollback } from './records.ts';
import { requireSameSchemas, type Schemas, schemasOf } from './rehearsed-schemas.ts';

interface Copy extends Ports {
  readonly store: Store;
  dispose(): Promise<void>;
}

/**
 * Releases and rolls back on a copy: the same planner, engine and handlers, over copied databases, a feed of
 * its own and the same builds behind a gateway of their own. What is learned is whether the way back works, how
 * long it takes and what it would lose. Nothing live is touched.
 */
export async function rehearseOnCopy(
  parts: Parts,
  context: WorkContext,
  input: Step['input'],
): Promise<RehearsalRecord> {
  const read = new Input(input);
  const planned = await plannedRelease(parts, read);
  await removeLeftCopies(parts.request.stateFolder);
  const folder = join(parts.request.stateFolder, `${copyPrefix}${parts.runtime.ids.random().slice(0, 8)}`);
  mkdirSync(folder, { mode: 0o700 });
  let copy: Copy | undefined;
  try {
    context.progress('copying');
    copy = await makeCopy(parts, context, folder);
    const live = liveRelease(await parts.store.planningHistory());
    return await rehearseBoth(parts, copy, context, planned, read.texts('changed'), live);
  } catch (error) {
    throw rehearsalFailed(error);
  } finally {
    await copy?.dispose();
    await removeCopy(folder);
  }
}

const copyPrefix = 'rehearsal-';

/** One rehearsal at a time holds the lease: whatever lies there was left by a process that was killed. */
async function removeLeftCopies(stateFolder: string): Promise<void> {
  const left = readdirSync(stateFolder).filter((item) => item.startsWith(copyPrefix));
  for (const name of left) await removeCopy(join(stateFolder, name));
}

/**
 * Its gateway may still be taking its own files away: that makes `rmSync` stop half-way without a word, and a
 * folder not empty that was a moment ago.
 */
async function removeCopy(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

function rehearsalFailed(error: unknown): UnshipError {
  const slug = isUnshipError(error) ? error.slug : 'internal';
  if (isUnshipError(error) && slug === 'rehearsal-failed') return error;
  const details = isUnshipError(error) ? error.details : undefined;
  return new UnshipError('rehearsal-failed', {
    happened: `on a copy: ${details?.happened ?? messageOf(error)}`,
    done: 'nothing live was changed',
    ...(details?.next === undefined ? {} : { next: details.next }),
    cause: error,
  });
}

async function plannedRelease(parts: Parts, read: Input): Promise<Release> {
  const id = read.text('release');
  const planned = parts.plannedReleases.get(id);
  if (planned !== undefined) return planned;
  const stored = isReleaseId(id) ? await parts.store.release(id) : undefined;
  if (stored !== undefined) return stored;
  throw new UnshipError('unknown-release', { happened: `there is no release ${id} to rehearse` });
}

async function makeCopy(parts: Parts, context: WorkContext, folder: string): Promise<Copy> {
  const ends: (() => Promise<void>)[] = [];
  const surfaces = new Map<string, Surface>();
  const databases = new Map<string, DatabasePort>();
  const webs = new Map<string, WebPort>();
  const desktops = new Map<string, DesktopPort>();
  const place = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path, { mode: 0o700 });
    return path;
  };
  let environment: { readonly [name: string]: string } = {};
  try {
    for (const [name, port] of parts.databases) {
      const copied = await port.rehearsal(context, place(name));
      ends.push(() => copied.dispose());
      databases.set(name, copied.port);
      surfaces.set(name, databaseSurface(name, copied.port));
      if (parts.webs.size > 0 && Object.keys(copied.environment).length === 0)
        throw wouldOpenLive(name, parts.definition.surfaces[name]?.provider ?? '');
      environment = { ...environment, ...copied.environment };
    }
    for (const [name, port] of parts.webs) {
      const copied = await port.rehearsal(place(name), environment);
      ends.push(() => copied.dispose());
      webs.set(name, copied.port);
      surfaces.set(name, webSurface(name, copied.port));
    }
    for (const [name, port] of parts.desktops) {
      const copied = await port.rehearsal(place(name));
      ends.push(() => copied.dispose());
      desktops.set(name, copied.port);
      surfaces.set(name, desktopSurface(name, copied.port));
    }
    const store = openSqliteStore(join(folder, 'state.db'), parts.runtime, context.fence);
    ends.push(() => store.close());
    const dispose = async (): Promise<void> => {
      for (const end of ends.reverse()) await end();
    };
    return { store, databases, webs, desktops, surfaces, dispose };
  } catch (error) {
    for (const end of ends.reverse()) await end().catch(() => undefined);
    throw error;
  }
}

/** The copy starts where the live application is: the live release serves. */
async function serveOnCopy(copy: Copy, context: WorkContext, live: Release): Promise<void> {
  for (const [name, port] of copy.webs) {
    const surface = live.surfaces[name];
    if (surface === undefined) continue;
    const target = { release: surface.since, commit: surface.commit, artifact: surface.artifact };
    const seen = await port.observe(context, [live]);
    const readiness = seen.releases[surface.since]?.readiness ?? 'gone';
    if (readiness === 'gone') continue;
    context.progress(`starting ${live.id} on the copy`);
    if (readiness === 'rebuildable') await port.stage(context, target);
    await port.start(context, target);
    await port.switchTo(context, target);
  }
}

async function rehearseBoth(
  parts: Parts,
  copy: Copy,
  context: WorkContext,
  planned: Release,
  changed: readonly string[],
  live: Release | undefined,
): Promise<RehearsalRecord> {
  const { runtime } = parts;
  const opened = await Session.open({
    store: copy.store,
    runtime,
    owner: parts.owner,
    mode: 'normal',
    kind: 'rehearsal',
    isAlive: () => null,
  });
  if (!opened.granted) throw new UnshipError('internal', { happened: 'the copy of the state is held' });
  const { session } = opened;
  session.keep();
  try {
    // Whatever is live counts as good on the copy: the question is whether one can get back to it.
    if (live !== undefined) await copy.store.saveRelease(session.fence, { ...live, health: 'good' });
    await copy.store.saveRelease(session.fence, planned);
    if (live !== undefined) await serveOnCopy(copy, { ...context, fence: session.fence }, live);
    const before = live === undefined ? undefined : await observeSchemas(parts, copy, live);
    const policy: Policy = {
      ...parts.policy,
      bakeMs: 0,
      approvals: [],
      notifyTeam: false,
      desktop: 'during',
    };
    context.progress('releasing on the copy');
    await runOnCopy(parts, copy, session, context, 0, async () => {
      const history = await copy.store.planningHistory();
      const query = { releases: history.releases, commit: planned.commit, countRisk: false };
      const facts = await mustObserve(copy, query, parts);
      return planRelease(history, facts, policy, {
        kind: 'release',
        release: planned,
        changed,
        quarantinedAncestors: [],
        phase: 'whole',
        reason: 'rehearsal',
      });
    });
    await requireChecks(parts, copy, context, `${planned.id} on the copy`);
    if (live === undefined) {
      return {
        at: runtime.clock.now(),
        ok: true,
        wayBackMs: 0,
        rowsLost: 0,
        note: 'first release: there is nothing to go back to',
      };
    }
    context.progress('rolling back on the copy');
    const begun = runtime.clock.monotonic();
    const plan = await runOnCopy(parts, copy, session, context, Number.MAX_SAFE_INTEGER, async () => {
      const history = await copy.store.planningHistory(live.id);
      const facts = await mustObserve(copy, { releases: history.releases, countRisk: true }, parts);
      return planRollback(history, facts, policy, { kind: 'rollback', to: live.id, reason: 'rehearsal' });
    });
    const wayBackMs = Math.round(runtime.clock.monotonic() - begun);
    await requireChecks(parts, copy, context, `${live.id} on the copy, after the way back`);
    const keptSchema = plan.options.some(
      (option) => option.verdict === 'chosen' && option.strategy === 'keep-schema',
    );
    if (before !== undefined && !keptSchema)
      requireSameSchemas(before, await observeSchemas(parts, copy, live));
    return { at: runtime.clock.now(), ok: true, wayBackMs, rowsLost: plan.rowsLost };
  } finally {
    await session.close();
  }
}

/** On a copy everything can be seen; what can't is the rehearsal's failure. */
async function mustObserve(copy: Copy, query: Query, parts: Parts): Promise<Facts> {
  const { facts, failures } = await observe(copy.surfaces, query, parts.runtime);
  if (failures[0] !== undefined) throw failures[0].error;
  return facts;
}

async function observeSchemas(parts: Parts, copy: Copy, live: Release): Promise<Schemas> {
  const query = { releases: [live], countRisk: false, describeSchema: true };
  return schemasOf(await mustObserve(copy, query, parts));
}

async function requireChecks(parts: Parts, copy: Copy, context: WorkContext, what: string): Promise<void> {
  for (const check of await parts.checks(copy.webs)) {
    const result = await check.run(context);
    if (result.verdict === 'pass') continue;
    throw new UnshipError('rehearsal-failed', {
      happened: `${what}: ${result.check}: ${result.seen}`,
      done: 'nothing live was changed',
      next: 'mend it, commit, release again',
    });
  }
}

async function runOnCopy(
  parts: Parts,
  copy: Copy,
  session: Session,
  context: WorkContext,
  maximumRowsLost: number,
  make: () => Promise<Plan | Refusal>,
): Promise<Plan> {
  const plan = await make();
  if (isRefusal(plan)) {
    throw new UnshipError('rehearsal-failed', {
      happened: `${plan.happened}: ${plan.missing.join('; ')}`,
      done: 'nothing live was changed',
      next: plan.next,
    });
  }
  const engine = new Engine({
    store: copy.store,
    runtime: parts.runtime,
    handler: (step, run) => copyHandler(copy, step, run, () => parts.runtime.clock.now()),
    fenceOff: async (_plan, fence) => await fenceOff({ ...parts, surfaces: copy.surfaces }, fence),
  });
  const consent = maximumRowsLost === 0 ? null : { rowsLost: maximumRowsLost, by: 'rehearsal' };
  const begun = await engine.begin(copy.store, session.fence, plan, consent);
  const outcome = await engine.start(begun, session, {
    signal: context.signal,
    onEvent: (event) => {
      if (event.type === 'entry' && event.entry.type === 'step' && event.entry.status === 'applying') {
        context.progress(`on the copy: ${event.entry.step}`);
      }
    },
  });
  if (outcome.status !== 'done') throw failureOf(outcome);
  return plan;
}

function failureOf(outcome: RunOutcome): unknown {
  return (
    outcome.error ??
    new UnshipError('rehearsal-failed', { happened: `the run on the copy ended as ${outcome.status}` })
  );
}

/** On the copy nobody is told anything: only records are kept. */
function copyHandler(copy: Copy, step: Step, run: number, now: () => number): ActionHandler | undefined {
  if (step.surface !== 'unship') return copy.surfaces.get(step.surface)?.actions[step.action];
  switch (step.action) {
    case 'unship.record-live':
      return recordLive(copy.store, run);
    case 'unship.record-good':
      return recordGood(copy.store, run);
    case 'unship.record-rollback':
      return recordRollback(copy.store, run, now);
    case 'unship.incident':
      return {
        validate: async () => {},
        apply: async () => null,
        verify: async () => ({ observed: 'no incident on a copy' }),
      };
    default:
      return undefined;
  }
}
