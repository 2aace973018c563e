import type { Json } from './json.ts';
import type { ReleaseId } from './release.ts';
import type { SchemaParts } from './schema-difference.ts';

/**
 * Facts are what `observe` saw. Fields under `measurements` change from second to second and are no part of a
 * plan's identity; everything else is.
 */
export type SurfaceFacts = WebFacts | DatabaseFacts | DesktopFacts;

/** How ready an older web release is to serve again. `gone` is the only one there is no way back to. */
export type WebReadiness = 'warm' | 'on-disk' | 'rebuildable' | 'gone';

export interface WebFacts {
  readonly kind: 'web';
  /** The release (the one that staged what runs) that the live address serves; null before the first one, or when it can't be told. */
  readonly live: ReleaseId | null;
  /** Requests can be held back (queued, not refused) for a moment while both sides change. */
  readonly canHold: boolean;
  readonly releases: {
    readonly [release: ReleaseId]: { readonly readiness: WebReadiness; readonly reason?: string };
  };
  readonly measurements: {
    /** The application's own start in ms, as last measured; 0 when never. */
    readonly startMs: number;
    /** Install and build in ms, as last measured; 0 when never. */
    readonly buildMs: number;
    readonly freeDiskBytes: number;
  };
}

/** A claim about old or new code on a schema, with the reason a person is shown. */
export interface Compatibility {
  readonly holds: boolean;
  readonly reason: string;
}

/** One migration, as its text and the schema tell it. */
export interface MigrationFacts {
  readonly version: string;
  readonly name: string;
  /** SHA-256 of its text. */
  readonly checksum: string;
  /** `restore-only`: the author declared that only a restore takes it back. */
  readonly down: 'written' | 'missing' | 'restore-only';
  /** Why its down can't run on the live schema, naming file and line; left out when it can, or was not tried. */
  readonly downFails?: string;
  /** Code from before this migration runs on the schema after it. */
  readonly oldCodeRuns: Compatibility;
  /** Code from after this migration runs on the schema before it. */
  readonly newCodeRuns: Compatibility;
  /** It updates, deletes or rebuilds rows that existed before, or nobody can tell that it does not. */
  readonly changesRows: {
    readonly holds: boolean;
    readonly tables: readonly string[];
    readonly reason: string;
  };
  /** Where the values it overwrote are kept: recorded exactly, only in the backup, or nowhere. */
  readonly preImages: 'recorded' | 'backup' | 'none' | 'not-needed';
}

export interface BackupFacts {
  readonly id: string;
  /** The release it was taken for (just before that release's migration). */
  readonly release: ReleaseId;
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  readonly verified: boolean;
  /** Schema fingerprint inside the backup. */
  readonly fingerprint: string;
  /** Versions applied inside the backup, oldest first. */
  readonly applied: readonly string[];
  readonly location: string;
}

/** Rows that a choice would lose, keep or set aside, per table. Counted, never estimated. */
export interface TableRisk {
  readonly table: string;
  readonly kept: number;
  readonly archived: number;
  readonly lost: number;
  /** Application edits made on values that the migration had rewritten: the application's value stays. */
  readonly editedSince: number;
  /** Rows that the application has deleted since and that would be there again; left out when there are none. */
  readonly returning?: number;
  /** Recorded rows that the migration had overwritten or deleted and that stay in the record; left out when there are none. */
  readonly withheld?: number;
}

export interface DataAtRisk {
  readonly tables: readonly TableRisk[];
  /** Columns and tables that go away with the choice; their content is archived first. */
  readonly dropped: readonly string[];
  /** False when counting was not possible or took too long: then the numbers are a lower bound. */
  readonly exact: boolean;
}

export interface DatabaseFacts {
  readonly kind: 'database';
  /** Fingerprint of the live schema, our own objects left out. */
  readonly fingerprint: string;
  /** Versions in the migration ledger, oldest first. */
  readonly applied: readonly string[];
  /** Versions that the commit asked about has and the ledger lacks, oldest first; empty when none was asked. */
  readonly pending: readonly string[];
  /** Everything known about the migrations that stand between the releases in question. */
  readonly migrations: readonly MigrationFacts[];
  readonly backups: readonly BackupFacts[];
  /** What the provider can do at all. */
  readonly capabilities: { readonly restore: boolean; readonly salvage: boolean };
  readonly measurements: {
    readonly bytes: number;
    /** What the schema is made of, where that was asked for. */
    readonly schema?: SchemaParts;
    /** Why no backup of it can be taken as it is, and what to do; left out when one can. */
    readonly noBackup?: { readonly reason: string; readonly next: string };
    /** Row counts per table. */
    readonly rows: { readonly [table: string]: number };
    /** Per strategy, where counting was asked for. */
    readonly risk: { readonly 'migrate-down'?: DataAtRisk; readonly restore?: DataAtRisk };
    /** How long writes would be blocked, in ms, per strategy where it can be told. */
    readonly blockedMs: { readonly 'migrate-down'?: number; readonly restore?: number };
  };
}

export type DesktopStatus = 'offered' | 'published' | 'halted' | 'pulled';

export interface DesktopFacts {
  readonly kind: 'desktop';
  /** The version that a client is offered now; null for an empty feed. */
  readonly offered: string | null;
  readonly versions: {
    readonly [version: string]: { readonly status: DesktopStatus; readonly commit: string };
  };
  /** Version that the code of the commit asked about has; null when none was asked or it has no desktop part. */
  readonly atCommit: string | null;
  /** The last good code built under a higher version, ready to publish. */
  readonly standby: { readonly version: string; readonly commit: string } | null;
  readonly measurements: { readonly clients: { readonly [version: string]: number } };
}

export interface Facts {
  readonly surfaces: { readonly [surface: string]: SurfaceFacts };
}

/** Only what identifies the state: the part of the facts that a plan's hash covers. */
export function identityOf(facts: Facts): Json {
  const identity: { [surface: string]: Json } = {};
  for (const [surface, { measurements: _, ...rest }] of Object.entries(facts.surfaces)) {
    identity[surface] = rest as unknown as Json;
  }
  return identity;
}

/** What a database surface's release artifact is: the ledger and schema it left behind. */
export interface DatabaseArtifact {
  /** Versions applied, oldest first. */
  readonly applied: readonly string[];
  readonly fingerprint: string;
}

export const noRisk: DataAtRisk = { tables: [], dropped: [], exact: true };

export function rowsLost(risk: DataAtRisk): number {
  return risk.tables.reduce((sum, table) => sum + table.lost, 0);
}

/** The artifact of a database surface's release; null when it is none: written by hand, or of another version. */
export function readDatabaseArtifact(artifact: Json): DatabaseArtifact | null {
  if (artifact === null || typeof artifact !== 'object' || Array.isArray(artifact)) return null;
  const { applied, fingerprint } = artifact as { readonly applied?: Json; readonly fingerprint?: Json };
  if (!Array.isArray(applied) || typeof fingerprint !== 'string') return null;
  const versions = applied.filter((version): version is string => typeof version === 'string');
  return versions.length === applied.length ? { applied: versions, fingerprint } : null;
}
