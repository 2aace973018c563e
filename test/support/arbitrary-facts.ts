import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type {
  BackupFacts,
  DataAtRisk,
  DatabaseFacts,
  DesktopFacts,
  DesktopStatus,
  Facts,
  MigrationFacts,
  SurfaceFacts,
  WebFacts,
} from '../../src/domain/facts.ts';
import type { Strategy } from '../../src/domain/plan.ts';
import type { Policy, ReleaseRequest, RollbackRequest } from '../../src/domain/planner/request.ts';
import type {
  History,
  QuarantinedCommit,
  Release,
  ReleaseId,
  SurfaceKind,
  SurfaceRelease,
} from '../../src/domain/release.ts';

/** Everything a planner reads, generated. Sizes are small, so that coincidences (same commit, same schema) happen. */
export interface Situation {
  readonly history: History;
  readonly facts: Facts;
  readonly policy: Policy;
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

const surfaceNames: { readonly [kind in SurfaceKind]: readonly string[] } = {
  web: ['web', 'api', 'admin'],
  database: ['vault', 'ledger'],
  desktop: ['desktop', 'tray'],
};
const versions = ['0001', '0002', '0003', '0004', '0005'] as const;
const desktopVersions = ['1.0.0', '1.1.0', '1.2.0', '1.2.1'] as const;
const tables = ['entries', 'moods'] as const;
const strategies: readonly Strategy[] = ['keep-schema', 'migrate-down', 'restore-with-salvage', 'restore'];

const commits = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(40));
const commit: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...commits) },
  { weight: 1, arbitrary: fc.constant('') },
);
const releaseId = (newest: number): fc.Arbitrary<ReleaseId> =>
  fc.integer({ min: 1, max: newest }).map((number): ReleaseId => `r${number}`);
const count = fc.integer({ min: 0, max: 1000 });

/** Mostly the beginning of the list, as a ledger is; now and then any part of it. */
const applied: fc.Arbitrary<string[]> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 5 }).map((length) => versions.slice(0, length)) },
  { weight: 1, arbitrary: fc.subarray([...versions]) },
);

const compatibility = fc
  .tuple(fc.boolean(), fc.constantFrom('adds a column', 'drops a column', 'renames a table'))
  .map(([holds, reason]) => ({ holds, reason }));

const migrationOf = (version: string): fc.Arbitrary<MigrationFacts> =>
  fc.record({
    version: fc.constant(version),
    name: fc.constant(`${version}_change`),
    checksum: fc.constantFrom(sha256(version), sha256(`${version}, edited`)),
    down: fc.constantFrom(
      'written',
      'written',
      'written',
      'written',
      'written',
      'written',
      'missing',
      'restore-only',
    ),
    oldCodeRuns: compatibility,
    newCodeRuns: compatibility,
    changesRows: fc.record({
      holds: fc.boolean(),
      tables: fc.subarray([...tables]),
      reason: fc.constant('updates rows'),
    }),
    preImages: fc.constantFrom('recorded', 'backup', 'none', 'not-needed'),
  });

const risk: fc.Arbitrary<DataAtRisk> = fc.record({
  tables: fc.array(
    fc.record({
      table: fc.constantFrom(...tables),
      kept: count,
      archived: count,
      lost: fc.oneof(fc.constant(0), count),
      editedSince: count,
    }),
    { maxLength: 2 },
  ),
  dropped: fc.subarray(['entries.mood']),
  exact: fc.boolean(),
});

const backup: fc.Arbitrary<BackupFacts> = fc.record({
  id: fc.constantFrom('b1', 'b2', 'b3'),
  release: releaseId(6),
  takenAt: fc.integer({ min: 0, max: 9 }),
  verified: fc.boolean(),
  fingerprint: fc.constantFrom('f1', 'f2'),
  applied,
  location: fc.constant('file:///backups/b'),
});

