import type { DatabaseFacts } from '../domain/facts.ts';
import type { Plan, Step, SurfaceChange } from '../domain/plan.ts';
import { finishPlan, step } from '../domain/planner/builder.ts';
import { databaseDistance } from '../domain/planner/database-strategy.ts';
import { schemaLabel } from '../domain/planner/rollback-moves.ts';
import type { Release } from '../domain/release.ts';
import { observe } from './observe.ts';
import type { Parts } from './parts.ts';

/**
 * Takes back what `release begin` did for the very first release: there is no release to go back to, so the schema
 * goes to where the backup says that it was, and the release ends. Where the downs are not all there the schema
 * stays, which is told: an open release that nothing can end would stand in the way of every other.
 */
export async function planAbortOfFirst(parts: Parts, release: Release): Promise<Plan> {
  const { surfaces, runtime, policy } = parts;
  const query = { releases: [release], commit: release.commit, countRisk: false };
  const { facts, failures } = await observe(surfaces, query, runtime);
  if (failures[0] !== undefined) throw failures[0].error;
  const downs: Step[] = [];
  const changes: SurfaceChange[] = [];
  const warnings: string[] = [];
  for (const [surface, seen] of Object.entries(facts.surfaces)) {
    if (seen.kind !== 'database' || release.surfaces[surface]?.since !== release.id) continue;
    const way = wayDown(surface, seen, release);
    if ('stays' in way) warnings.push(...way.stays);
    else {
      downs.push(way.step);
      changes.push(way.change);
    }
  }
  const record = step({
    action: 'unship.record-aborted',
    title: `record ${release.id} as taken back`,
    input: { release: release.id },
    after: downs.map(({ id }) => id),
    onFailure: 'block',
    estimateMs: 5,
  });
  const steps = [...downs, record];
  const plan = {
    kind: 'maintenance',
    from: null,
    to: null,
    reason: 'release abort',
    steps,
    changes,
  } as const;
  return finishPlan({ ...plan, why: [], options: [], warnings, blockedWritesMs: 0 }, facts, policy);
}

type WayDown =
  | { readonly step: Step; readonly change: SurfaceChange }
  | { readonly stays: readonly string[] };

function wayDown(surface: string, seen: DatabaseFacts, release: Release): WayDown {
  const before = seen.backups.find((backup) => backup.release === release.id && backup.verified);
  if (before === undefined)
    return { stays: [`${surface} stays at ${schemaLabel(seen.applied)}: no backup tells what was before`] };
  const { surplus, surplusFacts } = databaseDistance(surface, seen, before.applied);
  if (surplus.length === 0) return { stays: [] };
  const canGo =
    surplus.length === surplusFacts.length &&
    surplusFacts.every(({ down, downFails }) => down === 'written' && downFails === undefined);
  if (!canGo)
    return {
      stays: [`${surface} stays at ${schemaLabel(seen.applied)}: not every migration has a down that runs`],
    };
  const estimateMs = seen.measurements.blockedMs['migrate-down'] ?? 500;
  return {
    step: step({
      surface,
      action: 'database.migrate-down',
      title: `archive what is dropped, migrate down to ${schemaLabel(before.applied)}`,
      input: {
        release: release.id,
        commit: release.commit,
        versions: [...surplus],
        applied: [...before.applied],
      },
      onFailure: 'block',
      estimateMs,
    }),
    change: {
      surface,
      kind: 'database',
      now: schemaLabel(seen.applied),
      after: schemaLabel(before.applied),
      what: `archive, then migrate down ${surplus.join(', ')}`,
      estimateMs,
    },
  };
}
