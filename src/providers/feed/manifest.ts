import { UnshipError } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import { isCommit, isSafeName } from '../../domain/names.ts';
import { isVersion } from '../../domain/version.ts';

/** One file of a release, as it lies in the feed folder. */
export interface FileRecord {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Base64, as electron-updater compares it. */
  readonly sha512: string;
}

/** One entry of `files` in a `latest*.yml`; what else electron-builder wrote there is carried along. */
export interface FeedFile {
  readonly url: string;
  readonly sha512: string;
  readonly size?: number;
  readonly [key: string]: Json | undefined;
}

/** The content of one `latest*.yml`. */
export interface FeedContent {
  readonly version: string;
  readonly files: readonly FeedFile[];
  readonly path: string;
  readonly sha512: string;
  readonly releaseDate: string;
  /** Whole percent, 0 to 100; 100 when absent. */
  readonly stagingPercentage?: number;
  readonly [key: string]: Json | undefined;
}

/** One version: its files, and what each platform's feed says about it. */
export interface Manifest {
  readonly version: string;
  /** Empty when it is not known (adopted from a feed that was there before). */
  readonly commit: string;
  readonly files: readonly FileRecord[];
  /** By file name: `latest.yml`, `latest-mac.yml`, `latest-linux.yml`, `latest-linux-arm64.yml`. */
  readonly feeds: { readonly [file: string]: FeedContent };
}

const feedNameRule = /^latest(?:-mac|-linux(?:-[a-z0-9]{1,16})?)?\.yml$/;

/** Names that a stock client asks for; other channels are not unship's. */
export function isFeedName(name: string): boolean {
  return feedNameRule.test(name);
}

/** `windows`, `mac`, `linux`, `linux arm64`: what a person calls the platform of a feed file. */
export function platformOf(feedName: string): string {
  const tail = feedName.slice('latest'.length, -'.yml'.length).replace(/^-/, '').replace('-', ' ');
  return tail === '' ? 'windows' : tail;
}

export function artifactInvalid(happened: string, next?: string): UnshipError {
  return new UnshipError('artifact-invalid', {
    happened,
    done: 'nothing of it was published',
    ...(next === undefined ? {} : { next }),
  });
}

/** True when both would put the same bytes before a client. */
export function sameFiles(a: Manifest, b: Manifest): boolean {
  const key = (manifest: Manifest): string =>
    manifest.files
      .map((file) => `${file.name} ${file.size} ${file.sha512}`)
      .sort()
      .join('\n');
  return a.version === b.version && key(a) === key(b);
}

export function isSha512(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9+/]{86}==$/.test(value);
}

export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function isFileRecord(value: unknown): value is FileRecord {
  const file = value as FileRecord | null;
  return (
    typeof file === 'object' &&
    file !== null &&
    typeof file.name === 'string' &&
    isSafeName(file.name) &&
    isSize(file.size) &&
    isSha512(file.sha512)
  );
}

/**
 * A manifest that was read back from disk: names become paths again, so they are checked again. The content of
 * `feeds` is only checked to be for this version; it never names a path by itself.
 */
export function isManifest(value: unknown): value is Manifest {
  const manifest = value as Manifest | null;
  return (
    typeof manifest === 'object' &&
    manifest !== null &&
    typeof manifest.version === 'string' &&
    isSafeName(manifest.version) &&
    isVersion(manifest.version) &&
    typeof manifest.commit === 'string' &&
    (manifest.commit === '' || isCommit(manifest.commit)) &&
    Array.isArray(manifest.files) &&
    manifest.files.every(isFileRecord) &&
    typeof manifest.feeds === 'object' &&
    manifest.feeds !== null &&
    Object.entries(manifest.feeds).every(
      ([name, content]) => isFeedName(name) && content?.version === manifest.version,
    )
  );
}
