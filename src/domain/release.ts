import type { Json } from './json.ts';

export type SurfaceKind = 'web' | 'desktop' | 'database';

/** `r1`, `r2` …: numbered per application and environment, never used twice. */
export type ReleaseId = `r${number}`;

/**
 * What one release says about one surface. `artifact` belongs to the surface's provider: it names what was
 * built (a folder, a deployment id, a version) and everyone else only compares it.
 */
export interface SurfaceRelease {
  readonly kind: SurfaceKind;
  /** 40 hexadecimal digits; empty for an adopted release whose commit is not known. */
  readonly commit: string;
  readonly artifact: Json;
  /** What a person calls it: `r41`, `1.1.0`, `0018_moods`. */
  readonly label: string;
  /** The release that changed this surface last: this one, or an earlier one whose artifact is carried over. */
  readonly since: ReleaseId;
}

/** How far a release got. */
export type Deployment = 'pending' | 'live' | 'superseded' | 'rolled-back';

/** What is known of it. Only a watch that ended healthy, or an operator's adoption, makes it good. */
export type Health = 'unproven' | 'good' | 'bad';

/** What the rehearsal of a release's way back has shown. */
export interface RehearsalRecord {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly ok: boolean;
  /** How long the way back took on the copy. */
  readonly wayBackMs: number;
  /** Rows lost on the copy. */
  readonly rowsLost: number;
  readonly note?: string;
}

export interface Release {
  readonly id: ReleaseId;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly createdBy: string;
  /** The commit that was asked for; surfaces that did not change keep their own. */
  readonly commit: string;
  readonly deployment: Deployment;
  readonly health: Health;
  readonly surfaces: { readonly [surface: string]: SurfaceRelease };
  /** Hash of the configuration it was released with; the text itself is stored beside it. */
  readonly configurationHash: string;
  readonly rehearsal?: RehearsalRecord;
  /** Releases whose security fixes this one holds; with its own id when it brought one itself. */
  readonly securityFixes?: readonly ReleaseId[];
}

/** A commit that must not ship again, nor anything that contains it without its fix. */
export interface QuarantinedCommit {
  readonly commit: string;
  readonly release: ReleaseId;
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Set once lifted: the commit that fixes or reverts it. */
  readonly fixedBy?: string;
}

/** Newest first in `releases`, whatever order the store returned. */
export interface History {
  readonly releases: readonly Release[];
  readonly quarantine: readonly QuarantinedCommit[];
}

export function releaseNumber(id: ReleaseId): number {
  return Number(id.slice(1));
}

export function isReleaseId(text: string): text is ReleaseId {
  return /^r[1-9][0-9]{0,8}$/.test(text);
}

export function liveRelease(history: History): Release | undefined {
  return history.releases.find((release) => release.deployment === 'live');
}

export function findRelease(history: History, id: ReleaseId): Release | undefined {
  return history.releases.find((release) => release.id === id);
}

/** Every commit that it is made of, each once: the one asked for, and those of surfaces that were carried over. */
export function commitsOf(release: Release): readonly string[] {
  const commits = [release.commit, ...Object.values(release.surfaces).map((surface) => surface.commit)];
  return [...new Set(commits)].filter((commit) => commit !== '');
}

export function isMadeOf(release: Release, commit: string): boolean {
  return commitsOf(release).includes(commit);
}

/** A commit is quarantined while no fix has lifted it. */
export function isQuarantined(history: History, commit: string): QuarantinedCommit | undefined {
  return history.quarantine.find((entry) => entry.commit === commit && entry.fixedBy === undefined);
}

/**
 * The newest release before `before` whose watch ended healthy and none of whose commits is quarantined:
 * proven, not merely previous.
 */
export function lastGoodRelease(
  history: History,
  before?: ReleaseId,
  suits: (release: Release) => boolean = () => true,
): Release | undefined {
  return history.releases.find(
    (release) =>
      release.health === 'good' &&
      suits(release) &&
      (before === undefined || releaseNumber(release.id) < releaseNumber(before)) &&
      isQuarantined(history, release.commit) === undefined &&
      Object.values(release.surfaces).every(
        (surface) => surface.commit === '' || isQuarantined(history, surface.commit) === undefined,
      ),
  );
}

function isSamePart(one: SurfaceRelease | undefined, other: SurfaceRelease | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  // Two commits that are not known are the same only where one was carried over from the other.
  return one.commit === other.commit && (one.commit !== '' || one.since === other.since);
}

/** Whether going from one to the other changes no code, in these surfaces; default all. */
export function isSameCode(one: Release, other: Release, only?: readonly string[]): boolean {
  const names = [...new Set([one, other].flatMap((release) => Object.keys(release.surfaces)))].filter(
    (name) => only?.includes(name) ?? true,
  );
  return names.length > 0 && names.every((name) => isSamePart(one.surfaces[name], other.surfaces[name]));
}

/**
 * Where a rollback from `from` goes unless a person names another: the last good release of other code. One that
 * was released twice and passed its watch twice is no way back from itself.
 */
export function wayBackFrom(history: History, from: Release, only?: readonly string[]): Release | undefined {
  return lastGoodRelease(history, from.id, (release) => !isSameCode(from, release, only));
}

/**
 * The last good release where `from` is made of nothing but parts that it has in common with it: they were taken
 * back one by one, or it brought nothing. The code in question is gone already, and going further is no default.
 */
export function alreadyBackAt(
  history: History,
  from: Release,
  only?: readonly string[],
): Release | undefined {
  const good = lastGoodRelease(history, from.id);
  if (good === undefined || !isSameCode(from, good, only)) return undefined;
  const parts = Object.entries(from.surfaces).filter(([name]) => only?.includes(name) ?? true);
  return parts.every(([, part]) => part.since !== from.id) ? good : undefined;
}
