import { posix } from 'node:path';
import type { DesktopFacts, DesktopStatus } from '../../domain/facts.ts';
import { shortCommit } from '../../domain/names.ts';
import { isVersion } from '../../domain/version.ts';
import type { LookContext, Query } from '../../surfaces/surface.port.ts';
import type { Feed } from './feed.ts';
import { readFeeds } from './folder.ts';
import { artifactInvalid } from './manifest.ts';
import { highestVersion } from './offer.ts';
import { chooseStandby, findStandbyFolders } from './standby.ts';

export function desktopRoot(feed: Feed): string {
  return posix.normalize(feed.options.root ?? 'desktop');
}

/** Throws `artifact-invalid` when package.json is there and states no version. */
export async function versionAtCommit(feed: Feed, commit: string): Promise<string | null> {
  const path = posix.join(desktopRoot(feed), 'package.json');
  const text = commit === '' ? null : await feed.environment.source.read(commit, path);
  if (text === null) return null;
  let version: unknown;
  try {
    version = (JSON.parse(text) as { readonly version?: unknown } | null)?.version;
  } catch {
    throw artifactInvalid(`${path} at ${shortCommit(commit)} is no JSON`);
  }
  if (typeof version !== 'string' || !isVersion(version)) {
    throw artifactInvalid(
      `${path} at ${shortCommit(commit)} has the version ${JSON.stringify(version ?? null)}`,
    );
  }
  return version;
}

/**
 * What the files in the folder offer, not what was last asked for. Should the platforms differ (a run was
 * killed among them), the highest: the one that somebody may be getting.
 */
export async function observeFeed(feed: Feed, _context: LookContext, query: Query): Promise<DesktopFacts> {
  const state = await feed.store.read();
  const open = Object.values(await readFeeds(feed.folder)).filter(
    (content) => content.stagingPercentage !== 0,
  );
  const offered = highestVersion(open.map(({ version }) => version)) ?? null;
  const versions: { [version: string]: { status: DesktopStatus; commit: string } } = {};
  for (const [version, { status, manifest }] of Object.entries(state.versions)) {
    versions[version] = { status: version === offered ? 'offered' : status, commit: manifest.commit };
  }
  if (offered !== null) versions[offered] ??= { status: 'offered', commit: '' };
  const { found } = await findStandbyFolders(feed.environment.root, feed.options.standby);
  const candidates = [...(state.standby === null ? [] : [state.standby]), ...found];
  const standby = chooseStandby(state, candidates, query.releases, feed.environment.surface);
  return {
    kind: 'desktop',
    offered,
    versions,
    atCommit: query.commit === undefined ? null : await versionAtCommit(feed, query.commit),
    standby: standby === null ? null : { version: standby.version, commit: standby.commit },
    // A folder of files does not count who reads it.
    measurements: { clients: {} },
  };
}
