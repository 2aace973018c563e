import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSafeName } from '../../domain/names.ts';
import { isVersion, parseVersion } from '../../domain/version.ts';
import { measure } from './files.ts';
import {
  artifactInvalid,
  type FeedContent,
  type FeedFile,
  type FileRecord,
  isFeedName,
  type Manifest,
} from './manifest.ts';
import { FeedProblem, filesOf, largestFeedBytes, parseFeed, publicName } from './yml.ts';

/** What lies in a folder of built artifacts, before its bytes were read. */
export interface ArtifactFolder {
  readonly folder: string;
  readonly version: string;
  /** By feed file name; null when electron-builder left none and they follow from the file names. */
  readonly feeds: { readonly [name: string]: FeedContent } | null;
  /** Public name to the name on disk, of every regular file. */
  readonly names: ReadonlyMap<string, string>;
}

async function listFiles(folder: string): Promise<ReadonlyMap<string, string>> {
  let entries: readonly Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    throw artifactInvalid(
      `the folder of built artifacts can't be read: ${folder} (${(error as NodeJS.ErrnoException).code})`,
      'build the desktop application, or check `artifacts` in the configuration',
    );
  }
  const names = new Map<string, string>();
  for (const { name } of entries.filter((entry) => entry.isFile())) {
    const taken = names.get(publicName(name));
    // Which of the two a client would get must not depend on the order of a directory.
    if (taken !== undefined && !name.startsWith('.')) {
      throw artifactInvalid(`${folder} has two files that would be published as ${publicName(name)}`);
    }
    names.set(publicName(name), name);
  }
  return names;
}

async function readFeedIn(folder: string, name: string): Promise<FeedContent> {
  try {
    const path = join(folder, name);
    if ((await lstat(path)).size > largestFeedBytes) throw new FeedProblem('it is larger than 1 MiB');
    return await parseFeed(await readFile(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof FeedProblem)) throw error;
    throw artifactInvalid(`${name} can't be used: ${error.message}`);
  }
}

const prereleaseWord = /^[-.](alpha|beta|rc|next|dev|nightly|canary|pre)\b/i;

/** True when the version in a file's name is this one; undefined when the name has none. */
export function namesVersion(name: string, version: string): boolean | undefined {
  const cores = [...name.matchAll(/(?<![0-9.])[0-9]{1,20}\.[0-9]{1,20}\.[0-9]{1,20}(?![0-9])/g)];
  if (cores.length === 0) return undefined;
  return cores.some(({ 0: core, index }) => {
    // What follows a release's number may be an architecture, but no word that makes it a prerelease.
    if (core === version) return !prereleaseWord.test(name.slice(index + core.length));
    return name.startsWith(`${version.split('-')[0]}-`, index) && isWholeAt(name, version, index);
  });
}

/** `1.1.0-rc.1` stands in `vault-1.1.0-rc.1-x64.exe`, not in `vault-1.1.0-rc.10.exe`. */
function isWholeAt(name: string, version: string, index: number): boolean {
  return name.startsWith(version, index) && !/^\.?[0-9]|^[A-Za-z]/.test(name.slice(index + version.length));
}

/** The one version that the file names carry; undefined when there is none or more than one. */
function versionInNames(names: Iterable<string>): string | undefined {
  const found = new Set<string>();
  for (const name of names) {
    if (feedOfFile(name) === undefined) continue;
    const match =
      /(?<![0-9.])([0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc|next|dev|nightly|canary|pre)(?:[.]?[0-9]+)*)?)(?![0-9])/i.exec(
        name,
      );
    if (match?.[1] !== undefined) found.add(match[1]);
  }
  const [only, ...others] = found;
  return only !== undefined && others.length === 0 && isVersion(only) ? only : undefined;
}

/** The feed that a file belongs to by its name; undefined for what stock clients can't install. */
function feedOfFile(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower.includes('portable')) return undefined;
  if (lower.endsWith('.exe')) return 'latest.yml';
  if (lower.endsWith('.dmg')) return 'latest-mac.yml';
  if (lower.endsWith('.zip'))
    return /win|linux/.test(lower.replace('darwin', '')) ? undefined : 'latest-mac.yml';
  if (!/\.(appimage|deb|rpm)$/.test(lower)) return undefined;
  if (/arm64|aarch64/.test(lower)) return 'latest-linux-arm64.yml';
  return /armv7l|armhf/.test(lower) ? 'latest-linux-arm.yml' : 'latest-linux.yml';
}

// What each platform's updater takes first; the others are for those who installed that way.
const preference: readonly string[] = ['.exe', '.zip', '.dmg', '.appimage', '.deb', '.rpm'];

function rankOf(name: string): number {
  return preference.findIndex((extension) => name.toLowerCase().endsWith(extension));
}

/** Reads the descriptions, not the artifacts. `expected` null takes the version that the folder itself states. */
export async function lookInto(folder: string, expected: string | null): Promise<ArtifactFolder> {
  const names = await listFiles(folder);
  const described = [...names.values()].filter(isFeedName).sort();
  if (described.length === 0) {
    const version = expected ?? versionInNames(names.keys());
    if (version === undefined) {
      throw artifactInvalid(`${folder} has neither latest*.yml nor one version in its file names`);
    }
    return { folder, version, feeds: null, names };
  }
  const feeds: { [name: string]: FeedContent } = {};
  for (const name of described) feeds[name] = await readFeedIn(folder, name);
  const version = expected ?? (Object.values(feeds)[0] as FeedContent).version;
  for (const [name, content] of Object.entries(feeds)) {
    if (content.version === version) continue;
    throw artifactInvalid(
      `${name} says ${content.version}, and it should be ${version}`,
      expected === null ? undefined : 'build that commit again: the artifacts are another version',
    );
  }
  return { folder, version, feeds, names };
}

