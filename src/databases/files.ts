import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { copyFile, open, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';

export function ensureFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

export function syncFile(file: string): void {
  const descriptor = openSync(file, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** What was written to `from` is durable under the name `to` when this returns. Same folder. */
export function publishFile(from: string, to: string): void {
  syncFile(from);
  renameSync(from, to);
  syncFile(dirname(to));
}

export function writeFileDurably(file: string, text: string): void {
  const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.partial`);
  // A link that lies there is removed, never written through.
  rmSync(temporary, { force: true });
  const descriptor = openSync(temporary, 'wx', 0o600);
  try {
    // Written to its end, or an error: a single write may take only a part.
    writeFileSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
  publishFile(temporary, file);
}

/** What processes of this machine that were killed while they wrote a file there have left. */
export function removeLeft(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^[.].*[.](\d+)[.]partial$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * A copy that gets its name when it is whole; a link in its place is not written through. Not synchronous, for to
 * sync a gigabyte elsewhere may take longer than a lease lives without a sign of life.
 */
export async function copyFileDurably(from: string, to: string): Promise<void> {
  const temporary = `${to}.partial`;
  await rm(temporary, { force: true });
  await copyFile(from, temporary, constants.COPYFILE_EXCL);
  await publishCopy(temporary, to);
}

/** As `publishFile`, for what has just been written and may be large. */
export async function publishCopy(from: string, to: string): Promise<void> {
  const copy = await open(from, 'r');
  try {
    await copy.sync();
  } finally {
    await copy.close();
  }
  renameSync(from, to);
  syncFile(dirname(to));
}

/** Undefined when it isn't there or is no JSON: it was never completed, or somebody else wrote it. */
export function readJson(file: string): unknown {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** A database file and what SQLite may have left beside it. */
export function removeDatabase(file: string): void {
  for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
}

export async function sha256OfFile(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  // Not the stream's own signal: one that has aborted already may end the process with an error that nobody catches.
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    signal.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}

/** Throws `disk-full` unless the disk of `folder` has room for so many bytes and something to spare. */
export function requireSpace(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = Number(bavail) * Number(bsize);
  const needed = Math.ceil(bytes * 1.1) + 4 * 1024 * 1024;
  if (free >= needed) return;
  const inMegabytes = (count: number): string => `${Math.ceil(count / 1e6)} MB`;
  throw new UnshipError('disk-full', {
    happened: `${what} needs ${inMegabytes(needed)} in ${folder}, and ${inMegabytes(free)} are free`,
    done: 'nothing was changed',
  });
}
