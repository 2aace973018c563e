import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from './clock.ts';

export interface Command {
  readonly program: string;
  readonly arguments: readonly string[];
  /** Whole minutes are no bench; default 60 s. */
  readonly withinMs?: number;
  readonly cwd?: string;
  /** Ends something, so it is run also after `stopCommands`. */
  readonly isEnding?: boolean;
  /** Added to the environment that all programs get. */
  readonly environment?: { readonly [name: string]: string };
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
  /** On the clock of `clock.ts`. */
  readonly started: number;
  readonly ended: number;
}

/** What every program here runs with: this Node first, so that npm and pm2 use the same one as everybody. */
export function baseEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, NODE_COMPILE_CACHE: _cache, ...rest } = process.env;
  return {
    ...rest,
    PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin`,
  };
}

const underWay = new Set<ChildProcess>();
let areStopped = false;

/** Kills the commands that run, and lets no more begin but those that end something. */
export function stopCommands(): void {
  areStopped = true;
  for (const child of underWay) child.kill('SIGKILL');
}

/** Runs to the end; never rejects for an exit code. Rejects when it can't be started or takes too long. */
export function run(command: Command): Promise<Ended> {
  const started = now();
  let child: ChildProcess;
  try {
    child = launch(command, 'pipe');
  } catch (error) {
    return Promise.reject(error);
  }
  underWay.add(child);
  child.once('close', () => underWay.delete(child));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000);
    });
  }
  return new Promise((resolve, reject) => {
    let ended = 0;
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, command.withinMs ?? 60_000);
    child.once('error', reject);
    child.once('exit', (code) => {
      ended = now();
      clearTimeout(limit);
      // A process it left behind may hold the pipes open for ever.
      setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        if (late) reject(new Error(`${commandLine(command)} took too long\n${output}`));
        else resolve({ code, output, started, ended });
      }, 20);
    });
  });
}

/** As `run`; rejects with what it printed when it did not end with 0. */
export async function runWell(command: Command): Promise<Ended> {
  const ended = await run(command);
  if (ended.code === 0) return ended;
  throw new Error(`${commandLine(command)} ended with ${ended.code}\n${ended.output}`);
}

/** Starts it and lets it run. Throws when the bench was stopped; a program that is missing shows by its silence. */
export function launch(command: Command, stdio: 'pipe' | 'ignore'): ChildProcess {
  if (areStopped && command.isEnding !== true) throw new Error('the bench was stopped');
  const child = spawn(command.program, [...command.arguments], {
    cwd: command.cwd,
    env: { ...baseEnvironment(), ...command.environment },
    stdio: ['ignore', stdio, stdio],
  });
  child.on('error', () => undefined);
  return child;
}

export function commandLine({ program, arguments: rest }: Command): string {
  return [program, ...rest].join(' ');
}

/** Ends a process that this bench started, politely first; one that is gone is fine. */
export async function endProcess(pid: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', 3_000],
    ['SIGKILL', 3_000],
  ] as const) {
    if (!isRunning(pid)) return;
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const until = now() + waitMs;
    while (isRunning(pid) && now() < until) await sleep(5);
  }
}

function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // A zombie has ended; only its parent has not looked yet.
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z') === false;
  } catch {
    return false;
  }
}

/** Undefined when there is no such file or no number in it. */
export function pidIn(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8').trim());
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** A port on 127.0.0.1 that nobody had a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Looks until `look` says true; rejects with `what` after `withinMs`. */
export async function until(
  what: string,
  look: () => Promise<boolean> | boolean,
  withinMs = 15_000,
): Promise<void> {
  for (const end = now() + withinMs; !(await look()); ) {
    if (now() > end) throw new Error(`waited ${withinMs / 1_000} s in vain: ${what}`);
    await sleep(10);
  }
}