async function measureFile(
  { folder, names }: ArtifactFolder,
  name: string,
  signal: AbortSignal,
): Promise<FileRecord> {
  const onDisk = names.get(name);
  const found = onDisk === undefined ? null : await measure(join(folder, onDisk), signal);
  if (found === null) throw artifactInvalid(`${name} is missing in ${folder}`);
  if (found.size === 0) throw artifactInvalid(`${name} is empty`);
  return { name, ...found };
}

function deriveFeeds(
  found: ArtifactFolder,
  files: readonly FileRecord[],
  releaseDate: string,
): Manifest['feeds'] {
  const byFeed = new Map<string, FeedFile[]>();
  for (const { name, size, sha512 } of files) {
    const feedName = feedOfFile(name);
    if (feedName === undefined) continue;
    byFeed.set(feedName, [...(byFeed.get(feedName) ?? []), { url: name, sha512, size }]);
  }
  const feeds: { [name: string]: FeedContent } = {};
  for (const [name, unsorted] of byFeed) {
    const sorted = unsorted.sort((a, b) => rankOf(a.url) - rankOf(b.url) || (a.url < b.url ? -1 : 1));
    const main = sorted[0] as FeedFile;
    feeds[name] = { version: found.version, files: sorted, path: main.url, sha512: main.sha512, releaseDate };
  }
  return feeds;
}

function derivedNames(found: ArtifactFolder): readonly string[] {
  const artifacts = [...found.names.keys()].filter((name) => feedOfFile(name) !== undefined).sort();
  const ours = artifacts.filter((name) => namesVersion(name, found.version) === true);
  if (ours.length > 0) return ours;
  throw artifactInvalid(
    artifacts.length === 0
      ? `${found.folder} has no artifact that a client could install (.exe, .dmg, .zip, .AppImage, .deb, .rpm)`
      : `no artifact in ${found.folder} has ${found.version} in its name, and there is no latest*.yml that says what they are`,
  );
}

function checkNames(version: string, feeds: Manifest['feeds'], files: readonly string[]): void {
  for (const name of files) {
    if (!isSafeName(name)) {
      throw artifactInvalid(`${JSON.stringify(name)} is no name for a published file`, 'set `artifactName`');
    }
    if (namesVersion(name, version) === false) {
      throw artifactInvalid(
        `${name} names another version than ${version}: installed, it would be offered again and again`,
      );
    }
  }
  const mac = feeds['latest-mac.yml'];
  if (mac !== undefined && !mac.files.some((file) => file.url.toLowerCase().endsWith('.zip'))) {
    throw artifactInvalid(
      'the mac build has no .zip: its updater can install nothing else',
      'add the zip target',
    );
  }
}

/** Holds a description against the real bytes, and fills in the size where it has none. */
function checkAgainstBytes(
  content: FeedContent,
  name: string,
  bytes: ReadonlyMap<string, FileRecord>,
): FeedContent {
  for (const file of filesOf(content)) {
    const real = bytes.get(file.name) as FileRecord;
    if (file.size !== undefined && file.size !== real.size) {
      throw artifactInvalid(`${file.name} has ${real.size} bytes; ${name} says ${file.size}`);
    }
    if (file.sha512 !== real.sha512)
      throw artifactInvalid(`${file.name} has another sha512 than ${name} says`);
  }
  const files = content.files.map((file) => ({ ...file, size: (bytes.get(file.url) as FileRecord).size }));
  return { ...content, files };
}

/** Reads every artifact and answers with the manifest, or throws `artifact-invalid`. */
export async function describe(
  found: ArtifactFolder,
  options: { readonly commit: string; readonly now: number; readonly signal: AbortSignal },
): Promise<Manifest> {
  const { version, names } = found;
  if (!isSafeName(version) || parseVersion(version) === undefined) {
    throw artifactInvalid(`${JSON.stringify(version)} is no version that can be published`);
  }
  const listed =
    found.feeds === null
      ? derivedNames(found)
      : [
          ...new Set(
            Object.values(found.feeds).flatMap((content) => filesOf(content).map(({ name }) => name)),
          ),
        ];
  const bytes = new Map<string, FileRecord>();
  for (const name of listed) bytes.set(name, await measureFile(found, name, options.signal));
  // For differential downloads; clients do without where there is none.
  for (const blockmap of listed.map((name) => `${name}.blockmap`).filter((name) => names.has(name))) {
    bytes.set(blockmap, await measureFile(found, blockmap, options.signal));
  }
  const files = [...bytes.values()];
  const releaseDate = new Date(options.now).toISOString();
  const described = found.feeds ?? deriveFeeds(found, files, releaseDate);
  const feeds = Object.fromEntries(
    Object.entries(described).map(([name, content]) => [
      name,
      { ...checkAgainstBytes(content, name, bytes), releaseDate: content.releaseDate || releaseDate },
    ]),
  );
  checkNames(version, feeds, [...bytes.keys()]);
  return { version, commit: options.commit, files, feeds };
}
