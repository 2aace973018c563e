import { compareVersions } from '../../domain/version.ts';
import type { FeedContent, Manifest } from './manifest.ts';

/** What is known of one version that clients have been offered. */
export interface VersionRecord {
  readonly status: 'published' | 'halted' | 'pulled';
  /** The version that was offered before this one was published. */
  readonly before: string | null;
  readonly manifest: Manifest;
}

/** What the feed shall say; the files in the folder follow from it. */
export interface FeedState {
  readonly schema: 'unship.feed/1';
  /** Highest fence seen: work with a lower one is refused. */
  readonly fence: number;
  readonly offered: string | null;
  readonly versions: { readonly [version: string]: VersionRecord };
  /** A standby hotfix that was taken in by hand. */
  readonly standby: { readonly version: string; readonly commit: string } | null;
}

export const emptyState: FeedState = {
  schema: 'unship.feed/1',
  fence: 0,
  offered: null,
  versions: {},
  standby: null,
};

function withStatus(state: FeedState, version: string, status: VersionRecord['status']): FeedState {
  const record = state.versions[version];
  if (record === undefined || record.status === status) return state;
  return { ...state, versions: { ...state.versions, [version]: { ...record, status } } };
}

export function highestVersion(versions: readonly string[]): string | undefined {
  return [...versions].sort(compareVersions).at(-1);
}

/**
 * Newest version offered before `version` that was neither halted nor pulled; null when there is none. Falling
 * back to it puts the feed where it stood before `version` came, so nobody gets anything that was not out
 * already. That is better than stagingPercentage 0, with which an older client gets nothing at all.
 */
function fallbackOf(state: FeedState, version: string): string | null {
  const seen = new Set<string>([version]);
  let candidate = state.versions[version]?.before ?? null;
  while (candidate !== null && !seen.has(candidate)) {
    const record: VersionRecord | undefined = state.versions[candidate];
    if (record?.status === 'published') return candidate;
    seen.add(candidate);
    candidate = record?.before ?? null;
  }
  return null;
}

function isNewestStanding(state: FeedState, version: string): boolean {
  return !Object.entries(state.versions).some(
    ([other, { status }]) => status === 'published' && compareVersions(other, version) > 0,
  );
}

/** A version that was halted or pulled stays so. */
export function published(state: FeedState, manifest: Manifest): FeedState {
  const { version } = manifest;
  const known = state.versions[version];
  if (known !== undefined) {
    const stands = known.status === 'published' && isNewestStanding(state, version);
    return stands ? { ...state, offered: version } : state;
  }
  const record: VersionRecord = { status: 'published', before: state.offered, manifest };
  return {
    ...state,
    offered: version,
    standby: state.standby?.version === version ? null : state.standby,
    versions: { ...state.versions, [version]: record },
  };
}

/** `usable` tells whether a version's files are still there to be offered. */
export function halted(state: FeedState, version: string, usable: (version: string) => boolean): FeedState {
  if (state.versions[version]?.status !== 'published') return state;
  const next = withStatus(state, version, 'halted');
  if (state.offered !== version) return next;
  const fallback = fallbackOf(state, version);
  return { ...next, offered: fallback !== null && usable(fallback) ? fallback : null };
}

/** Offered again, unless something newer is: what is only out, and not offered, was no longer before the halt. */
export function unhalted(state: FeedState, version: string): FeedState {
  if (state.versions[version]?.status !== 'halted') return state;
  const next = withStatus(state, version, 'published');
  const { offered } = state;
  const isBeyond = offered !== null && compareVersions(offered, version) > 0;
  return isBeyond ? next : { ...next, offered: version };
}

/**
 * `to` takes the place of `version` only where `version`, or what its halt fell back to, is offered: a standby
 * hotfix that is out already stays the offer, so that a repeated pull never takes it away.
 */
export function pulled(state: FeedState, version: string, to: string | null): FeedState {
  if (state.versions[version] === undefined) return state;
  const next = withStatus(state, version, 'pulled');
  const beyond = state.offered !== null && compareVersions(state.offered, version) > 0;
  return beyond ? next : { ...next, offered: to };
}

export function unpulled(state: FeedState, version: string): FeedState {
  const record = state.versions[version];
  return record === undefined ? state : { ...withStatus(state, version, 'published'), offered: version };
}

/**
 * What one platform's feed says: the offered version; where that version has no build for the platform, the
 * newest older one that stands; else the newest known at 0 %, which offers nothing and yet is a whole feed: a
 * missing file is an error in every client. Undefined when no version was ever built for this platform.
 */
export function contentFor(state: FeedState, feedName: string): FeedContent | undefined {
  const built = Object.values(state.versions).filter(
    ({ manifest }) => manifest.feeds[feedName] !== undefined,
  );
  const { offered } = state;
  const standing = built.filter(
    ({ status, manifest }) =>
      offered !== null &&
      (manifest.version === offered ||
        (status === 'published' && compareVersions(manifest.version, offered) < 0)),
  );
  const pick = (records: readonly VersionRecord[]): FeedContent | undefined => {
    const version = highestVersion(records.map(({ manifest }) => manifest.version));
    return version === undefined ? undefined : state.versions[version]?.manifest.feeds[feedName];
  };
  const content = pick(standing);
  if (content !== undefined) return content;
  const newest = pick(built);
  return newest === undefined ? undefined : { ...newest, stagingPercentage: 0 };
}

/** Every platform that any known version was built for, sorted. */
export function feedNamesOf(state: FeedState): readonly string[] {
  return [
    ...new Set(Object.values(state.versions).flatMap(({ manifest }) => Object.keys(manifest.feeds))),
  ].sort();
}
