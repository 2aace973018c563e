import type {
  DataAtRisk,
  DatabaseFacts,
  DesktopFacts,
  Facts,
  MigrationFacts,
  SurfaceFacts,
  WebFacts,
} from '../../src/domain/facts.ts';
import type { Policy } from '../../src/domain/planner/request.ts';
import type { History, Release } from '../../src/domain/release.ts';
import { sha256 } from './arbitrary-facts.ts';

/**
 * Inner Scribe Vault after a bad release: r3 is live, r2 is the last good one. Web, desktop and vault changed with
 * r3; its migration 0018 adds a table of moods. Each test changes what matters to it.
 */
export const good: string = 'a'.repeat(40);
export const bad: string = 'b'.repeat(40);
export const fix: string = 'c'.repeat(40);

export function vaultRelease(id: 1 | 2 | 3 | 4, changes: Partial<Release> = {}): Release {
  const commit = id <= 2 ? good : id === 3 ? bad : fix;
  const applied = id <= 2 ? ['0016', '0017'] : ['0016', '0017', '0018'];
  return {
    id: `r${id}`,
    createdAt: id,
    createdBy: 'maria',
    commit,
    deployment: id === 3 ? 'live' : id === 4 ? 'pending' : 'superseded',
    health: id < 3 ? 'good' : 'unproven',
    surfaces: {
      web: { kind: 'web', commit, artifact: { folder: `r${id}` }, label: `r${id}`, since: `r${id}` },
      vault: {
        kind: 'database',
        commit,
        artifact: { applied, fingerprint: `f${applied.length}` },
        label: applied.at(-1) ?? '',
        since: `r${id}`,
      },
      desktop: { kind: 'desktop', commit, artifact: null, label: `1.${id - 2}.0`, since: `r${id}` },
    },
    configurationHash: '0'.repeat(64),
    ...changes,
  };
}

export function vaultHistory(...changes: readonly Partial<Release>[]): History {
  const [three = {}, two = {}] = changes;
  return { releases: [vaultRelease(3, three), vaultRelease(2, two)], quarantine: [] };
}

export function web(changes: Partial<WebFacts> = {}): WebFacts {
  return {
    kind: 'web',
    live: 'r3',
    canHold: true,
    releases: { r2: { readiness: 'warm' }, r3: { readiness: 'warm' } },
    measurements: { startMs: 400, buildMs: 20_000, freeDiskBytes: 1e9 },
    ...changes,
  };
}

export function migration(version: string, changes: Partial<MigrationFacts> = {}): MigrationFacts {
  return {
    version,
    name: `${version}_moods`,
    checksum: sha256(version),
    down: 'written',
    oldCodeRuns: { holds: true, reason: `${version} only adds` },
    newCodeRuns: { holds: false, reason: `the new code reads what ${version} adds` },
    changesRows: { holds: false, tables: [], reason: '' },
    preImages: 'not-needed',
    ...changes,
  };
}

export const breaksOldCode: Partial<MigrationFacts> = {
  oldCodeRuns: { holds: false, reason: '0018 renames entries.text' },
};
export const rewritesRows: Partial<MigrationFacts> = {
  changesRows: { holds: true, tables: ['entries'], reason: '0018 rewrites entries.text' },
  preImages: 'recorded',
};

export function database(changes: Partial<DatabaseFacts> = {}): DatabaseFacts {
  return {
    kind: 'database',
    fingerprint: 'f3',
    applied: ['0016', '0017', '0018'],
    pending: [],
    migrations: [migration('0018')],
    backups: [
      {
        id: 'r3-before',
        release: 'r3',
        takenAt: 5,
        verified: true,
        fingerprint: 'f2',
        applied: ['0016', '0017'],
        location: 'file:///var/lib/unship/r3-before.db',
      },
    ],
    capabilities: { restore: true, salvage: false },
    measurements: { bytes: 1e6, rows: { entries: 2000 }, risk: {}, blockedMs: {} },
    ...changes,
  };
}

export function losing(lost: number, exact = true): DatabaseFacts['measurements'] {
  const restore: DataAtRisk = {
    tables: [{ table: 'entries', kept: 2000, archived: 0, lost, editedSince: 0 }],
    dropped: [],
    exact,
  };
  return { bytes: 1e6, rows: { entries: 2000 }, risk: { restore }, blockedMs: {} };
}

export function desktop(changes: Partial<DesktopFacts> = {}): DesktopFacts {
  return {
    kind: 'desktop',
    offered: '1.1.0',
    versions: {
      '1.0.0': { status: 'published', commit: good },
      '1.1.0': { status: 'offered', commit: bad },
    },
    atCommit: null,
    standby: { version: '1.1.1', commit: good },
    measurements: { clients: {} },
    ...changes,
  };
}

export function seen(surfaces: { readonly [name: string]: SurfaceFacts } = {}): Facts {
  return { surfaces: { web: web(), vault: database(), desktop: desktop(), ...surfaces } };
}

export function vaultPolicy(changes: Partial<Policy> = {}): Policy {
  return {
    application: 'inner-scribe-vault',
    environment: 'production',
    bakeMs: 600_000,
    desktop: 'after',
    approvals: [],
    notifyTeam: true,
    rehearsal: 'required',
    digest: sha256,
    ...changes,
  };
}
