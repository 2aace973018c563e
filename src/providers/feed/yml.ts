import type { Json } from '../../domain/json.ts';
import { isSafeName } from '../../domain/names.ts';
import { isVersion } from '../../domain/version.ts';
import { type FeedContent, type FeedFile, isSha512, isSize } from './manifest.ts';

/** What is wrong with a `latest*.yml`; its callers know whether that is a bad artifact or a bad feed. */
export class FeedProblem extends Error {
  constructor(happened: string) {
    super(happened);
    this.name = 'FeedProblem';
  }
}

/** Release notes may be long; a feed beyond this is no feed. */
export const largestFeedBytes: number = 1 << 20;

type Fields = { readonly [key: string]: Json };

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A file's name in the feed. Default artifact names of electron-builder have spaces in them, and its GitHub
 * publisher writes dashes for them: both come out the same.
 */
export function publicName(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]+/g, '-');
}

/** The name that a `url` or `path` means; a feed never points outside its own folder. */
function nameIn(url: unknown): string {
  if (typeof url !== 'string') throw new FeedProblem('a file has no url');
  let decoded: string;
  try {
    decoded = decodeURIComponent(url);
  } catch {
    decoded = url;
  }
  const name = publicName(decoded);
  if (/[/\\\p{Cc}]/u.test(decoded) || !isSafeName(name)) {
    throw new FeedProblem(`${JSON.stringify(url)} is no plain file name`);
  }
  return name;
}

function readFile(value: unknown): FeedFile {
  if (!isFields(value)) throw new FeedProblem('an entry of files is no mapping');
  const { url, sha512, size } = value;
  const name = nameIn(url);
  if (!isSha512(sha512)) throw new FeedProblem(`${name} has no sha512 (base64, 64 bytes)`);
  if (size !== undefined && !isSize(size)) throw new FeedProblem(`${name} has no size`);
  return { ...value, url: name, sha512 } as FeedFile;
}

/** Web installers keep their payload beside the installer, one package per architecture. */
function readPackages(value: Json | undefined): Fields | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isFields(value)) throw new FeedProblem('packages is no mapping');
  return Object.fromEntries(
    Object.entries(value).map(([arch, item]) => {
      const { url: _url, ...rest } = readFile(isFields(item) ? { ...item, url: item.path ?? null } : item);
      return [arch, { ...rest, path: _url } as Json];
    }),
  );
}

/** Names, hashes and sizes (where given) of everything that a client may fetch. */
export function filesOf(
  content: FeedContent,
): readonly { readonly name: string; readonly sha512: string; readonly size: number | undefined }[] {
  const packages = isFields(content.packages) ? Object.values(content.packages) : [];
  return [
    ...content.files.map((file) => ({ name: file.url, sha512: file.sha512, size: file.size })),
    ...packages.filter(isFields).map((item) => ({
      name: String(item.path),
      sha512: String(item.sha512),
      size: item.size as number | undefined,
    })),
  ];
}

function fieldsOf(text: string, parse: (text: string) => unknown): Fields {
  if (text.length > largestFeedBytes) throw new FeedProblem('it is larger than 1 MiB');
  let parsed: unknown;
  try {
    // Through JSON, so that what YAML can say and JSON cannot (NaN, cycles, dates) never gets further.
    parsed = JSON.parse(JSON.stringify(parse(text)) ?? 'null');
  } catch (error) {
    throw new FeedProblem(`it is no YAML (${(error as Error).message.split('\n')[0]})`);
  }
  if (!isFields(parsed)) throw new FeedProblem('it is no mapping');
  return parsed;
}

/** Reads a `latest*.yml` strictly: a client takes a typo in stagingPercentage for 100 %, and 0.5 for 0. */
export async function parseFeed(text: string): Promise<FeedContent> {
  const { parse } = await import('yaml');
  const fields = fieldsOf(text, (source) => parse(source, { maxAliasCount: 0, logLevel: 'silent' }));
  const { version, stagingPercentage, releaseDate } = fields;
  if (typeof version !== 'string' || !isVersion(version) || !isSafeName(version)) {
    throw new FeedProblem(`its version ${JSON.stringify(version ?? null)} is no version`);
  }
  const legacy = { url: fields.path ?? null, sha512: fields.sha512 ?? null };
  const entries = Array.isArray(fields.files) && fields.files.length > 0 ? fields.files : [legacy];
  const files = entries.map(readFile);
  const path = fields.path === undefined ? (files[0] as FeedFile).url : nameIn(fields.path);
  const main = files.find((file) => file.url === path);
  if (main === undefined) throw new FeedProblem(`its path ${path} is not among its files`);
  const percent = stagingPercentage === null ? undefined : stagingPercentage;
  const whole = typeof percent === 'number' && Number.isInteger(percent) && percent >= 0 && percent <= 100;
  if (percent !== undefined && !whole) {
    throw new FeedProblem(
      `its stagingPercentage ${JSON.stringify(percent)} is no whole number from 0 to 100`,
    );
  }
  const packages = readPackages(fields.packages);
  const { stagingPercentage: _percent, packages: _packages, ...rest } = fields;
  return {
    ...rest,
    version,
    files,
    path,
    sha512: main.sha512,
    releaseDate: typeof releaseDate === 'string' ? releaseDate : '',
    ...(percent === undefined ? {} : { stagingPercentage: percent as number }),
    ...(packages === undefined ? {} : { packages }),
  };
}

/**
 * Strings are quoted: clients read with a YAML 1.1 parser, to which a bare date is a date and `no` is false.
 */
export async function renderFeed(content: FeedContent): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(content, { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN', lineWidth: 0 });
}
