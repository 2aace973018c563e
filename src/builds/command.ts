import type { spawn as Spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import type { MaskInto } from '../domain/secret.ts';
import { watchMemory } from './memory.ts';

export interface CommandRun {
  readonly folder: string;
  /** The whole environment: nothing is inherited. */
  readonly environment: { readonly [name: string]: string };
  readonly withinMs: number;
  readonly signal: AbortSignal;
  /** File that everything it prints is added to; none when absent. */
  readonly log?: string;
  /** Bytes that it and everything it started may hold in memory; no limit when absent. */
  readonly memory?: number;
  /** Takes secrets out of what is kept of its output: log and tail. Absent: there are none. */
  readonly maskInto?: MaskInto | undefined;
}

export interface CommandResult {
  /** Null when it ended well, else why not: `exit code 1`, `not done within 15 min`. */
  readonly failure: string | null;
  /** The first 64 KiB of its standard output, as they were printed. */
  readonly stdout: string;
  /** The last lines of all its output, without secrets. */
  readonly tail: string;
}

const outputLimit = 10 * 1024 * 1024;
const captureLimit = 64 * 1024;
const tailLimit = 4_000;

/**
 * Runs a program in a process group of its own, which is dead when this returns, also what it left in the
 * background. Throws only the signal's reason.
 */
export async function runCommand(
  [program, ...args]: readonly [string, ...string[]],
  run: CommandRun,
): Promise<CommandResult> {
  run.signal.throwIfAborted();
  const log = await openLog(run.log);
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(program, args, {
    cwd: run.folder,
    env: { ...run.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let failure: string | null = null;
  let stdout = '';
  let tail = '';
  let size = 0;
  const end = (reason: string): void => {
    failure ??= reason;
    killGroup(child.pid);
  };
  const keep = (text: string): void => {
    tail = (tail + text).slice(-tailLimit);
    if (size <= outputLimit) log?.write(text);
  };
  const heard = (text: string): void => {
    size += Buffer.byteLength(text);
    if (size > outputLimit) end('it printed more than 10 MB');
  };
  const heardOut = (text: string): void => {
    if (stdout.length < captureLimit) stdout += text;
    heard(text);
  };
  const flushed = [
    heardAndKept(child.stdout, heardOut, keep, run.maskInto),
    heardAndKept(child.stderr, heard, keep, run.maskInto),
  ];
  const unwatch =
    run.memory === undefined || child.pid === undefined
      ? () => undefined
      : watchMemory(child.pid, run.memory, end);
  const timer = setTimeout(() => end(`not done within ${Math.round(run.withinMs / 1000)} s`), run.withinMs);
  const aborted = (): void => end('aborted');
  run.signal.addEventListener('abort', aborted, { once: true });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const exit = await new Promise<string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      resolve(code === 0 ? null : signal === null ? `exit code ${code}` : `killed by ${signal}`);
    });
  });
  // What it left in the background would keep its output open, and itself alive.
  killGroup(child.pid);
  if (child.pid !== undefined) await settleOutput(child, closed);
  clearTimeout(timer);
  unwatch();
  run.signal.removeEventListener('abort', aborted);
  for (const flush of flushed) flush();
  await new Promise<void>((resolve) => (log === null ? resolve() : log.end(() => resolve())));
  run.signal.throwIfAborted();
  return { failure: failure ?? exit, stdout, tail: lastLines(tail) };
}

/** Each stream by itself: a secret that comes in pieces is whole in its own only. Returns how to keep the rest. */
function heardAndKept(
  stream: Readable,
  heard: (text: string) => void,
  keep: (text: string) => void,
  maskInto: MaskInto = plainly,
): () => void {
  const kept = maskInto(keep);
  stream.setEncoding('utf8').on('data', (text: string) => {
    heard(text);
    kept.write(text);
  });
  return () => kept.flush();
}

const plainly: MaskInto = (write) => ({ write, flush: () => undefined });

/** A child that left the group may hold the output open for ever. */
async function settleOutput(child: ReturnType<typeof Spawn>, closed: Promise<void>): Promise<void> {
  const timer = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, 1_000);
  await closed;
  clearTimeout(timer);
}

async function openLog(path: string | undefined): Promise<ReturnType<typeof createWriteStream> | null> {
  if (path === undefined) return null;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  // A full disk must not end the run here: the command itself fails on it.
  stream.on('error', () => undefined);
  return stream;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-15).join('\n');
}

/** The variables that every program gets, whatever else the caller's environment holds. */
export function basicEnvironment(): { [name: string]: string } {
  const basic: { [name: string]: string } = {};
  for (const name of ['PATH', 'HOME', 'LANG']) {
    const value = process.env[name];
    if (value !== undefined) basic[name] = value;
  }
  return basic;
}
