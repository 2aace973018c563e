import { type DatabaseFacts, type Facts, noRisk } from '../domain/facts.ts';
import type { Plan, Refusal, Step, StrategyOption, SurfaceChange } from '../domain/plan.ts';
import { finishPlan, refuse, step } from '../domain/planner/builder.ts';
import { schemaLabel } from '../domain/planner/rollback-moves.ts';
import { planServing } from '../domain/planner/serving.ts';
import { liveRelease, type Release } from '../domain/release.ts';
import { timeLimit } from '../domain/time-limit.ts';
import { observe } from './observe.ts';
import type { Parts } from './parts.ts';

/** One thing that a person asks for by itself, outside a release or a rollback; a plan and a run all the same. */
export type DirectRequest =
  | { readonly kind: 'backup' }
  | { readonly kind: 'serve' }
  | { readonly kind: 'restore'; readonly backup: string }
  | {
      readonly kind: 'migrations';
      readonly direction: 'up' | 'down';
      readonly surface?: string;
      readonly to?: string;
    }
  | {
      readonly kind: 'desktop';
      readonly action: 'halt' | 'pull';
      readonly surface?: string;
      readonly version?: string;
    };

/** What is told of a restore before one was measured, in ms. */
const restoreMs = 2000;

/** Longest time for one look, in ms. */
const lookWithinMs = 60_000;

export async function directPlan(parts: Parts, request: DirectRequest): Promise<Plan | Refusal> {
  const { store, surfaces, runtime, policy } = parts;
  const live = liveRelease(await store.planningHistory());
  // Pending is what the checked-out commit has; what is to be taken back is known by the release that brought it.
  const head = request.kind === 'migrations' ? await parts.source.resolve('HEAD') : undefined;
  const query = {
    releases: live === undefined ? [] : [live],
    countRisk: true,
    ...(head === undefined ? {} : { commit: head }),
  };
  const { facts, failures } = await observe(surfaces, query, runtime);
  if (failures[0] !== undefined) throw failures[0].error;
  const made: Made =
    request.kind === 'serve'
      ? planServing(live, facts)
      : await stepsFor(parts, request, live, databasesIn(facts), head ?? '');
  if ('refused' in made) return made;
  return finishPlan(
    {
      kind: 'maintenance',
      from: live?.id ?? null,
      to: live?.id ?? null,
      reason: request.kind,
      steps: made.steps,
      changes: made.changes ?? [],
      why: [],
      options: made.options ?? [],
      warnings: [],
      blockedWritesMs: 0,
    },
    facts,
    policy,
  );
}

type DatabasesByName = { readonly [surface: string]: DatabaseFacts };

function databasesIn(facts: Facts): DatabasesByName {
  return Object.fromEntries(
    Object.entries(facts.surfaces).flatMap(([name, seen]) =>
      seen.kind === 'database' ? [[name, seen]] : [],
    ),
  );
}

type Made =
  | {
      readonly steps: readonly Step[];
      readonly options?: readonly StrategyOption[];
      /** Absent where everything stays as it is: a backup. */
      readonly changes?: readonly SurfaceChange[];
    }
  | Refusal;

async function stepsFor(
  parts: Parts,
  request: Exclude<DirectRequest, { kind: 'serve' }>,
  live: Release | undefined,
  facts: DatabasesByName,
  head: string,
): Promise<Made> {
  const release = live?.id ?? 'r1';
  if (request.kind === 'backup') {
    if (parts.databases.size === 0)
      return refuse('unknown-surface', 'there is no database here', ['a database'], 'unship status');
    const steps = [...parts.databases.keys()].map((surface) =>
      step({
        surface,
        action: 'database.backup',
        title: 'back up, verified',
        input: { release },
        onFailure: 'block',
      }),
    );
    return { steps };
  }
  if (request.kind === 'restore') return await restoreSteps(parts, request.backup, facts);
  if (request.kind === 'migrations')
    return migrationSteps(parts, request, { release, live: live?.commit ?? '', head }, facts);
  return await desktopStep(parts, request, live);
}