export const databaseFacts: fc.Arbitrary<DatabaseFacts> = applied.chain((ledger) => {
  const missing = versions.filter((version) => !ledger.includes(version));
  const known = fc.tuple(...versions.map((version) => fc.option(migrationOf(version), { freq: 30 })));
  return fc.record({
    kind: fc.constant('database' as const),
    fingerprint: fc.constantFrom('f1', 'f2', 'f3'),
    applied: fc.constant(ledger),
    pending: fc.integer({ min: 0, max: missing.length }).map((length) => missing.slice(0, length)),
    migrations: known.map((list) => list.flatMap((item) => (item === null ? [] : [item]))),
    backups: fc.array(backup, { maxLength: 3 }),
    capabilities: fc.record({ restore: fc.boolean(), salvage: fc.boolean() }),
    measurements: fc.record({
      bytes: count,
      rows: fc.record({ entries: count }),
      risk: fc.record({ 'migrate-down': risk, restore: risk }, { requiredKeys: [] }),
      blockedMs: fc.record({ 'migrate-down': count, restore: count }, { requiredKeys: [] }),
    }),
  });
});

export const webFacts: fc.Arbitrary<WebFacts> = fc.record({
  kind: fc.constant('web' as const),
  live: fc.option(releaseId(6), { freq: 9 }),
  canHold: fc.boolean(),
  releases: fc.dictionary(
    releaseId(6),
    fc.record(
      { readiness: fc.constantFrom('warm', 'on-disk', 'rebuildable', 'gone'), reason: fc.constant('pruned') },
      { requiredKeys: ['readiness'] },
    ),
    { maxKeys: 6 },
  ),
  measurements: fc.record({ startMs: count, buildMs: count, freeDiskBytes: count }),
});

const desktopStatus: fc.Arbitrary<DesktopStatus> = fc.constantFrom(
  'offered',
  'published',
  'halted',
  'pulled',
);

export const desktopFacts: fc.Arbitrary<DesktopFacts> = fc.record({
  kind: fc.constant('desktop' as const),
  offered: fc.option(fc.constantFrom(...desktopVersions)),
  versions: fc.dictionary(fc.constantFrom(...desktopVersions), fc.record({ status: desktopStatus, commit })),
  atCommit: fc.option(fc.constantFrom(...desktopVersions)),
  standby: fc.option(fc.record({ version: fc.constant('9.0.0'), commit })),
  measurements: fc.record({ clients: fc.dictionary(fc.constantFrom(...desktopVersions), count) }),
});

function factsOfKind(kind: SurfaceKind): fc.Arbitrary<SurfaceFacts> {
  return kind === 'web' ? webFacts : kind === 'database' ? databaseFacts : desktopFacts;
}

function surfaceRelease(kind: SurfaceKind, id: number): fc.Arbitrary<SurfaceRelease> {
  const artifact =
    kind === 'database'
      ? fc.oneof(
          {
            weight: 9,
            arbitrary: fc.record({ applied, fingerprint: fc.constantFrom('f1', 'f2') }),
          },
          { weight: 1, arbitrary: fc.constantFrom(null, 'unreadable', [], { applied: 7 }) },
        )
      : fc.constant(null);
  return fc.record({
    kind: fc.constant(kind),
    commit,
    artifact,
    label: kind === 'desktop' ? fc.constantFrom(...desktopVersions) : fc.constant(`r${id}`),
    since: releaseId(id),
  });
}

type Cast = readonly (readonly [name: string, kind: SurfaceKind])[];

/** Which surfaces the application has: one of each to several of a kind, seldom none. */
const cast: fc.Arbitrary<Cast> = fc
  .record({
    web: fc.subarray([...surfaceNames.web]),
    database: fc.subarray([...surfaceNames.database]),
    desktop: fc.subarray([...surfaceNames.desktop]),
  })
  .map((names) => [
    ...names.web.map((name) => [name, 'web'] as const),
    ...names.database.map((name) => [name, 'database'] as const),
    ...names.desktop.map((name) => [name, 'desktop'] as const),
  ]);

function releaseOf(id: number, members: Cast): fc.Arbitrary<Release> {
  const surfaces = fc
    .tuple(
      ...members.map(([name, kind]) =>
        // A surface may have come later than this release.
        fc.option(surfaceRelease(kind, id), { freq: 12 }).map((surface) => [name, surface] as const),
      ),
    )
    .map((entries) =>
      Object.fromEntries(entries.flatMap(([name, surface]) => (surface === null ? [] : [[name, surface]]))),
    );
  return fc.record({
    id: fc.constant<ReleaseId>(`r${id}`),
    createdAt: fc.constant(id),
    createdBy: fc.constant('maria'),
    commit,
    deployment: fc.constantFrom('pending', 'live', 'superseded', 'superseded', 'rolled-back'),
    health: fc.constantFrom('good', 'good', 'unproven', 'bad'),
    surfaces,
    configurationHash: fc.constant('0'.repeat(64)),
  });
}

