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

/** Length of the ledger that each release left behind, oldest first: it only ever grows. */
function ledgerLengths(releases: number): fc.Arbitrary<number[]> {
  return fc
    .array(fc.integer({ min: 0, max: versions.length }), { minLength: releases, maxLength: releases })
    .map((lengths) => [...lengths].sort((a, b) => a - b));
}

function plausibleSurface(
  [name, kind]: Cast[number],
  ids: readonly number[],
  since: readonly number[],
  lengths: readonly number[],
): readonly (readonly [string, SurfaceRelease])[] {
  return ids.map((id, index) => {
    const changedAt = since[index] ?? id;
    const length = lengths[changedAt - 1] ?? 0;
    return [
      name,
      {
        kind,
        commit: commitAt(changedAt),
        artifact:
          kind === 'database' ? { applied: versions.slice(0, length), fingerprint: `f${length}` } : null,
        label:
          kind === 'desktop' ? (desktopVersions[Math.min(changedAt, 4) - 1] ?? '1.0.0') : `r${changedAt}`,
        since: `r${changedAt}`,
      },
    ];
  });
}

function commitAt(id: number): string {
  return String(id).repeat(40);
}

/** What a surface looks like when the newest release is out, or stopped half-way. */
function plausibleFacts(
  kind: SurfaceKind,
  newest: SurfaceRelease | undefined,
  before: SurfaceRelease | undefined,
  ids: readonly number[],
): fc.Arbitrary<SurfaceFacts> {
  const reached = fc.oneof(
    { weight: 5, arbitrary: fc.constant(newest) },
    { weight: 1, arbitrary: fc.constant(before) },
  );
  if (kind === 'web') {
    return fc
      .tuple(
        webFacts,
        reached,
        fc.array(fc.constantFrom('warm', 'on-disk', 'rebuildable'), { minLength: 6, maxLength: 6 }),
      )
      .map(([seen, at, readiness]) => ({
        ...seen,
        live: at?.since ?? null,
        releases: Object.fromEntries(
          ids.map((id, index) => [`r${id}`, { readiness: readiness[index] ?? 'warm' }]),
        ),
      }));
  }
  if (kind === 'desktop') {
    return fc.tuple(desktopFacts, reached).map(([seen, at]) => ({
      ...seen,
      offered: at?.label ?? null,
      versions: Object.fromEntries(
        desktopVersions.map((version, index) => [
          version,
          { status: 'published' as const, commit: commitAt(index + 1) },
        ]),
      ),
    }));
  }
  const migrations = fc.tuple(...versions.map(migrationOf));
  return fc.tuple(databaseFacts, reached, migrations, fc.boolean()).map(([seen, at, known, backedUp]) => {
    const ledger = (at?.artifact as { readonly applied: readonly string[] } | undefined)?.applied ?? [];
    return {
      ...seen,
      applied: ledger,
      pending: versions.slice(ledger.length, ledger.length + seen.pending.length),
      migrations: known,
      capabilities: { ...seen.capabilities, restore: true },
      backups: backedUp
        ? versions.map((version, length) => ({
            id: `b${version}`,
            release: 'r1' as const,
            takenAt: length,
            verified: true,
            fingerprint: `f${length}`,
            applied: versions.slice(0, length),
            location: 'file:///backups/b',
          }))
        : seen.backups,
    };
  });
}

/** As it is on most days: a history in which ledgers grow, one release is live, and the world fits the records. */
function plausibleOf(members: Cast): fc.Arbitrary<Situation> {
  return fc.integer({ min: 2, max: 5 }).chain((length) => {
    const ids = Array.from({ length }, (_, index) => index + 1);
    const each = fc.tuple(
      ...members.map((member) =>
        fc
          .tuple(
            ledgerLengths(length),
            // Some releases carry the surface over from the one before.
            fc.array(fc.boolean(), { minLength: length, maxLength: length }),
          )
          .map(([lengths, changes]) => {
            let last = 1;
            const since = ids.map((id, index) => {
              if (changes[index] || index === 0) last = id;
              return last;
            });
            return plausibleSurface(member, ids, since, lengths);
          }),
      ),
    );
    return fc
      .record({
        each,
        newest: fc.constantFrom('live', 'live', 'pending'),
        good: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
        policy,
      })
      .chain(({ each: columns, newest, good, policy: decided }) => {
        const releases = ids
          .map((id, index): Release => {
            const isNewest = id === length;
            const live = newest === 'live' ? isNewest : id === length - 1;
            return {
              id: `r${id}`,
              createdAt: id,
              createdBy: 'maria',
              commit: commitAt(id),
              deployment: live ? 'live' : isNewest ? 'pending' : 'superseded',
              health: isNewest ? 'unproven' : id === 1 || good[index] ? 'good' : 'bad',
              surfaces: Object.fromEntries(
                columns.flatMap((column) => [column[index]].filter((entry) => entry !== undefined)),
              ),
              configurationHash: '0'.repeat(64),
            };
          })
          .reverse();
        const [last, previous] = releases;
        const seen = fc
          .tuple(
            ...members.map(([name, kind]) =>
              plausibleFacts(kind, last?.surfaces[name], previous?.surfaces[name], ids).map(
                (item) => [name, item] as const,
              ),
            ),
          )
          .map((entries) => ({ surfaces: Object.fromEntries(entries) }));
        return fc.record({
          history: fc.constant({ releases, quarantine: [] }),
          facts: seen,
          policy: fc.constant(decided),
        });
      });
  });
}

export const situation: fc.Arbitrary<Situation> = cast.chain((members) =>
  fc.oneof({ weight: 3, arbitrary: plausibleOf(members) }, { weight: 2, arbitrary: situationOf(members) }),
);

/** Some names of the application's surfaces, seldom one that it does not have. */
function namesFrom(situation: Situation): fc.Arbitrary<string[]> {
  const names = Object.keys(situation.facts.surfaces);
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant<string[]>(names.length === 0 ? ['web'] : names) },
    { weight: 6, arbitrary: fc.subarray(names.length === 0 ? ['web'] : names, { minLength: 1 }) },
    { weight: 1, arbitrary: fc.constant<string[]>(['nowhere']) },
  );
}

export interface RollbackCase extends Situation {
  readonly request: RollbackRequest;
}

export const rollbackCase: fc.Arbitrary<RollbackCase> = situation.chain((given) =>
  fc
    .record({
      kind: fc.constant('rollback' as const),
      reason: fc.constant('it loses entries'),
      to: fc.option(releaseId(6), { freq: 2 }),
      only: fc.option(namesFrom(given), { freq: 2 }),
      strategy: fc.option(fc.constantFrom(...strategies), { freq: 2 }),
    })
    .map(({ to, only, strategy, ...request }) => ({
      ...given,
      request: {
        ...request,
        ...(to === null ? {} : { to }),
        ...(only === null ? {} : { only }),
        ...(strategy === null ? {} : { strategy }),
      },
    })),
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