async function restoreSteps(parts: Parts, id: string, facts: DatabasesByName): Promise<Made> {
  for (const [surface, port] of parts.databases) {
    const backup = facts[surface]?.backups.find((item) => item.id === id);
    if (backup === undefined) continue;
    using limit = timeLimit(parts.runtime.clock, lookWithinMs);
    const context = { runtime: parts.runtime, signal: limit.signal };
    const risk = await port.countRestoreRisk(context, id);
    return {
      steps: [
        step({
          surface,
          action: 'database.restore',
          title: `restore backup ${id}`,
          input: { backup: id, fingerprint: backup.fingerprint, applied: backup.applied },
          onFailure: 'block',
          estimateMs: restoreMs,
        }),
      ],
      changes: [
        {
          surface,
          kind: 'database',
          now: schemaLabel(facts[surface]?.applied ?? []),
          after: schemaLabel(backup.applied),
          what: `replace it by the backup of ${new Date(backup.takenAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
          estimateMs: restoreMs,
        },
      ],
      options: [
        {
          surface,
          strategy: 'restore',
          verdict: 'chosen',
          reason: 'you asked for it',
          estimateMs: restoreMs,
          risk,
        },
      ],
    };
  }
  return refuse('backup-invalid', `there is no backup ${id}`, [`backup ${id}`], 'unship backups');
}

function migrationSteps(
  parts: Parts,
  request: Extract<DirectRequest, { kind: 'migrations' }>,
  context: { readonly release: Release['id']; readonly live: string; readonly head: string },
  facts: DatabasesByName,
): Made {
  const surface = request.surface ?? [...parts.databases.keys()][0];
  const seen = surface === undefined ? undefined : facts[surface];
  if (surface === undefined || seen === undefined) {
    return refuse(
      'unknown-surface',
      'there is no such database',
      [request.surface ?? 'a database'],
      'unship status',
    );
  }
  const { release, live, head } = context;
  const { applied, pending } = seen;
  if (request.direction === 'up') {
    const end = request.to === undefined ? pending.length : pending.indexOf(request.to) + 1;
    const versions = pending.slice(0, end);
    if (versions.length === 0)
      return refuse(
        'already-there',
        'nothing is pending',
        ['a pending migration'],
        'unship migrations status',
      );
    const backup = step({
      surface,
      action: 'database.backup',
      title: 'back up, verified',
      input: { release },
      onFailure: 'undo',
    });
    const up = step({
      surface,
      action: 'database.migrate-up',
      title: `migrate up ${versions.join(', ')}`,
      input: { release, commit: head, versions, applied: [...applied, ...versions] },
      after: [backup.id],
      onFailure: 'undo',
    });
    return { steps: [backup, up], changes: [schemaChange(surface, applied, [...applied, ...versions])] };
  }
  const keep = request.to === undefined ? applied.length - 1 : applied.indexOf(request.to) + 1;
  const versions = applied.slice(Math.max(0, keep)).reverse();
  if (versions.length === 0)
    return refuse(
      'already-there',
      'nothing is applied',
      ['an applied migration'],
      'unship migrations status',
    );
  const down = step({
    surface,
    action: 'database.migrate-down',
    title: `archive what is dropped, migrate down to ${schemaLabel(applied.slice(0, keep))}`,
    input: { release, commit: live, versions, applied: applied.slice(0, keep) },
    onFailure: 'block',
  });
  return {
    steps: [down],
    changes: [schemaChange(surface, applied, applied.slice(0, keep))],
    options: [
      {
        surface,
        strategy: 'migrate-down',
        verdict: 'chosen',
        reason: 'you asked for it',
        estimateMs: seen.measurements.blockedMs['migrate-down'] ?? 500,
        risk: seen.measurements.risk['migrate-down'] ?? noRisk,
      },
    ],
  };
}

function schemaChange(surface: string, now: readonly string[], after: readonly string[]): SurfaceChange {
  const isUp = after.length > now.length;
  const count = Math.abs(after.length - now.length);
  return {
    surface,
    kind: 'database',
    now: schemaLabel(now),
    after: schemaLabel(after),
    what: `migrate ${isUp ? 'up' : 'down'} ${count === 1 ? 'once' : `${count} times`}`,
    estimateMs: 500,
  };
}

function offerChange(surface: string, offered: string | null, after: string, what: string): SurfaceChange {
  return { surface, kind: 'desktop', now: offered ?? 'nothing', after, what, estimateMs: 500 };
}

async function desktopStep(
  parts: Parts,
  request: Extract<DirectRequest, { kind: 'desktop' }>,
  live: Release | undefined,
): Promise<Made> {
  const surface = request.surface ?? [...parts.desktops.keys()][0];
  const port = surface === undefined ? undefined : parts.desktops.get(surface);
  if (surface === undefined || port === undefined) {
    return refuse(
      'unknown-surface',
      'there is no such desktop surface',
      [request.surface ?? 'a desktop surface'],
      'unship status',
    );
  }
  using limit = timeLimit(parts.runtime.clock, lookWithinMs);
  const context = { runtime: parts.runtime, signal: limit.signal };
  const seen = await port.observe(context, { releases: live === undefined ? [] : [live], countRisk: false });
  const version = request.version ?? seen.offered;
  if (version === null)
    return refuse('already-there', 'nothing is offered', ['an offered version'], 'unship status');
  if (request.action === 'halt') {
    return {
      steps: [
        step({
          surface,
          action: 'desktop.halt',
          title: `halt ${version}`,
          input: { version },
          onFailure: 'block',
        }),
      ],
      changes: [offerChange(surface, seen.offered, `${version}, halted`, `offer ${version} to nobody new`)],
    };
  }
  const to = await lastGoodVersion(parts, surface, version);
  return {
    steps: [
      step({
        surface,
        action: 'desktop.pull',
        title: to === null ? `pull ${version}` : `pull ${version}, offer ${to}`,
        input: { version, to },
        onFailure: 'block',
      }),
    ],
    changes: [offerChange(surface, seen.offered, to ?? 'nothing', `withdraw ${version}`)],
  };
}

async function lastGoodVersion(parts: Parts, surface: string, bad: string): Promise<string | null> {
  const good = (await parts.store.recentReleases(100)).find((release) => {
    const label = release.surfaces[surface]?.label;
    return release.health === 'good' && label !== undefined && label !== bad;
  });
  return good?.surfaces[surface]?.label ?? null;
}
