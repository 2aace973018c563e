import { type DatabaseArtifact, type Facts, readDatabaseArtifact, type WebFacts } from '../facts.ts';
import type { Strategy, StrategyOption } from '../plan.ts';
import type { Release, ReleaseId, SurfaceRelease } from '../release.ts';
import {
  backupFor,
  chooseStrategy,
  type DatabaseDistance,
  databaseDistance,
  isEmptied,
  type StrategyChoice,
} from './database-strategy.ts';
import { type DesktopMove, desktopMove } from './desktop-move.ts';
import { compatibility, type DatabaseMove, type WebMove } from './movement.ts';

/** A schema as people call it: its newest migration. */
export function schemaLabel(applied: readonly string[]): string {
  return applied.at(-1) ?? 'empty';
}

/** What a rollback has to move, per kind of surface, and what stands against it. */
export interface Moves {
  readonly webs: readonly WebMove[];
  /** Web surfaces that serve what they should already, and can hold requests back. */
  readonly staying: readonly string[];
  readonly databases: readonly DatabaseMove[];
  /** Schemas as they are seen now, of databases that stay and of which the target's record does not say it. */
  readonly schemas: { readonly [surface: string]: DatabaseArtifact };
  readonly desktops: readonly DesktopMove[];
  readonly options: readonly StrategyOption[];
  readonly warnings: readonly string[];
  readonly missing: readonly string[];
  /** What a limit to some surfaces would tear apart. */
  readonly torn: readonly string[];
}

/** A limited rollback leaves the other surfaces as they are: what moves has to run with what stays. */
function tornApart(
  to: Release,
  facts: Facts,
  only: readonly string[] | undefined,
  databases: readonly DatabaseMove[],
): readonly string[] {
  if (only === undefined) return [];
  const targets = Object.entries(to.surfaces);
  // Webs that serve the target already are on its side; of one that serves nothing known, nothing is known.
  const older = targets.flatMap(([name, target]) => {
    const seen = facts.surfaces[name];
    return seen?.kind === 'web' && seen.live !== target.since ? [{ name, live: seen.live }] : [];
  });
  const moving = older.filter(({ name }) => only.includes(name));
  const staying = older.filter(({ name, live }) => !only.includes(name) && live !== null);
  const left = databases.flatMap(({ distance }) =>
    staying.flatMap(({ name }) =>
      compatibility(distance).reasons.currentRunsAfter.map(
        (reason) => `${distance.surface} needs ${name} to go with it: ${reason}`,
      ),
    ),
  );
  const behind = targets.flatMap(([name, target]) => {
    const seen = facts.surfaces[name];
    const artifact = readDatabaseArtifact(target.artifact);
    if (only.includes(name) || seen?.kind !== 'database') return [];
    if (artifact === null) {
      return moving.map(
        (web) => `${web.name} may need another ${name}: what ${target.since} left is not recorded`,
      );
    }
    const distance = databaseDistance(name, seen, artifact.applied);
    return moving.flatMap((web) =>
      compatibility(distance).reasons.targetRunsBefore.map(
        (reason) => `${web.name} needs ${name} to go with it: ${reason}`,
      ),
    );
  });
  return [...new Set([...left, ...behind])];
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const nothingKnown: WebFacts['releases'][ReleaseId] = { readiness: 'gone' };

/** What the chosen strategy moves: nothing where the schema stays. */
function databaseMoves(
  distance: DatabaseDistance,
  choice: StrategyChoice,
  target: SurfaceRelease,
  current: SurfaceRelease | undefined,
): readonly DatabaseMove[] {
  const { chosen } = choice;
  const estimateMs = choice.options.find(({ verdict }) => verdict === 'chosen')?.estimateMs ?? 500;
  const move = { distance, release: target.since, commit: target.commit, estimateMs };
  if (chosen === 'migrate-up') return [{ ...move, strategy: chosen }];
  if (chosen === 'migrate-down') {
    // What is taken back then comes from no release on record: only its kept texts tell how.
    const from = current ?? { since: target.since, commit: '' };
    return [{ ...move, strategy: chosen, from: { release: from.since, commit: from.commit } }];
  }
  const backup = backupFor(distance);
  if (backup === undefined || (chosen !== 'restore' && chosen !== 'restore-with-salvage')) return [];
  return [{ ...move, strategy: chosen, backup }];
}

/** Compares what is there with what the target release says, surface by surface. */
export function collectMoves(
  from: Release,
  to: Release,
  facts: Facts,
  only: readonly string[] | undefined,
  asked: Strategy | undefined,
): Moves {
  const webs: WebMove[] = [];
  const staying: string[] = [];
  const databases: DatabaseMove[] = [];
  const schemas: { [surface: string]: DatabaseArtifact } = {};
  const desktops: DesktopMove[] = [];
  const options: StrategyOption[] = [];
  const warnings: string[] = [];
  const missing: string[] = [];
  for (const [name, target] of Object.entries(to.surfaces).sort(byName)) {
    if (only !== undefined && !only.includes(name)) continue;
    const current = from.surfaces[name];
    const seen = facts.surfaces[name];
    if (seen === undefined || seen.kind !== target.kind) {
      missing.push(`${name}: could not be observed`);
      continue;
    }
    if (seen.kind === 'web') {
      if (seen.live === target.since) {
        if (seen.canHold) staying.push(name);
        continue;
      }
      const { readiness, reason = 'nothing is known of it' } = seen.releases[target.since] ?? nothingKnown;
      if (readiness === 'gone') {
        missing.push(`${name}: ${target.since} can't be brought back: ${reason}`);
        continue;
      }
      webs.push({
        surface: name,
        facts: seen,
        readiness,
        target: { release: target.since, commit: target.commit, artifact: target.artifact },
        current:
          seen.live === null
            ? null
            : seen.live === current?.since
              ? { release: current.since, commit: current.commit, artifact: current.artifact }
              : { release: seen.live, commit: '', artifact: null },
      });
    } else if (seen.kind === 'database') {
      // An unreadable record is not an empty ledger: taking everything back on a guess would be the worst of all.
      const artifact = readDatabaseArtifact(target.artifact);
      if (artifact === null) {
        missing.push(`${name}: the schema that ${target.since} left behind is not recorded`);
        continue;
      }
      const distance = databaseDistance(name, seen, artifact.applied);
      const left = current === undefined ? null : readDatabaseArtifact(current.artifact);
      const emptied = isEmptied(distance, left?.applied ?? []);
      if (emptied) warnings.push(`${name} holds none of the migrations that ${from.id} had: it was emptied`);
      const choice = chooseStrategy(distance, asked, emptied);
      options.push(...choice.options);
      if (choice.chosen === 'none' && artifact.fingerprint === '') {
        schemas[name] = { applied: artifact.applied, fingerprint: seen.fingerprint };
      }
      if (choice.chosen === null) missing.push(...choice.missing);
      else databases.push(...databaseMoves(distance, choice, target, current));
    } else {
      const move = desktopMove(name, seen, target, current);
      desktops.push(...move.moves);
      warnings.push(...move.warnings);
    }
  }
  for (const name of Object.keys(from.surfaces).sort()) {
    if (only !== undefined || to.surfaces[name] !== undefined) continue;
    warnings.push(`${name} came after ${to.id} and stays as it is`);
  }
  return {
    webs,
    staying,
    databases,
    schemas,
    desktops,
    options,
    warnings,
    missing,
    torn: tornApart(to, facts, only, databases),
  };
}
