import { isAbsolute, join, relative } from 'node:path';
import type { Json } from '../../domain/json.ts';
import { shortCommit } from '../../domain/names.ts';
import { compareVersions } from '../../domain/version.ts';
import type { DesktopTarget } from '../../surfaces/desktop/desktop.port.ts';
import type { LookContext, Observation, WorkContext } from '../../surfaces/surface.port.ts';
import { describe, lookInto } from './artifacts.ts';
import { buildCommit } from './build.ts';
import type { Feed } from './feed.ts';
import { refuseMissingPlatforms, refuseTakenNames } from './folder.ts';
import { artifactInvalid, type Manifest, sameFiles } from './manifest.ts';
import { desktopRoot, versionAtCommit } from './observe.ts';
import { type FeedState, highestVersion } from './offer.ts';

/** What the journal and the release history keep of a manifest. */
function artifactOf(manifest: Manifest): Json {
  return {
    version: manifest.version,
    commit: manifest.commit,
    feeds: Object.keys(manifest.feeds).sort(),
    files: manifest.files.map(({ name, size, sha512 }) => ({ name, size, sha512 })),
  };
}

/** Throws `artifact-invalid` unless clients on every other published version would take this one. */
export function refuseLowerVersion(state: FeedState, version: string): void {
  refuseUnlessAbove(
    Object.keys(state.versions).filter((other) => other !== version),
    version,
  );
}

/** Throws `artifact-invalid` unless a client on any of the `published` versions would take it. */
export function refuseUnlessAbove(published: readonly string[], version: string): void {
  const highest = highestVersion(published);
  if (highest === undefined || compareVersions(version, highest) > 0) return;
  throw artifactInvalid(
    `${version} is not higher than ${highest}, which was published already: clients would not take it`,
    `raise the version in package.json above ${highest}, build, release again`,
  );
}

function artifactsIn(feed: Feed, base: string, target: DesktopTarget): string {
  const path = feed.options.artifacts
    .replaceAll('{version}', target.version)
    .replaceAll('{commit}', target.commit);
  return isAbsolute(path) ? path : join(base, path);
}

/** Reads the artifacts and copies them in, unless the same bytes are staged already. */
async function takeIn(
  feed: Feed,
  context: WorkContext,
  target: DesktopTarget,
  folder: string,
): Promise<Manifest> {
  const artifacts = await lookInto(folder, target.version);
  const manifest = await describe(artifacts, {
    commit: target.commit,
    now: context.runtime.clock.now(),
    signal: context.signal,
  });
  const staged = await feed.staging.find(target.version);
  if (staged !== null && staged.commit === target.commit && sameFiles(staged, manifest)) {
    if (await feed.staging.isWhole(staged, context.signal)) return staged;
  }
  await refuseMissingPlatforms(feed.folder, manifest);
  await refuseTakenNames(feed.folder, manifest, context.signal);
  await feed.staging.take(context, artifacts, manifest);
  return manifest;
}

async function buildAndTakeIn(feed: Feed, context: WorkContext, target: DesktopTarget): Promise<Manifest> {
  const { build: command } = feed.options;
  const { source, root } = feed.environment;
  if (command === undefined) {
    return await takeIn(feed, context, target, artifactsIn(feed, root, target));
  }
  // Builds are seldom reproducible: what was built once for this commit stays what is released.
  const staged = await feed.staging.find(target.version);
  if (staged !== null && staged.commit === target.commit) {
    if (await feed.staging.isWhole(staged, context.signal)) return staged;
  }
  const { options } = feed;
  const what = { command, options, root: desktopRoot(feed), version: target.version, commit: target.commit };
  return await buildCommit(context, feed.environment, what, async (checkout) => {
    const base = join(checkout, relative(source.root, root));
    return await takeIn(feed, context, target, artifactsIn(feed, base, target));
  });
}

/** Throws `artifact-invalid`, `build-failed`, `commit-gone`, `disk-full`, `fenced-out`. */
export async function stageTarget(feed: Feed, context: WorkContext, target: DesktopTarget): Promise<Json> {
  const state = await feed.store.change(context, (current) => current);
  const stated = await versionAtCommit(feed, target.commit);
  if (stated !== target.version) {
    throw artifactInvalid(
      `package.json at ${shortCommit(target.commit)} says ${stated ?? 'nothing'}, and ${target.version} is to be released`,
    );
  }
  refuseLowerVersion(state, target.version);
  const before = state.versions[target.version]?.manifest;
  if (before !== undefined && before.commit !== '' && before.commit !== target.commit) {
    throw artifactInvalid(
      `${target.version} was published from ${shortCommit(before.commit)} already`,
      'raise the version in package.json, release again',
    );
  }
  const manifest = await buildAndTakeIn(feed, context, target);
  if (before !== undefined && !sameFiles(before, manifest)) {
    throw artifactInvalid(
      `${target.version} was published before with other bytes`,
      'raise the version in package.json, build, release again',
    );
  }
  return artifactOf(manifest);
}

/** See DesktopPort.verifyStaged. */
export async function verifyStaged(
  feed: Feed,
  context: LookContext,
  { version }: DesktopTarget,
): Promise<Observation> {
  const manifest = await feed.staging.find(version);
  if (manifest === null || !(await feed.staging.isWhole(manifest, context.signal))) {
    throw artifactInvalid(`what was taken in of ${version} is not whole`);
  }
  return {
    observed: `${version} taken in, ${manifest.files.length} file${manifest.files.length === 1 ? '' : 's'} verified`,
  };
}

/** What clients may have been offered stays: it is what a missing file in the feed is mended from. */
export async function unstageTarget(feed: Feed, context: WorkContext, target: DesktopTarget): Promise<void> {
  const state = await feed.store.change(context, (current) => current);
  if (feed.rehearsal) return;
  await feed.staging.discardUnfinished(context.fence);
  if (state.versions[target.version] !== undefined) return;
  const staged = await feed.staging.find(target.version);
  if (staged === null || staged.commit === target.commit) await feed.staging.drop(target.version);
}
