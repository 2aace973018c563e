import { hash, randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Faults, Runtime } from '../domain/runtime.ts';
import type { LeaseOwner } from '../store/store.port.ts';

/** A longer timer fires at once; 24.8 days. */
const longestTimerMs = 2 ** 31 - 1;

/** The real clock, randomness and digest. `clockShiftMs`: how far the clock of this machine is wrong now. */
export function systemRuntime(faults: Faults = noFaults, clockShiftMs: () => number = () => 0): Runtime {
  return {
    clock: {
      now: () => Date.now() + clockShiftMs(),
      monotonic: () => performance.now(),
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted === true) {
            resolve();
            return;
          }
          const end = (): void => {
            clearTimeout(timer);
            signal?.removeEventListener('abort', end);
            resolve();
          };
          let left = ms;
          const wait = (): NodeJS.Timeout => {
            const part = Math.min(left, longestTimerMs);
            left -= part;
            return setTimeout(() => {
              if (left > 0) timer = wait();
              else end();
            }, part);
          };
          let timer = wait();
          signal?.addEventListener('abort', end, { once: true });
        }),
    },
    ids: { random: () => randomBytes(16).toString('hex') },
    faults,
    digest: (text) => hash('sha256', text),
  };
}

const noFaults: Faults = { point: () => {} };

/**
 * Faults for the tests with real processes, asked for by `UNSHIP_FAULTS`: `record:FILE` writes the name of every
 * place passed, `kill:N` ends this process with SIGKILL at the N-th, `stop:N` freezes it there with SIGSTOP; a comma
 * joins them. Anything else, and production, does nothing.
 */
function faultsFromEnvironment(value: string | undefined): Faults {
  const points = (value ?? '').split(',').flatMap((part) => faultPoint(part) ?? []);
  return {
    point: (name) => {
      for (const point of points) point(name);
    },
  };
}

function faultPoint(text: string): Faults['point'] | undefined {
  const at = text.indexOf(':');
  const [what, argument] = [text.slice(0, at), text.slice(at + 1)];
  if (what === 'record') return (name) => appendFileSync(argument, `${name}\n`);
  const signal = what === 'kill' ? 'SIGKILL' : what === 'stop' ? 'SIGSTOP' : undefined;
  if (signal === undefined) return undefined;
  let left = Number(argument);
  return () => {
    left -= 1;
    if (left === 0) process.kill(process.pid, signal);
  };
}

/** The runtime of a process whose environment asks for faults, or for none. */
export function runtimeWithFaults(value: string | undefined): Runtime {
  const faults = faultsFromEnvironment(value);
  const jump = clockJumpOf(value);
  if (jump === undefined) return systemRuntime(faults);
  let left = jump.afterPoints;
  const counting: Faults = {
    point: (name) => {
      left -= 1;
      faults.point(name);
    },
  };
  return systemRuntime(counting, () => (left <= 0 ? jump.ms : 0));
}

/**
 * `clock:MS` among the same faults: a machine whose clock is ahead by so much, or behind with a minus;
 * `clock:MS@N`: it becomes so at the N-th place that is passed.
 */
function clockJumpOf(
  value: string | undefined,
): { readonly ms: number; readonly afterPoints: number } | undefined {
  const found = /(?:^|,)clock:(?<ms>[+-]?\d{1,12})(?:@(?<n>\d{1,6}))?(?:,|$)/.exec(value ?? '')?.groups;
  return found && { ms: Number(found.ms), afterPoints: Number(found.n ?? 0) };
}

/** Start time in clock ticks since boot, as the kernel counts it; null when the process is not there. */
function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not looked yet.
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

export function thisOwner(user: string, command: string): LeaseOwner {
  return {
    host: hostname(),
    pid: process.pid,
    pidStartedAt: processStart(process.pid) ?? '',
    user,
    command,
  };
}

/** Null where it can't be told: another host, or a system without /proc. */
export function isOwnerAlive(owner: LeaseOwner): boolean | null {
  if (owner.host !== hostname() || owner.pidStartedAt === '' || processStart(process.pid) === null)
    return null;
  return processStart(owner.pid) === owner.pidStartedAt;
}
