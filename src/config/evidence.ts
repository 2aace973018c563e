import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** A surface that was found, with what it was told from: a person is to see why. */
export type Finding =
  | {
      readonly kind: 'web';
      readonly surface: string;
      readonly evidence: string;
      readonly provider: 'server';
      readonly root: string;
      /** Path that the application's own code answers a health check on; null when none was found. */
      readonly health: string | null;
    }
  | {
      readonly kind: 'desktop';
      readonly surface: string;
      readonly evidence: string;
      readonly provider: 'feed';
      readonly root: string;
      readonly artifacts: string;
      readonly url: string | null;
    }
  | {
      readonly kind: 'database';
      readonly surface: string;
      readonly evidence: string;
      readonly provider: 'sqlite';
      readonly file: string;
      readonly migrations: string | null;
      readonly format: 'dbmate' | 'up-down' | null;
      /** Variable by which the application is told where its database is. */
      readonly variable: string | null;
    }
  | {
      readonly kind: 'database';
      readonly surface: string;
      readonly evidence: string;
      readonly provider: 'postgres';
      readonly migrations: string;
      readonly format: 'dbmate' | 'up-down';
      /** Variable that holds the address, for the application and for us. */
      readonly variable: string;
    }
  /** Seen, but this version can't take it back; or only a person can tell what is missing. */
  | {
      readonly kind: 'unsupported';
      readonly evidence: string;
      readonly what: string;
      /** What is not there yet, where this version could take it back otherwise. */
      readonly missing?: string;
    };

export interface Detection {
  readonly name: string;
  /** The folder that was looked at, inside its repository; `.` when it is the repository's own. */
  readonly within: string;
  readonly findings: readonly Finding[];
}

export interface PackageJson {
  readonly name?: unknown;
  readonly main?: unknown;
  readonly scripts?: { readonly [name: string]: unknown };
  readonly dependencies?: { readonly [name: string]: unknown };
  readonly devDependencies?: { readonly [name: string]: unknown };
  readonly build?: unknown;
}

export function dependsOn(json: PackageJson | undefined, name: string): boolean {
  return json?.dependencies?.[name] !== undefined || json?.devDependencies?.[name] !== undefined;
}

/** Undefined when there is none, or it is not readable as one. */
export function readPackage(folder: string): PackageJson | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return typeof value === 'object' && value !== null ? (value as PackageJson) : undefined;
  } catch {
    return undefined;
  }
}

/** Sorted; empty when there is no such folder. */
export function listFolder(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** `apps/web` for that folder of a repository, `.` at its top or outside of any. */
export function withinRepository(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return relative(at, folder).split(sep).join('/') || '.';
    if (dirname(at) === at) return '.';
  }
}

const sourceFile = /\.(?:[cm]?[jt]s|[jt]sx)$/;
const notSource = new Set(['node_modules', 'dist', 'build', 'test', 'tests', 'coverage', 'vendor']);

/** Texts of the source files below; few enough that even a large repository is looked at in no time. */
export function* sourcesBelow(folder: string): Generator<string> {
  let left = 300;
  const open: { readonly path: string; readonly depth: number }[] = [{ path: folder, depth: 0 }];
  for (let at = open.shift(); at !== undefined && left > 0; at = open.shift()) {
    for (const name of listFolder(at.path)) {
      const path = join(at.path, name);
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats?.isDirectory() && at.depth < 4 && !notSource.has(name) && !name.startsWith('.')) {
        open.push({ path, depth: at.depth + 1 });
      } else if (stats?.isFile() && sourceFile.test(name) && stats.size < 200_000 && left > 0) {
        left -= 1;
        yield readFileSync(path, 'utf8');
      }
    }
  }
}
