import { UnshipError } from '../../domain/errors.ts';
import { isCommit } from '../../domain/names.ts';
import type { Source } from '../../surfaces/source.port.ts';
import { writeTree } from './checkout.ts';
import { failure, type GitAnswer, git } from './git.ts';
import { parseTree } from './tree.ts';

/**
 * What may name a commit: a hash, or a branch or tag with steps back (`main~2`, `v1.0^`). No options, paths,
 * searches, reflogs, addresses, and nothing that means something to a shell.
 */
const refRule = /^[\p{L}\p{N}_][\p{L}\p{N}_./@+#=,%-]*([~^][0-9]{0,4})*$/u;

/** `root` is the top of the work tree: see `findWorkTree`. */
export function createSource(root: string): Source {
  const ask = (args: readonly string[], signal?: AbortSignal): Promise<GitAnswer> => git(root, args, signal);

  const objectAt = async (commit: string, path: string): Promise<string | null> => {
    assertCommit(commit);
    const place = cleanPath(path);
    const name = place === '' ? `${commit}^{tree}` : `${commit}:${place}`;
    const { code, stdout, stderr } = await ask([
      'rev-parse',
      '--verify',
      '--quiet',
      '--end-of-options',
      name,
    ]);
    if (code === 0) return stdout.toString('utf8').trim();
    await assertThere(root, ask, commit, stderr);
    return null;
  };

  return {
    root,
    objectAt,
    resolve: async (ref) => {
      if (ref.length > 250 || !refRule.test(ref) || ref.includes('..'))
        throw gone(ref, 'it is no name of a commit');
      const name = `${ref}^{commit}`;
      const { code, stdout, stderr } = await ask([
        'rev-parse',
        '--verify',
        '--quiet',
        '--end-of-options',
        name,
      ]);
      const hash = stdout.toString('utf8').trim();
      if (code === 0 && isCommit(hash)) return hash;
      if (/not a git repository|dubious ownership/.test(stderr)) throw failure(root, undefined, stderr);
      if (ref !== 'HEAD') throw gone(ref, 'no commit has this name');
      throw gone(ref, 'the repository has no commit yet', 'git commit what is to be released, then repeat');
    },
    has: async (commit) => isCommit(commit) && (await ask(['cat-file', '-e', `${commit}^{tree}`])).code === 0,
    read: async (commit, path) => {
      assertCommit(commit);
      const { code, stdout, stderr } = await ask(['cat-file', 'blob', `${commit}:${cleanPath(path)}`]);
      if (code === 0) return textOf(stdout, commit, path);
      await assertThere(root, ask, commit, stderr);
      return null;
    },
    list: async (commit, folder) => {
      assertCommit(commit);
      const place = cleanPath(folder);
      const { code, stdout, stderr } = await ask(['ls-tree', '-z', `${commit}:${place}`]);
      if (code !== 0) {
        await assertThere(root, ask, commit, stderr);
        return [];
      }
      return parseTree(stdout)
        .filter((entry) => entry.mode === '100644' || entry.mode === '100755')
        .map((entry) => entry.path)
        .sort();
    },
    checkout: async (commit, folder, signal) => {
      signal.throwIfAborted();
      assertCommit(commit);
      await assertThere(root, ask, commit, '');
      await writeTree(root, commit, folder, signal);
    },
    contains: async (commit, ancestor) => {
      assertCommit(commit);
      assertCommit(ancestor);
      const { code, stderr } = await ask(['merge-base', '--is-ancestor', ancestor, commit]);
      if (code === 0 || code === 1) return code === 0;
      await assertThere(root, ask, commit, stderr);
      await assertThere(root, ask, ancestor, stderr);
      throw failure(root, undefined, stderr);
    },
    isShallow: async () =>
      (await ask(['rev-parse', '--is-shallow-repository'])).stdout.toString('utf8').trim() === 'true',
    hasTrailer: async (commit, since, key) => {
      assertCommit(commit);
      const isThere = isCommit(since) && (await ask(['cat-file', '-e', `${since}^{commit}`])).code === 0;
      const range = isThere ? [commit, `^${since}`] : ['-1', commit];
      const format = `--format=%(trailers:key=${key},valueonly)`;
      const { code, stdout, stderr } = await ask(['log', '--no-show-signature', format, ...range, '--']);
      if (code !== 0) {
        await assertThere(root, ask, commit, stderr);
        throw failure(root, undefined, stderr);
      }
      return stdout.toString('utf8').trim() !== '';
    },
    subject: async (commit) => {
      assertCommit(commit);
      const { code, stdout, stderr } = await ask(['cat-file', 'commit', commit]);
      if (code !== 0) {
        await assertThere(root, ask, commit, stderr);
        throw failure(root, undefined, stderr);
      }
      const text = stdout.toString('utf8');
      const message = text.slice(text.indexOf('\n\n') + 2);
      return (message.split(/\n\s*\n/, 1)[0] ?? '').split('\n').join(' ').trim();
    },
  };
}

/** Top of the work tree that holds `folder`. Throws `git-failed` outside of one. */
export async function findWorkTree(folder: string): Promise<string> {
  const { code, stdout, stderr } = await git(folder, ['rev-parse', '--show-toplevel']);
  if (code !== 0) throw failure(folder, undefined, stderr);
  return stdout.toString('utf8').trimEnd();
}

function assertCommit(commit: string): void {
  if (!isCommit(commit)) throw gone(commit, 'it is no full hash of a commit');
}

/** Tells a missing file from a missing commit and from a repository that can't be read. */
async function assertThere(
  root: string,
  ask: (args: readonly string[]) => Promise<GitAnswer>,
  commit: string,
  stderr: string,
): Promise<void> {
  const { code, stderr: reason } = await ask(['cat-file', '-e', `${commit}^{tree}`]);
  if (code === 0) return;
  if (/not a git repository|dubious ownership/.test(reason)) {
    throw failure(root, undefined, reason || stderr);
  }
  throw gone(commit, 'the repository does not have it');
}

/** Another encoding read as UTF-8 would put other characters in place of what was written. */
function textOf(content: Buffer, commit: string, path: string): string {
  try {
    // A byte order mark, as editors on Windows write it, is no part of the text.
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (cause) {
    const wide = (content[0] === 0xff && content[1] === 0xfe) || (content[0] === 0xfe && content[1] === 0xff);
    throw new UnshipError('not-utf8', {
      happened: `${path} at ${commit.slice(0, 7)} is ${wide ? 'UTF-16' : 'not UTF-8'}`,
      done: 'nothing was changed',
      next: `save ${path} as UTF-8, commit it, then repeat`,
      cause,
    });
  }
}

/** A path inside the tree, with `/`; empty for the root. Throws on one that could mean anything else. */
function cleanPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/') || path.includes('\0') || parts.includes('..')) {
    throw new UnshipError('git-failed', {
      happened: `${JSON.stringify(path)} is no path inside the repository`,
    });
  }
  return parts.join('/');
}

function gone(ref: string, reason: string, next?: string): UnshipError {
  return new UnshipError('commit-gone', {
    happened: `${JSON.stringify(ref.slice(0, 100))}: ${reason}`,
    done: 'nothing was changed',
    ...(next === undefined ? {} : { next }),
  });
}
