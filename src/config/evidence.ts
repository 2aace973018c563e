import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

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
  /** Seen, but this version can't take it back. */
  | { readonly kind: 'unsupported'; readonly evidence: string; readonly what: string };

export interface Detection {
  readonly name: string;
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
