import type { BackupFacts, DatabaseFacts, MigrationFacts, WebFacts, WebReadiness } from '../facts.ts';
import type { OnFailure, Step, SurfaceChange } from '../plan.ts';
import type { Release, ReleaseId } from '../release.ts';
import { step } from './builder.ts';
import type { DatabaseDistance } from './database-strategy.ts';

/** A web surface that has to serve another release. */
export interface WebMove {
  readonly surface: string;
  readonly facts: WebFacts;
  readonly readiness: Exclude<WebReadiness, 'gone'>;
  readonly target: { readonly release: ReleaseId; readonly commit: string; readonly artifact: WebArtifact };
  /** What serves now, to be retired; null when nothing does. */
  readonly current: {
    readonly release: ReleaseId;
    readonly commit: string;
    readonly artifact: WebArtifact;
  } | null;
}

type WebArtifact = Release['surfaces'][string]['artifact'];

/** A database that has to have another schema. */
export type DatabaseMove = {
  readonly distance: DatabaseDistance;
  readonly release: ReleaseId;
  readonly commit: string;
  readonly estimateMs: number;
} & (
  | { readonly strategy: 'migrate-up' }
  | {
      readonly strategy: 'migrate-down';
      /** Release and commit whose migrations are taken back. */
      readonly from: { readonly release: ReleaseId; readonly commit: string };
    }
  | { readonly strategy: 'restore' | 'restore-with-salvage'; readonly backup: BackupFacts }
);

/** Which side goes first; `hold`: neither fits the other half-way, so requests wait while both change. */
export type Order = 'web-first' | 'database-first' | 'hold' | 'only-web' | 'only-database' | 'nothing';

function migrationsOf(move: DatabaseMove): readonly (MigrationFacts | undefined)[] {
  const known = new Map(move.distance.facts.migrations.map((migration) => [migration.version, migration]));
  const versions = [...move.distance.surplus, ...move.distance.lacking];
  return versions.map((version) => known.get(version));
}

/** What half-way would mean. What is taken back is new to the target's code; what is applied is new to the live code. */
export function compatibility(distance: DatabaseDistance): {
  readonly targetRunsBefore: boolean;
  readonly currentRunsAfter: boolean;
  /** Why it does not, per claim that fails. */
  readonly reasons: {
    readonly targetRunsBefore: readonly string[];
    readonly currentRunsAfter: readonly string[];
  };
} {
  const known = new Map(distance.facts.migrations.map((migration) => [migration.version, migration]));
  const against = (versions: readonly string[], claim: 'oldCodeRuns' | 'newCodeRuns'): readonly string[] =>
    versions.flatMap((version) => {
      const migration = known.get(version);
      if (migration === undefined) return [`nothing is known of ${version}`];
      return migration[claim].holds ? [] : [migration[claim].reason];
    });
  const { surplus, lacking } = distance;
  const reasons = {
    targetRunsBefore: [...against(surplus, 'oldCodeRuns'), ...against(lacking, 'newCodeRuns')],
    currentRunsAfter: [...against(surplus, 'newCodeRuns'), ...against(lacking, 'oldCodeRuns')],
  };
  return {
    targetRunsBefore: reasons.targetRunsBefore.length === 0,
    currentRunsAfter: reasons.currentRunsAfter.length === 0,
    reasons,
  };
}

/** `prefer` decides where both would do: a rollback wants the web back first, a release expands first. */
export function decideOrder(
  webs: readonly WebMove[],
  databases: readonly DatabaseMove[],
  prefer: 'web-first' | 'database-first',
): Order {
  if (webs.length === 0 && databases.length === 0) return 'nothing';
  if (databases.length === 0) return 'only-web';
  if (webs.length === 0) return 'only-database';
  const claims = databases.map((move) => compatibility(move.distance));
  const possible = {
    'web-first': claims.every((claim) => claim.targetRunsBefore),
    'database-first': claims.every((claim) => claim.currentRunsAfter),
  };
  const other = prefer === 'web-first' ? 'database-first' : 'web-first';
  return possible[prefer] ? prefer : possible[other] ? other : 'hold';
}

/** Why that order, for a person: the statements that force it. */
export function explainOrder(order: Order, databases: readonly DatabaseMove[]): readonly string[] {
  const reasons = (claim: 'oldCodeRuns' | 'newCodeRuns', holds: boolean): readonly string[] =>
    databases.flatMap((move) =>
      migrationsOf(move).flatMap((migration) =>
        migration !== undefined && migration[claim].holds === holds ? [migration[claim].reason] : [],
      ),
    );
  if (order === 'hold')
    return [...new Set([...reasons('oldCodeRuns', false), ...reasons('newCodeRuns', false)])];
  if (order === 'web-first' || order === 'database-first') {
    return [...new Set([...reasons('oldCodeRuns', true), ...reasons('newCodeRuns', true)])];
  }
  return [];
}

