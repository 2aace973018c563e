import { UnshipError } from '../../domain/errors.ts';
import { shortCommit } from '../../domain/names.ts';
import { compareVersions } from '../../domain/version.ts';
import type { DesktopTarget } from '../../surfaces/desktop/desktop.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { type ArtifactFolder, describe, lookInto } from './artifacts.ts';
import type { Feed } from './feed.ts';
import { followState, placeFiles, refuseMissingPlatforms, refuseTakenNames } from './folder.ts';
import { artifactInvalid, type Manifest } from './manifest.ts';
import { type FeedState, published } from './offer.ts';
import { refuseLowerVersion, refuseUnlessAbove } from './stage.ts';
import { findStandbyFolders } from './standby.ts';
import { publicStateName } from './state.ts';

/** A version that was taken back comes back by unhalting or unpulling it, never by the repeat of its release. */
function refuseWithdrawn(state: FeedState, version: string): void {
  const status = state.versions[version]?.status;
  if (status === undefined || status === 'published') return;
  throw artifactInvalid(
    `${version} is ${status}: publishing it would bring it back to clients`,
    'release a fix under a higher version',
  );
}

/** Files first, each whole and verified; then the state; the platforms' feeds last. */
async function offer(feed: Feed, context: WorkContext, manifest: Manifest): Promise<void> {
  refuseWithdrawn(await feed.store.change(context, (state) => state), manifest.version);
  await placeFiles(context, feed.folder, manifest, await feed.staging.sources(manifest));
  await feed.store.change(
    context,
    (state) => {
      refuseWithdrawn(state, manifest.version);
      if (state.versions[manifest.version] === undefined) refuseLowerVersion(state, manifest.version);
      return published(state, manifest);
    },
    (state) => followState(context, feed.folder, state, publicStateName),
  );
}

/** So many published versions keep their private copy, from which a damaged feed is mended. */
const copiesKept = 5;

async function pruneStaging(feed: Feed): Promise<void> {
  if (feed.rehearsal) return;
  const versions = Object.keys((await feed.store.read()).versions).sort(compareVersions);
  for (const version of versions.slice(0, -copiesKept)) await feed.staging.drop(version);
}

/** Throws `artifact-invalid`, `disk-full`, `fenced-out`. */
export async function publishTarget(feed: Feed, context: WorkContext, target: DesktopTarget): Promise<void> {
  const state = await feed.store.read();
  const before = state.versions[target.version]?.manifest;
  const staged = before ?? (await feed.staging.find(target.version));
  if (staged === null) throw artifactInvalid(`${target.version} was not staged`);
  if (staged.commit !== '' && staged.commit !== target.commit) {
    throw artifactInvalid(
      `${target.version} was staged from ${shortCommit(staged.commit)}, not from ${shortCommit(target.commit)}`,
    );
  }
  if (before === undefined) {
    refuseLowerVersion(state, target.version);
    await refuseMissingPlatforms(feed.folder, staged);
    await refuseTakenNames(feed.folder, staged, context.signal);
  }
  await offer(feed, context, staged);
  await pruneStaging(feed);
}

/** Checks a folder with good code under a higher version and keeps a copy of it. */
async function takeStandby(
  feed: Feed,
  context: WorkContext,
  folder: ArtifactFolder,
  commit: string,
): Promise<Manifest> {
  const state = await feed.store.change(context, (current) => current);
  refuseUnlessAbove(Object.keys(state.versions), folder.version);
  const now = context.runtime.clock.now();
  const manifest = await describe(folder, { commit, now, signal: context.signal });
  await refuseMissingPlatforms(feed.folder, manifest);
  await refuseTakenNames(feed.folder, manifest, context.signal);
  await feed.staging.take(context, folder, manifest);
  return manifest;
}

export async function addStandby(
  feed: Feed,
  context: WorkContext,
  standby: { readonly folder: string; readonly commit: string },
): Promise<{ readonly version: string }> {
  const folder = await lookInto(standby.folder, null);
  const { version, commit } = await takeStandby(feed, context, folder, standby.commit);
  await feed.store.change(context, (state) => ({ ...state, standby: { version, commit } }));
  return { version };
}

async function findStandby(feed: Feed, context: WorkContext, version: string): Promise<Manifest> {
  const { standby } = await feed.store.read();
  const staged = await feed.staging.find(version);
  if (
    staged !== null &&
    standby?.version === version &&
    (await feed.staging.isWhole(staged, context.signal))
  ) {
    return staged;
  }
  const { found, problems } = await findStandbyFolders(feed.environment.root, feed.options.standby);
  const folder = found.find((candidate) => candidate.version === version);
  if (folder !== undefined) return await takeStandby(feed, context, folder, folder.commit);
  throw new UnshipError('artifact-invalid', {
    happened: `there is no standby hotfix ${version}${problems.length === 0 ? '' : ` (${problems.join('; ')})`}`,
    done: 'what clients are offered did not change',
    next: 'build the good code under a higher version than any published, then unship plan',
  });
}

/**
 * Offers the standby. Clients on the bad version take it, since it is higher, and it truly is what it says: its
 * version stands in the binary, not only in the feed. Throws `artifact-invalid`, `disk-full`, `fenced-out`.
 */
export async function publishStandby(feed: Feed, context: WorkContext, version: string): Promise<void> {
  const before = (await feed.store.read()).versions[version]?.manifest;
  const manifest = before ?? (await findStandby(feed, context, version));
  if (before === undefined) {
    await refuseMissingPlatforms(feed.folder, manifest);
    await refuseTakenNames(feed.folder, manifest, context.signal);
  }
  await offer(feed, context, manifest);
}
