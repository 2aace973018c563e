import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { commandLine } from '../domain/command.ts';
import type { CheckDefinition } from '../domain/definition.ts';
import { formatDuration } from '../domain/duration.ts';
import { messageOf } from '../domain/errors.ts';
import type { LookContext } from '../surfaces/surface.port.ts';
import type { Check, CheckResult } from './check.port.ts';
import { positiveDuration } from './positive-duration.ts';
import { timedCheck } from './timed-check.ts';

export type CommandCheckDefinition = Extract<CheckDefinition, { readonly command: readonly string[] }>;

export interface CommandCheckEnvironment {
  /** Absolute path that the command starts in: the folder of the configuration. */
  readonly folder: string;
  /** All the variables it gets. */
  readonly variables: { readonly [name: string]: string | undefined };
  /** Takes secrets out of what it printed. */
  mask?(text: string): string;
}

const defaultWithin = '30s';
const tailBytes = 4 * 1024;
const seenCharacters = 200;
/** How long the command's output may take to end after the command has. */
const drainMs = 500;

type End =
  | { readonly how: 'exit'; readonly code: number }
  | { readonly how: 'signal'; readonly signal: string }
  | { readonly how: 'not-started'; readonly error: unknown };

/** Ends the command and everything it started. */
function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}

function collectTail(stream: Readable): () => string {
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]);
    if (tail.length > 2 * tailBytes) tail = tail.subarray(-tailBytes);
  });
  return () => tail.subarray(-tailBytes).toString('utf8').trim();
}

/** Ends when the command does; whatever it left running is ended with it, and its pipes are not waited for. */
function ended(child: ChildProcess, signal: AbortSignal): Promise<End> {
  return new Promise((resolve) => {
    const stop = (): void => endGroup(child);
    signal.addEventListener('abort', stop, { once: true });
    const finish = (end: End): void => {
      signal.removeEventListener('abort', stop);
      resolve(end);
    };
    child.on('error', (error) => finish({ how: 'not-started', error }));
    child.on('exit', (code, by) => {
      endGroup(child);
      const end: End = by === null ? { how: 'exit', code: code ?? 1 } : { how: 'signal', signal: by };
      const drain = setTimeout(() => finish(end), drainMs);
      child.on('close', () => {
        clearTimeout(drain);
        finish(end);
      });
    });
    if (signal.aborted) stop();
  });
}

function lastLine(text: string): string {
  const line = text.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : `: ${line.slice(-seenCharacters)}`;
}

/**
 * Runs a program of the operator's without a shell; exit code 0 is a pass, any other a failure, and too slow is
 * a failure too. A program that can't be started, or that is killed by someone else, has not been asked.
 */
export function createCommandCheck(
  definition: CommandCheckDefinition,
  { folder, variables, mask = (text) => text }: CommandCheckEnvironment,
): Check {
  const [program, ...rest] = commandLine(definition.command);
  const name = definition.name ?? [program, ...rest].join(' ');
  const withinMs = positiveDuration(`within of the check \`${name}\``, definition.within ?? defaultWithin);

  async function start(signal: AbortSignal): Promise<{ end: End; tail: string }> {
    const { spawn } = await import('node:child_process');
    try {
      const child = spawn(program, rest, {
        cwd: folder,
        env: { ...variables },
        stdio: ['ignore', 'pipe', 'pipe'],
        // A group of its own, so that ending it ends what it started.
        detached: true,
      });
      const errors = collectTail(child.stderr);
      const output = collectTail(child.stdout);
      const end = await ended(child, signal);
      child.stdout.destroy();
      child.stderr.destroy();
      return { end, tail: mask(errors() || output()) };
    } catch (error) {
      return { end: { how: 'not-started', error }, tail: '' };
    }
  }

  async function ask(context: LookContext): Promise<Pick<CheckResult, 'verdict' | 'seen'>> {
    if (context.signal.aborted) return { verdict: 'unknown', seen: `${name}: interrupted` };
    const limit = AbortSignal.timeout(withinMs);
    const { end, tail } = await start(AbortSignal.any([context.signal, limit]));
    if (end.how === 'not-started') {
      return { verdict: 'unknown', seen: `${name}: could not be started: ${messageOf(end.error)}` };
    }
    if (end.how === 'exit') {
      const verdict = end.code === 0 ? 'pass' : 'fail';
      return { verdict, seen: `${name}: exit code ${end.code}${verdict === 'fail' ? lastLine(tail) : ''}` };
    }
    if (context.signal.aborted) return { verdict: 'unknown', seen: `${name}: interrupted` };
    if (limit.aborted) {
      return { verdict: 'fail', seen: `${name}: did not end within ${formatDuration(withinMs)}` };
    }
    return { verdict: 'unknown', seen: `${name}: ended by ${end.signal}` };
  }

  return timedCheck(name, ask);
}