/** Taken right before the migration, so that it lacks as few later writes as can be. */
function backupStep(move: DatabaseMove, after: readonly string[], options: MovementOptions): Step {
  return step({
    surface: move.distance.surface,
    action: 'database.backup',
    title: 'back up, verified',
    input: { release: move.release },
    after,
    onFailure: options.onFailure,
    estimateMs: Math.max(100, move.distance.facts.measurements.bytes / 200_000),
    ...(options.suffix === undefined ? {} : { suffix: options.suffix }),
  });
}

function databaseStep(move: DatabaseMove, after: readonly string[], options: MovementOptions): Step {
  const { surface, facts, surplus, lacking, targetApplied } = move.distance;
  const common = {
    surface,
    after,
    onFailure: options.onFailure,
    estimateMs: move.estimateMs,
    ...(options.suffix === undefined ? {} : { suffix: options.suffix }),
  };
  if (move.strategy === 'migrate-up') {
    return step({
      ...common,
      action: 'database.migrate-up',
      title: `migrate up ${lacking.join(', ')}`,
      input: {
        release: move.release,
        commit: move.commit,
        versions: lacking,
        applied: [...facts.applied, ...lacking],
      },
    });
  }
  if (move.strategy === 'migrate-down') {
    return step({
      ...common,
      action: 'database.migrate-down',
      title: `archive what is dropped, migrate down ${surplus.join(', ')}`,
      input: {
        release: move.from.release,
        commit: move.from.commit,
        versions: surplus,
        applied: facts.applied.filter((version) => !surplus.includes(version)),
      },
    });
  }
  const { id, fingerprint } = move.backup;
  return step({
    ...common,
    action: 'database.restore',
    title: `restore backup ${id}`,
    input: { backup: id, fingerprint, applied: targetApplied },
  });
}

function webEstimates(move: WebMove): { readonly stage: number; readonly start: number } {
  const { readiness } = move;
  const { startMs, buildMs } = move.facts.measurements;
  return {
    stage: readiness === 'rebuildable' ? buildMs || 10_000 : 0,
    start: readiness === 'warm' ? 20 : startMs || 500,
  };
}

export interface MovementOptions {
  readonly onFailure: OnFailure;
  readonly after: readonly string[];
  /** Distinguishes the database steps from others of the same plan on the same surface. */
  readonly suffix?: string;
}

export interface MovementSteps {
  readonly steps: readonly Step[];
  /** What the rest of the plan waits for: the web serves the target, and the databases fit. */
  readonly moved: readonly string[];
  readonly switches: readonly string[];
  readonly blockedWritesMs: number;
}

/** The part of a plan in which web and databases change, in an order in which neither meets what it can't run on. */
export function movementSteps(
  order: Order,
  webs: readonly WebMove[],
  databases: readonly DatabaseMove[],
  options: MovementOptions,
): MovementSteps {
  const { onFailure, after } = options;
  const steps: Step[] = [];
  const add = (item: Step): string => {
    steps.push(item);
    return item.id;
  };
  const staged = new Map<string, readonly string[]>();
  for (const move of webs) {
    if (move.readiness !== 'rebuildable') continue;
    const id = add(
      step({
        surface: move.surface,
        action: 'web.stage',
        title: `check out and build ${move.target.release}`,
        input: { ...move.target },
        after,
        onFailure,
        estimateMs: webEstimates(move).stage,
      }),
    );
    staged.set(move.surface, [id]);
  }
  const stagedFor = (move: WebMove): readonly string[] => staged.get(move.surface) ?? after;
  const allStaged = webs.flatMap(stagedFor);
  // What migrates up is backed up; what goes back archives or saves for itself what it takes away.
  const addBackups = (before: readonly string[]): readonly string[] => {
    const upwards = databases.filter((move) => move.strategy === 'migrate-up');
    return upwards.length === 0 ? before : upwards.map((move) => add(backupStep(move, before, options)));
  };
  const addDatabases = (before: readonly string[]): readonly string[] =>
    databases.map((move) => add(databaseStep(move, before, options)));
  // Where requests wait, the undo of the hold is what lets them go on, to what served before.
  const heldBack = (move: WebMove): { readonly held?: true } =>
    order === 'hold' && move.facts.canHold ? { held: true } : {};
  const addWebs = (before: (move: WebMove) => readonly string[]): readonly string[] => {
    const starts = webs.map((move) =>
      add(
        step({
          surface: move.surface,
          action: 'web.start',
          title: `start and check ${move.target.release}`,
          input: { ...move.target, ...heldBack(move) },
          after: before(move),
          onFailure,
          estimateMs: webEstimates(move).start,
        }),
      ),
    );
    // Several web surfaces switch only when all of them are ready: one of two would be half a release.
    return webs.map((move) =>
      add(
        step({
          surface: move.surface,
          action: 'web.switch',
          title: `switch to ${move.target.release}`,
          input: {
            target: { ...move.target },
            previous: move.current === null ? null : { ...move.current },
            ...heldBack(move),
          },
          after: starts,
          onFailure,
          estimateMs: 30,
        }),
      ),
    );
  };

  if (order === 'hold') {
    // Before the hold: people wait for the migration, not for the backup.
    const saved = addBackups(allStaged);
    const holds = webs
      .filter((move) => move.facts.canHold)
      .map((move) =>
        add(
          step({
            surface: move.surface,
            action: 'web.hold',
            title: 'hold requests back',
            input: {
              target: { ...move.target },
              previous: move.current === null ? null : { ...move.current },
            },
            after: saved,
            onFailure,
            estimateMs: 50,
          }),
        ),
      );
    const changed = addDatabases(holds.length > 0 ? holds : saved);
    const switches = addWebs(() => changed);
    const webMs = Math.max(0, ...webs.map((move) => webEstimates(move).start + 30));
    const blockedWritesMs = Math.max(0, ...databases.map((move) => move.estimateMs)) + webMs + 50;
    return { steps, moved: switches, switches, blockedWritesMs };
  }
  const databaseMs = Math.max(0, ...databases.map((move) => move.estimateMs));
  if (order === 'database-first') {
    const changed = addDatabases(addBackups(allStaged));
    const switches = addWebs(() => changed);
    return { steps, moved: switches, switches, blockedWritesMs: databaseMs };
  }
  if (order === 'only-database') {
    const changed = addDatabases(addBackups(after));
    return { steps, moved: changed, switches: [], blockedWritesMs: databaseMs };
  }
  const switches = addWebs(stagedFor);
  const changed = addDatabases(addBackups(switches));
  return {
    steps,
    moved: changed.length > 0 ? [...switches, ...changed] : switches,
    switches,
    blockedWritesMs: databaseMs,
  };
}

