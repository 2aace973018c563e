import { type FileHandle, mkdir, open, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { UnshipError } from '../../domain/errors.ts';
import { failure, git, startGit } from './git.ts';
import { assertHarmless, parseTree, type TreeEntry } from './tree.ts';

/** How a file starts whose content is elsewhere, or locked. */
const placeholders: readonly (readonly [string, string])[] = [
  ['version https://git-lfs.github.com/spec/v1', 'Git LFS'],
  ['\0GITCRYPT\0', 'git-crypt'],
];

/**
 * Writes the blobs of a commit as they are. Not `git checkout-index`: that would run the filter programs that
 * `.gitattributes` and the configuration name. Submodules become empty folders, as in a plain clone.
 * Throws `source-filtered` when a file is only a filter's placeholder; on any error nothing is left.
 */
export async function writeTree(
  root: string,
  commit: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const listed = await git(root, ['ls-tree', '-r', '-z', '--full-tree', commit], signal);
  if (listed.code !== 0) throw failure(root, signal, listed.stderr);
  const entries = parseTree(listed.stdout);
  assertHarmless(entries);
  await mkdir(folder, { mode: 0o700 });
  try {
    const folders = new Set(entries.map((entry) => (isSubmodule(entry) ? entry.path : dirname(entry.path))));
    for (const name of folders) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    await writeBlobs(
      root,
      entries.filter((entry) => !isSubmodule(entry)),
      folder,
      signal,
    );
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw signal.aborted ? signal.reason : error;
  }
}

function isSubmodule({ mode }: TreeEntry): boolean {
  return mode === '160000';
}

async function writeBlobs(
  root: string,
  entries: readonly TreeEntry[],
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const child = startGit(root, ['cat-file', '--batch'], signal);
  child.stderr.resume();
  let broken: Error | undefined;
  child.once('error', (error) => {
    broken = failure(root, signal, error.message);
  });
  // Small enough to be buffered whole, so that asking and reading need no choreography.
  child.stdin.end(entries.map((entry) => `${entry.hash}\n`).join(''));
  const answers = new BatchReader(child.stdout);
  const filtered = new Map<string, string>();
  try {
    for (const entry of entries) {
      const placeholder = await writeEntry(answers, entry, join(folder, entry.path));
      if (placeholder !== null) filtered.set(entry.path, placeholder);
    }
  } catch (error) {
    throw broken ?? error;
  } finally {
    child.kill('SIGKILL');
  }
  if (filtered.size > 0) await refuseFiltered(root, entries, filtered, signal);
}

/** Returns the name of the filter when the content is a filter's placeholder. */
async function writeEntry(answers: BatchReader, entry: TreeEntry, path: string): Promise<string | null> {
  const [hash, type, length] = (await answers.line()).split(' ');
  if (hash !== entry.hash || type !== 'blob') {
    throw new UnshipError('commit-gone', {
      happened: `the content of ${entry.path} is not in the repository`,
    });
  }
  const size = Number(length);
  if (entry.mode === '120000') {
    const target: Buffer[] = [];
    for await (const chunk of answers.bytes(size)) target.push(chunk);
    await answers.line();
    await symlink(Buffer.concat(target).toString('utf8'), path);
    return null;
  }
  // `wx`: never through a link, never over a file.
  const file = await open(path, 'wx', entry.mode === '100755' ? 0o755 : 0o644);
  try {
    return await copyContent(answers, size, file);
  } finally {
    await file.close();
  }
}

async function copyContent(answers: BatchReader, size: number, file: FileHandle): Promise<string | null> {
  let start = '';
  for await (const chunk of answers.bytes(size)) {
    if (start.length < 64) start += chunk.toString('latin1', 0, 64);
    // Not `write`, which may take only a part of it and say so to nobody.
    await file.writeFile(chunk);
  }
  await answers.line();
  return placeholders.find(([text]) => start.startsWith(text))?.[1] ?? null;
}

/** Only with a filter in its attributes is it a placeholder; without, it is a file about placeholders. */
async function refuseFiltered(
  root: string,
  entries: readonly TreeEntry[],
  filtered: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, hash } of entries) {
    if (!/(^|\/)\.gitattributes$/.test(path)) continue;
    const { stdout } = await git(root, ['cat-file', 'blob', hash], signal);
    if (!/\bfilter=/.test(stdout.toString('utf8'))) continue;
    const [name = '', filter = ''] = [...filtered][0] ?? [];
    throw new UnshipError('source-filtered', {
      happened: `${filtered.size} file(s) of the commit are kept by ${filter}, such as ${name}`,
      done: 'nothing was staged',
    });
  }
}

/** The output of `git cat-file --batch`: a line of header, so many bytes, a line end. */
class BatchReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end !== -1) {
        const line = this.#rest.toString('utf8', 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      this.#rest = Buffer.concat([this.#rest, await this.#more()]);
    }
  }

  async *bytes(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (this.#rest.length === 0) this.#rest = await this.#more();
      const chunk = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(chunk.length);
      left -= chunk.length;
      yield chunk;
    }
  }

  async #more(): Promise<Buffer> {
    const { value, done } = await this.#chunks.next();
    if (done) throw new UnshipError('git-failed', { happened: 'git ended before it had given every file' });
    return value;
  }
}
