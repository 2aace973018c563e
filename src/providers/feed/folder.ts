import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { UnshipError } from '../../domain/errors.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import {
  clearTemporary,
  copyWhole,
  hasSize,
  isIntact,
  makeReadableFolder,
  measure,
  needSpace,
  readableFile,
  writeWhole,
} from './files.ts';
import { artifactInvalid, type FeedContent, isFeedName, type Manifest } from './manifest.ts';
import { contentFor, type FeedState, feedNamesOf } from './offer.ts';
import { parseFeed, renderFeed } from './yml.ts';

/** Names of the platform feeds that lie in the folder, sorted. */
export async function feedNamesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).filter(isFeedName).sort();
}

async function readFeedFile(path: string): Promise<FeedContent | undefined> {
  try {
    return await parseFeed(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Content of every platform feed in the folder; one that can't be read offers nothing and is left out. */
export async function readFeeds(folder: string): Promise<{ readonly [name: string]: FeedContent }> {
  const feeds: { [name: string]: FeedContent } = {};
  for (const name of await feedNamesIn(folder)) {
    const content = await readFeedFile(join(folder, name));
    if (content !== undefined) feeds[name] = content;
  }
  return feeds;
}

/** True when every file is there in its size; the hashes are checked by `verifyOffered`. */
export async function isUsable(folder: string, manifest: Manifest): Promise<boolean> {
  const found = await Promise.all(manifest.files.map((file) => hasSize(join(folder, file.name), file.size)));
  return found.every(Boolean);
}

/** Refuses a release whose file names are taken by other bytes: some client may be fetching those right now. */
export async function refuseTakenNames(
  folder: string,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  for (const file of manifest.files) {
    const path = join(folder, file.name);
    const found = await measure(path, signal);
    if (found !== null && (found.size !== file.size || found.sha512 !== file.sha512)) {
      throw artifactInvalid(
        `${file.name} was published before with other bytes`,
        'give the release a new version, and its files names with the version in them (`artifactName`)',
      );
    }
  }
}

/** A platform that has a feed and gets no build would stay on what it has, bad or not. */
export async function refuseMissingPlatforms(folder: string, manifest: Manifest): Promise<void> {
  const missing = (await feedNamesIn(folder)).filter((name) => manifest.feeds[name] === undefined);
  if (missing.length === 0) return;
  throw artifactInvalid(
    `${manifest.version} has no build for ${missing.join(' and ')}: those clients would not move`,
    `build ${manifest.version} for every platform; a platform that is given up: remove its file from ${folder}`,
  );
}

/**
 * Puts the files of a version into the feed folder: what is there and intact stays. Nothing points at them yet.
 * `source` names where a file comes from, or null when only the feed has it.
 */
export async function placeFiles(
  context: WorkContext,
  folder: string,
  manifest: Manifest,
  source: (name: string) => string | null,
): Promise<void> {
  const { faults } = context.runtime;
  await makeReadableFolder(folder);
  await clearTemporary(folder, context.fence);
  const absent: Manifest['files'][number][] = [];
  for (const file of manifest.files) {
    if (!(await isIntact(join(folder, file.name), file, context.signal))) absent.push(file);
  }
  await needSpace(
    folder,
    absent.reduce((sum, file) => sum + file.size, 0),
  );
  for (const [index, file] of absent.entries()) {
    context.signal.throwIfAborted();
    const from = source(file.name);
    if (from === null) {
      throw new UnshipError('target-gone', {
        happened: `${file.name} of ${manifest.version} is missing from the feed, or not what it was`,
        done: `${manifest.version} was not offered`,
      });
    }
    context.progress(`${file.name}, ${index + 1} of ${absent.length}`);
    faults.point('feed.artifact.before');
    await copyWhole(from, join(folder, file.name), file, {
      mode: readableFile,
      mark: context.fence,
      signal: context.signal,
    });
    faults.point('feed.artifact.after');
  }
}

/** Makes every platform's feed say what the state says. A feed that says so already is not touched. */
export async function followState(
  context: WorkContext,
  folder: string,
  state: FeedState,
  stateName: string,
): Promise<void> {
  const { faults } = context.runtime;
  await makeReadableFolder(folder);
  await clearTemporary(folder, context.fence);
  for (const name of feedNamesOf(state)) {
    const wanted = contentFor(state, name);
    if (wanted === undefined) continue;
    if (isDeepStrictEqual(await readFeedFile(join(folder, name)), wanted)) continue;
    faults.point('feed.yml.before');
    await writeWhole(join(folder, name), await renderFeed(wanted), readableFile, context.fence);
    faults.point('feed.yml.after');
  }
  const copy = `${JSON.stringify({ ...state, fence: 0, standby: null }, null, 2)}\n`;
  if (copy === (await readFile(join(folder, stateName), 'utf8').catch(() => ''))) return;
  faults.point('feed.copy.before');
  await writeWhole(join(folder, stateName), copy, readableFile, context.fence);
  faults.point('feed.copy.after');
}