/** Where both sides change at once and requests can't wait, some fail: that is said beforehand. */
export function holdWarnings(order: Order, webs: readonly WebMove[]): readonly string[] {
  if (order !== 'hold') return [];
  return webs
    .filter((move) => !move.facts.canHold)
    .map((move) => `${move.surface} can't hold requests back: some fail while both sides change`);
}

/** What a person sees of the moves. */
export function movementChanges(
  webs: readonly WebMove[],
  databases: readonly DatabaseMove[],
  labels: { readonly schema: (facts: DatabaseFacts, applied: readonly string[]) => string },
): readonly SurfaceChange[] {
  const ready = {
    warm: 'switch to the warm release',
    'on-disk': 'start it, check it, switch',
    rebuildable: 'check out, build, start, switch',
  };
  return [
    ...webs.map((move): SurfaceChange => {
      const { stage, start } = webEstimates(move);
      return {
        surface: move.surface,
        kind: 'web',
        now: move.current?.release ?? move.facts.live ?? 'unknown',
        after: move.target.release,
        what: ready[move.readiness],
        estimateMs: stage + start + 30,
      };
    }),
    ...databases.map((move): SurfaceChange => {
      const { facts, targetApplied, surplus, lacking } = move.distance;
      const what = {
        'migrate-up': `migrate up ${lacking.join(', ')}`,
        'migrate-down': `archive, then migrate down ${surplus.join(', ')}`,
        'restore-with-salvage': 'restore the backup, carry later writes over',
        restore: 'restore the backup; later writes are lost',
      }[move.strategy];
      return {
        surface: move.distance.surface,
        kind: 'database',
        now: labels.schema(facts, facts.applied),
        after: labels.schema(facts, targetApplied),
        what,
        estimateMs: move.estimateMs,
      };
    }),
  ];
}

/**
 * Where nothing is switched, nothing ends a hold that a dead run has left: people would wait on after all is done.
 * It is asked for whether one is seen or not, for it may begin or end between the plan and the run.
 */
export function resumeSteps(
  staying: readonly string[],
  options: { readonly after: readonly string[]; readonly onFailure: OnFailure },
): readonly Step[] {
  return staying.map((surface) =>
    step({
      surface,
      action: 'web.resume',
      title: 'let requests go on that an earlier run may have held back',
      input: null,
      after: options.after,
      onFailure: options.onFailure,
      estimateMs: 20,
    }),
  );
}

/** What served is taken out of the way once the switch is on record; where the schema changed it can't go on. */
export function retireSteps(
  webs: readonly WebMove[],
  options: { readonly after: string; readonly schemaChanges: boolean; readonly onFailure: OnFailure },
): readonly Step[] {
  return webs.flatMap(({ surface, current }) =>
    current === null
      ? []
      : [
          step({
            surface,
            action: 'web.retire',
            title: `take ${current.release} out of the way`,
            input: { target: { ...current }, how: options.schemaChanges ? 'stop' : 'keep-warm' },
            after: [options.after],
            importance: 'best-effort',
            onFailure: options.onFailure,
          }),
        ],
  );
}
