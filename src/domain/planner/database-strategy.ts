import { type BackupFacts, type DatabaseFacts, type MigrationFacts, noRisk } from '../facts.ts';
import type { Strategy, StrategyOption } from '../plan.ts';

/** How far the live database is from what a release left behind. */
export interface DatabaseDistance {
  readonly surface: string;
  readonly facts: DatabaseFacts;
  /** Versions that the target has, oldest first. */
  readonly targetApplied: readonly string[];
  /** In the live ledger and not in the target: to take back, newest first. */
  readonly surplus: readonly string[];
  /** In the target and not in the live ledger: to apply again, oldest first. */
  readonly lacking: readonly string[];
  readonly surplusFacts: readonly MigrationFacts[];
}

export function databaseDistance(
  surface: string,
  facts: DatabaseFacts,
  targetApplied: readonly string[],
): DatabaseDistance {
  const wanted = new Set(targetApplied);
  const has = new Set(facts.applied);
  const surplus = facts.applied.filter((version) => !wanted.has(version)).reverse();
  const known = new Map(facts.migrations.map((migration) => [migration.version, migration]));
  return {
    surface,
    facts,
    targetApplied,
    surplus,
    lacking: targetApplied.filter((version) => !has.has(version)),
    surplusFacts: surplus.flatMap((version) => known.get(version) ?? []),
  };
}

export type StrategyChoice =
  | { readonly chosen: Strategy | 'none' | 'migrate-up'; readonly options: readonly StrategyOption[] }
  | {
      readonly chosen: null;
      readonly options: readonly StrategyOption[];
      readonly missing: readonly string[];
    };

interface Appraisal {
  readonly possible: boolean;
  readonly reason: string;
}

function joined(parts: readonly string[]): string {
  return parts.join('; ');
}

function appraiseKeepSchema(distance: DatabaseDistance, declaredGood: boolean): Appraisal {
  const unknown = distance.surplus.length - distance.surplusFacts.length;
  if (unknown > 0) return { possible: false, reason: `${unknown} applied migrations are not known here` };
  const breaking = distance.surplusFacts.filter((migration) => !migration.oldCodeRuns.holds);
  if (breaking.length > 0) {
    return { possible: false, reason: joined(breaking.map((migration) => migration.oldCodeRuns.reason)) };
  }
  const rewriting = distance.surplusFacts.filter((migration) => migration.changesRows.holds);
  if (rewriting.length > 0 && !declaredGood) {
    return { possible: false, reason: joined(rewriting.map((migration) => migration.changesRows.reason)) };
  }
  const reason =
    rewriting.length > 0
      ? 'you declared the rewritten rows good'
      : joined(distance.surplusFacts.map((migration) => migration.oldCodeRuns.reason));
  return { possible: true, reason };
}

function appraiseMigrateDown(distance: DatabaseDistance): Appraisal {
  const unknown = distance.surplus.filter(
    (version) => !distance.surplusFacts.some((migration) => migration.version === version),
  );
  if (unknown.length > 0)
    return { possible: false, reason: `the text of ${unknown.join(', ')} is not known here` };
  const withoutDown = distance.surplusFacts.filter((migration) => migration.down !== 'written');
  if (withoutDown.length > 0) {
    return {
      possible: false,
      reason: joined(
        withoutDown.map((migration) =>
          migration.down === 'restore-only'
            ? `${migration.name} is marked restore-only`
            : `${migration.name} has no down migration`,
        ),
      ),
    };
  }
  const failing = distance.surplusFacts.flatMap((migration) =>
    migration.downFails === undefined ? [] : `${migration.name}: ${migration.downFails}`,
  );
  if (failing.length > 0) return { possible: false, reason: joined(failing) };
  const lost = distance.surplusFacts.filter(
    (migration) => migration.changesRows.holds && migration.preImages === 'none',
  );
  if (lost.length > 0) {
    return {
      possible: false,
      reason: joined(lost.map((migration) => `what ${migration.name} overwrote is kept nowhere`)),
    };
  }
  return { possible: true, reason: 'down migrations are written, and what was overwritten is kept' };
}

