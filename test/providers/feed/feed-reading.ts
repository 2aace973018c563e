import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { sha512 } from './harness.ts';

interface Yml {
  readonly version: string;
  readonly stagingPercentage?: number;
  readonly files: readonly { readonly url: string; readonly size: number; readonly sha512: string }[];
}

/**
 * What is wrong with a feed folder as somebody sees it who only reads: half a file, or a feed that offers what
 * is not there. Written apart from the code it judges.
 */
export function readingProblems(folder: string): readonly string[] {
  const problems: string[] = [];
  for (const name of readdirSync(folder).filter((file) => /^latest.*\.yml$/.test(file))) {
    const feed = parse(readFileSync(join(folder, name), 'utf8')) as Yml | null;
    if (feed === null || !Array.isArray(feed.files)) {
      problems.push(`${name} is not whole`);
      continue;
    }
    for (const { url, size, sha512: expected } of feed.files) {
      try {
        const bytes = readFileSync(join(folder, url));
        if (bytes.length !== size || sha512(bytes) !== expected)
          problems.push(`${name}: ${url} is not whole`);
      } catch {
        problems.push(`${name}: ${url} is missing`);
      }
    }
  }
  return problems;
}

/** Everything in a folder, by path; equal means the same names and bytes. */
export function snapshot(folder: string): { readonly [path: string]: string } {
  const found: { [path: string]: string } = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'lock.db') continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    // A resumed run may hold a higher fence than the one that was killed.
    const text = entry.name === 'state.json' ? bytes.toString().replace(/"fence": \d+/, '') : sha512(bytes);
    found[path.slice(folder.length + 1)] = text;
  }
  return found;
}