const quarantined: fc.Arbitrary<QuarantinedCommit> = fc.record(
  {
    commit: fc.constantFrom(...commits),
    release: releaseId(6),
    reason: fc.constant('lost entries'),
    since: count,
    fixedBy: fc.constantFrom(...commits),
  },
  { requiredKeys: ['commit', 'release', 'reason', 'since'] },
);

export const policy: fc.Arbitrary<Policy> = fc.record({
  application: fc.constant('inner-scribe-vault'),
  environment: fc.constantFrom('staging', 'production'),
  bakeMs: fc.constantFrom(0, 600_000),
  desktop: fc.constantFrom('after', 'during'),
  approvals: fc.subarray(['release', 'rollback'] as const),
  notifyTeam: fc.boolean(),
  rehearsal: fc.constantFrom('required', 'off'),
  buildTimeoutMs: fc.constant(900_000),
  digest: fc.constant(sha256),
});

function situationOf(members: Cast): fc.Arbitrary<Situation> {
  const releases = fc
    .integer({ min: 0, max: 6 })
    .chain((length) => fc.tuple(...Array.from({ length }, (_, index) => releaseOf(length - index, members))));
  const seen = fc
    .tuple(
      ...members.map(([name, kind]) =>
        // Now and then a surface can't be observed, or the name has become another kind of surface.
        fc
          .oneof(
            { weight: 18, arbitrary: factsOfKind(kind) },
            { weight: 1, arbitrary: fc.constant(null) },
            { weight: 1, arbitrary: fc.oneof(webFacts, databaseFacts, desktopFacts) },
          )
          .map((item) => [name, item] as const),
      ),
    )
    .map((entries) =>
      Object.fromEntries(entries.flatMap(([name, item]) => (item === null ? [] : [[name, item]]))),
    );
  return fc.record({
    history: fc.record({ releases, quarantine: fc.array(quarantined, { maxLength: 2 }) }),
    facts: fc.record({ surfaces: seen }),
    policy,
  });
}

export const situation: fc.Arbitrary<Situation> = cast.chain(situationOf);

/** Some names of the application's surfaces, seldom one that it does not have. */
function namesFrom(situation: Situation): fc.Arbitrary<string[]> {
  const names = Object.keys(situation.facts.surfaces);
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(names.length === 0 ? ['web'] : names) },
    { weight: 6, arbitrary: fc.subarray(names.length === 0 ? ['web'] : names, { minLength: 1 }) },
    { weight: 1, arbitrary: fc.constant<string[]>(['nowhere']) },
  );
}

export interface RollbackCase extends Situation {
  readonly request: RollbackRequest;
}

export const rollbackCase: fc.Arbitrary<RollbackCase> = situation.chain((given) =>
  fc
    .record(
      {
        kind: fc.constant('rollback' as const),
        reason: fc.constant('it loses entries'),
        to: releaseId(7),
        only: namesFrom(given),
        strategy: fc.constantFrom(...strategies),
      },
      { requiredKeys: ['kind', 'reason'] },
    )
    .map((request) => ({ ...given, request })),
);

export interface ReleaseCase extends Situation {
  readonly request: ReleaseRequest;
}

export const releaseCase: fc.Arbitrary<ReleaseCase> = situation.chain((given) => {
  const members = Object.entries(given.facts.surfaces).map(([name, seen]) => [name, seen.kind] as const);
  return releaseOf(7, members).chain((release) =>
    fc
      .record({
        changed: namesFrom(given),
        quarantinedAncestors: fc.oneof(
          { weight: 9, arbitrary: fc.constant<string[]>([]) },
          { weight: 1, arbitrary: fc.constant(commits.slice(0, 1)) },
        ),
        phase: fc.constantFrom('whole', 'whole', 'begin', 'finish'),
      })
      .map((parts) => ({
        ...given,
        request: {
          kind: 'release' as const,
          release: { ...release, deployment: 'pending', health: 'unproven' },
          reason: 'release',
          ...parts,
        },
      })),
  );
});
