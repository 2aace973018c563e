import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '../../domain/json.ts';
import { member, readJson } from './files.ts';
import { type Layout, surfaceFolder } from './layout.ts';
import type { ServerOptions } from './options.ts';

/** What package.json and the lockfile say about installing and building here. */
export interface Package {
  readonly install: readonly [string, ...string[]] | null;
  readonly build: readonly [string, ...string[]] | null;
  /**
   * Equal keys mean equal `node_modules`; null when that can't be said: install scripts of the package itself
   * may write anything there (a generated database client), workspaces have folders elsewhere.
   */
  readonly dependencies: string | null;
}

const installScripts = [
  'preinstall',
  'install',
  'postinstall',
  'prepublish',
  'preprepare',
  'prepare',
  'postprepare',
];
const kinds = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];
const npmFlags = ['--no-audit', '--no-fund'];

export async function readPackage(folder: string): Promise<Package> {
  const text = await readFile(join(folder, 'package.json'), 'utf8').catch(() => null);
  if (text === null) return { install: null, build: null, dependencies: null };
  const found = parse(text);
  const scripts = member(found, 'scripts');
  const lock = await firstContent(folder, ['npm-shrinkwrap.json', 'package-lock.json']);
  const workspaces = member(found, 'workspaces') !== undefined;
  const runsScripts =
    installScripts.some((name) => member(scripts, name) !== undefined) ||
    (await exists(join(folder, 'binding.gyp')));
  const needs = workspaces || runsScripts || kinds.some((kind) => !isEmpty(member(found, kind)));
  return {
    install: lock !== null ? ['npm', 'ci', ...npmFlags] : needs ? ['npm', 'install', ...npmFlags] : null,
    build: member(scripts, 'build') === undefined ? null : ['npm', 'run', 'build'],
    dependencies: lock === null || workspaces || runsScripts ? null : await keyOf(folder, lock),
  };
}

/**
 * Copies `node_modules` from another staged release with the same key; false when there is none. Copies (or,
 * where the file system can, clones) and never hard links: a build may rewrite a file there in place, and the
 * release that serves must not change with it.
 */
export async function reuseDependencies(
  layout: Layout,
  options: ServerOptions,
  key: string,
  folder: string,
): Promise<boolean> {
  const names = await readdir(layout.releases).catch(() => []);
  for (const name of names) {
    if (name.startsWith('.')) continue;
    const marker = await readJson(join(layout.releases, name, 'staged.json'));
    if (member(marker, 'dependencies') !== key) continue;
    const source = join(surfaceFolder(layout, name, options), 'node_modules');
    if (!(await exists(source))) continue;
    await cp(source, join(folder, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
    });
    return true;
  }
  return false;
}

async function keyOf(folder: string, lock: string): Promise<string> {
  const hash = createHash('sha256');
  const settings = (await firstContent(folder, ['.npmrc'])) ?? '';
  const parts = [lock, settings, process.platform, process.arch, process.versions.modules];
  for (const part of parts) hash.update(`${part.length}:${part}`);
  return hash.digest('hex');
}

async function firstContent(folder: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => null);
    if (text !== null) return text;
  }
  return null;
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function isEmpty(value: Json | undefined): boolean {
  return typeof value !== 'object' || value === null || Object.keys(value).length === 0;
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