/** Newest verified backup that holds exactly what the target release left behind. */
export function backupFor(distance: DatabaseDistance): BackupFacts | undefined {
  const wanted = distance.targetApplied.join('\n');
  return [...distance.facts.backups]
    .sort((a, b) => b.takenAt - a.takenAt)
    .find((backup) => backup.verified && backup.applied.join('\n') === wanted);
}

function appraiseRestore(distance: DatabaseDistance): Appraisal {
  if (!distance.facts.capabilities.restore)
    return { possible: false, reason: 'this database cannot be restored' };
  const backup = backupFor(distance);
  return backup === undefined
    ? { possible: false, reason: 'no verified backup holds the schema of that release' }
    : { possible: true, reason: `backup ${backup.id}; what was written since is lost` };
}

function appraiseSalvage(distance: DatabaseDistance): Appraisal {
  if (!distance.facts.capabilities.salvage) {
    return { possible: false, reason: 'this provider cannot carry later writes over into a restored backup' };
  }
  return backupFor(distance) === undefined
    ? { possible: false, reason: 'no verified backup holds the schema of that release' }
    : { possible: true, reason: 'the backup, with every later write carried over' };
}

/**
 * No migration is there any more of those that a release had left behind: somebody emptied the database or put
 * another one in its place. Migrations would make its tables again, and nothing of what was in them.
 */
export function isEmptied({ facts, targetApplied }: DatabaseDistance, left: readonly string[]): boolean {
  return facts.applied.length === 0 && left.length > 0 && targetApplied.length > 0;
}

/** Cheapest safe first. `keep-schema` asked for by name declares the rewritten rows good. */
export function chooseStrategy(
  distance: DatabaseDistance,
  asked: Strategy | undefined,
  emptied = false,
): StrategyChoice {
  if (distance.surplus.length === 0 && !emptied) {
    return { chosen: distance.lacking.length === 0 ? 'none' : 'migrate-up', options: [] };
  }
  const { risk, blockedMs } = distance.facts.measurements;
  const appraised: readonly (Appraisal & Omit<StrategyOption, 'verdict' | 'surface' | 'reason'>)[] = [
    {
      strategy: 'keep-schema',
      ...appraiseKeepSchema(distance, asked === 'keep-schema'),
      estimateMs: 0,
      risk: noRisk,
    },
    {
      strategy: 'migrate-down',
      ...appraiseMigrateDown(distance),
      estimateMs: blockedMs['migrate-down'] ?? 500,
      risk: risk['migrate-down'] ?? noRisk,
    },
    {
      strategy: 'restore-with-salvage',
      ...appraiseSalvage(distance),
      estimateMs: blockedMs.restore ?? 5000,
      risk: noRisk,
    },
    {
      strategy: 'restore',
      ...appraiseRestore(distance),
      estimateMs: blockedMs.restore ?? 2000,
      risk: risk.restore ?? null,
    },
  ];
  // Schema that the target has and the live database lacks comes neither by keeping nor by taking back.
  const usable = appraised.map((option) =>
    (option.strategy === 'keep-schema' || option.strategy === 'migrate-down') && distance.lacking.length > 0
      ? {
          ...option,
          possible: false,
          reason: `that release also has ${distance.lacking.join(', ')}, which is not applied`,
        }
      : option,
  );
  const chosen =
    asked === undefined
      ? usable.find((option) => option.possible)
      : usable.find((option) => option.possible && option.strategy === asked);
  const options = usable.map(
    ({ possible, ...option }): StrategyOption => ({
      ...option,
      surface: distance.surface,
      verdict: option.strategy === chosen?.strategy ? 'chosen' : possible ? 'possible' : 'impossible',
    }),
  );
  if (chosen !== undefined) return { chosen: chosen.strategy, options };
  const considered = asked === undefined ? usable : usable.filter((option) => option.strategy === asked);
  return {
    chosen: null,
    options,
    missing: considered.map((option) => `${distance.surface}: ${option.strategy}: ${option.reason}`),
  };
}
