import type { DatabaseFacts, DesktopFacts, Facts } from '../facts.ts';
import { type History, liveRelease, type Release } from '../release.ts';
import { databaseDistance } from './database-strategy.ts';
import { compatibility, type DatabaseMove, type WebMove } from './movement.ts';

/** A desktop version that is to be published. */
export interface DesktopRelease {
  readonly surface: string;
  readonly facts: DesktopFacts;
  readonly version: string;
  readonly commit: string;
}

/** What a release has to move, per kind of surface, and what stands against it. */
export interface ReleaseMoves {
  readonly webs: readonly WebMove[];
  readonly databases: readonly DatabaseMove[];
  readonly desktops: readonly DesktopRelease[];
  readonly missing: readonly string[];
  /** What a limit to some surfaces would tear apart. */
  readonly torn: readonly string[];
}

function migrationProblems(surface: string, facts: DatabaseFacts): readonly string[] {
  const known = new Map(facts.migrations.map((migration) => [migration.version, migration]));
  return facts.pending.flatMap((version) => {
    const migration = known.get(version);
    if (migration === undefined) return [`${surface}: ${version} could not be read`];
    return migration.down === 'missing'
      ? [`${surface}: ${migration.name} has no down migration and is not marked restore-only`]
      : [];
  });
}

/** Compares what is there with what the release changes, surface by surface. */
export function collectMoves(
  history: History,
  facts: Facts,
  release: Release,
  changed: readonly string[],
): ReleaseMoves {
  const live = liveRelease(history);
  const webs: WebMove[] = [];
  const databases: DatabaseMove[] = [];
  const desktops: DesktopRelease[] = [];
  const missing: string[] = [];
  for (const name of [...changed].sort()) {
    const target = release.surfaces[name];
    const seen = facts.surfaces[name];
    if (target === undefined || seen === undefined) {
      missing.push(`${name}: could not be observed`);
    } else if (seen.kind === 'web') {
      const before = live?.surfaces[name];
      const current =
        seen.live === null
          ? null
          : before?.since === seen.live
            ? { release: before.since, commit: before.commit, artifact: before.artifact }
            : { release: seen.live, commit: '', artifact: null };
      webs.push({
        surface: name,
        facts: seen,
        // Whatever is on disk, staging is a step: it does nothing when the rehearsal has done it.
        readiness: 'rebuildable',
        target: { release: release.id, commit: target.commit, artifact: target.artifact },
        current,
      });
    } else if (seen.kind === 'database') {
      missing.push(...migrationProblems(name, seen));
      if (seen.pending.length === 0) continue;
      databases.push({
        distance: databaseDistance(name, seen, [...seen.applied, ...seen.pending]),
        strategy: 'migrate-up',
        release: release.id,
        commit: target.commit,
        estimateMs: seen.measurements.blockedMs['migrate-down'] ?? 300,
      });
    } else {
      if (seen.atCommit !== null && seen.atCommit !== seen.offered) {
        desktops.push({ surface: name, facts: seen, version: seen.atCommit, commit: target.commit });
      }
    }
  }
  return { webs, databases, desktops, missing, torn: tornApart(facts, release, changed, webs, databases) };
}

/** A limited release leaves the other surfaces as they are: what changes has to run with what stays. */
function tornApart(
  facts: Facts,
  release: Release,
  changed: readonly string[],
  webs: readonly WebMove[],
  databases: readonly DatabaseMove[],
): readonly string[] {
  const staying = Object.entries(release.surfaces).flatMap(([name, surface]) => {
    const seen = facts.surfaces[name];
    const older = seen?.kind === 'web' && seen.live !== null && surface.commit !== release.commit;
    return older && !changed.includes(name) ? [name] : [];
  });
  const left = databases.flatMap(({ distance }) =>
    staying.flatMap((name) =>
      compatibility(distance).reasons.currentRunsAfter.map(
        (reason) => `${distance.surface} needs ${name} to be released with it: ${reason}`,
      ),
    ),
  );
  const behind = Object.entries(facts.surfaces).flatMap(([name, seen]) => {
    if (seen.kind !== 'database' || changed.includes(name)) return [];
    const distance = databaseDistance(name, seen, [...seen.applied, ...seen.pending]);
    return webs.flatMap((move) =>
      compatibility({ ...distance, surplus: [] }).reasons.targetRunsBefore.map(
        (reason) => `${move.surface} needs ${name} to be released with it: ${reason}`,
      ),
    );
  });
  return [...new Set([...left, ...behind])];
}

/** A part of a database's pending migrations, as a move of its own. */
function partOf(move: DatabaseMove, from: number, to: number): DatabaseMove {
  const { facts, surface, lacking } = move.distance;
  const applied = [...facts.applied, ...lacking.slice(0, from)];
  const distance = databaseDistance(surface, { ...facts, applied }, [...applied, ...lacking.slice(from, to)]);
  return { ...move, distance };
}

/**
 * A migration that the old code can't live with, and the new code can live without, waits until the watch has
 * ended healthy, with all that follow it: it contracts. Before that, going back would need it undone first.
 */
function splitContracting(move: DatabaseMove): {
  readonly now: readonly DatabaseMove[];
  readonly later: readonly DatabaseMove[];
} {
  const { lacking, facts } = move.distance;
  const known = new Map(facts.migrations.map((migration) => [migration.version, migration]));
  const first = lacking.findIndex((version) => known.get(version)?.oldCodeRuns.holds !== true);
  const waits =
    first >= 0 && lacking.slice(first).every((version) => known.get(version)?.newCodeRuns.holds === true);
  if (!waits) return { now: [move], later: [] };
  return {
    now: first === 0 ? [] : [partOf(move, 0, first)],
    later: [partOf(move, first, lacking.length)],
  };
}

/** Which migrations run before the web, and which after the watch. */
export function schedule(all: ReleaseMoves): {
  readonly now: readonly DatabaseMove[];
  readonly later: readonly DatabaseMove[];
} {
  // Without a web there is no old code to wait for, and the watch shall see the change.
  if (all.webs.length === 0) return { now: all.databases, later: [] };
  const parts = all.databases.map(splitContracting);
  return { now: parts.flatMap((part) => part.now), later: parts.flatMap((part) => part.later) };
}
