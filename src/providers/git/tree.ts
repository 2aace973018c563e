import { UnshipError } from '../../domain/errors.ts';

export interface TreeEntry {
  /** `100644`, `100755`, `120000` a symbolic link, `040000` a folder, `160000` a submodule. */
  readonly mode: string;
  readonly hash: string;
  readonly path: string;
}

/** Reads what `git ls-tree -z` prints. */
export function parseTree(output: Buffer): readonly TreeEntry[] {
  return output
    .toString('utf8')
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => {
      const tab = line.indexOf('\t');
      const [mode = '', , hash = ''] = line.slice(0, tab).split(' ');
      return { mode, hash, path: line.slice(tab + 1) };
    });
}

/**
 * Git itself never makes such trees, but a pushed object may hold anything: no part of a path may leave the
 * folder, touch a repository's own folder, or lead through a link of the same tree.
 */
export function assertHarmless(entries: readonly TreeEntry[]): void {
  const seen = new Set<string>();
  const leaves = new Set(entries.map((entry) => entry.path));
  for (const { path } of entries) {
    const parts = path.split('/');
    const bad =
      seen.has(path) ||
      parts.some((part) => part === '' || part === '.' || part === '..' || /^\.git$/i.test(part)) ||
      parts.some((_, depth) => depth > 0 && leaves.has(parts.slice(0, depth).join('/')));
    if (bad)
      throw new UnshipError('git-failed', {
        happened: `the commit holds the unsafe path ${JSON.stringify(path)}`,
      });
    seen.add(path);
  }
}
