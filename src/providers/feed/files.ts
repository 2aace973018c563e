import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, lstat, mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import type { FileRecord } from './manifest.ts';

/** Clients read through a web server, whoever it runs as; our own umask is 077. */
export const readableFile = 0o644;
const readableFolder = 0o755;

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/**
 * Size and hash of whatever bytes come; a body from the network as well as a file. The signal is looked at here: a
 * stream that is made with one that has aborted already ends the whole process with an error that nobody can catch.
 */
export async function digest(
  chunks: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<{ readonly size: number; readonly sha512: string }> {
  const hash = createHash('sha512');
  let size = 0;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    hash.update(chunk as Uint8Array);
    size += (chunk as Uint8Array).length;
  }
  return { size, sha512: hash.digest('base64') };
}

/** Size and hash of a regular file; null when there is none. */
export async function measure(
  path: string,
  signal: AbortSignal,
): Promise<{ readonly size: number; readonly sha512: string } | null> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    if (!(await handle.stat()).isFile()) return null;
    return await digest(handle.createReadStream({ autoClose: false }), signal);
  } finally {
    await handle.close();
  }
}

export async function isIntact(path: string, expected: FileRecord, signal: AbortSignal): Promise<boolean> {
  const found = await measure(path, signal);
  return found !== null && found.size === expected.size && found.sha512 === expected.sha512;
}

/** Without reading it: enough to choose what to fall back to in a hurry. */
export async function hasSize(path: string, size: number): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  return found?.isFile() === true && found.size === size;
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the folder and what is missing above it, each world-readable; what is there keeps its mode. */
export async function makeReadableFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o755 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made))
    await chmod(made, readableFolder);
}

/** Replaces a file whole: a reader sees the old text or the new one. `mark` tells our temporary files apart. */
export async function writeWhole(path: string, text: string, mode: number, mark: number): Promise<void> {
  const temporary = temporaryBeside(path, mark);
  await rm(temporary, { force: true });
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Copies, checks what arrived by hash, and only then gives it its name. A reflink where the disk can. */
export async function copyWhole(
  source: string,
  path: string,
  expected: FileRecord,
  options: { readonly mode: number; readonly mark: number; readonly signal: AbortSignal },
): Promise<void> {
  const temporary = temporaryBeside(path, options.mark);
  await rm(temporary, { force: true });
  await copyFile(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const handle = await open(temporary, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    await handle.chmod(options.mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (!(await isIntact(temporary, expected, options.signal))) {
    await rm(temporary, { force: true });
    throw new UnshipError('artifact-invalid', {
      happened: `${expected.name} did not arrive as it was: its bytes changed while it was copied`,
      done: 'nothing that points at it was published',
    });
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** The same bytes under a second name, without a copy where both lie on one disk. For copies nobody writes to. */
export async function linkOrCopy(source: string, path: string): Promise<void> {
  await link(source, path).catch(async () => {
    await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  });
}

// The fence stands in the name, so that a run that took over can clear away what its predecessor left: should
// that one still be writing, it finds its file gone and fails, instead of putting half a file in place.
const temporaryRule = /^\.unship-([0-9]+)-/;

function temporaryBeside(path: string, mark: number): string {
  return join(dirname(path), `.unship-${mark}-${path.slice(dirname(path).length + 1)}`);
}

/** Removes what killed runs with a lower fence were in the middle of writing. */
export async function clearTemporary(folder: string, fence: number): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const mark = temporaryRule.exec(name)?.[1];
    if (mark !== undefined && Number(mark) < fence) await rm(join(folder, name), { force: true });
  }
}

/** Throws `disk-full` before anything is begun. */
export async function needSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const spare = 16 << 20;
  if (bavail * bsize < bytes + spare) {
    throw new UnshipError('disk-full', {
      happened: `${folder} has ${Math.floor((bavail * bsize) / (1 << 20))} MiB free; ${Math.ceil((bytes + spare) / (1 << 20))} MiB are needed`,
      done: 'nothing was copied',
    });
  }
}
