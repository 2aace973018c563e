import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from './cleanup.ts';

/** What became of one request. Times on the clock of `clock.ts`. */
export interface RequestRecord {
  /** When it should have been sent, and, but for the generator's own delay, was. */
  readonly due: number;
  /** Null when it was given up as hung. */
  readonly ended: number | null;
  /** 0 without an answer. */
  readonly status: number;
  /** The release that answered; empty when none named itself. */
  readonly release: string;
  readonly error: string;
}

export type ToGenerator =
  | { readonly type: 'start'; readonly port: number; readonly requestsPerSecond: number }
  | { readonly type: 'watch' }
  | { readonly type: 'stop' };

export type FromGenerator =
  | { readonly type: 'steady' }
  | { readonly type: 'good' }
  | { readonly type: 'records'; readonly records: readonly RequestRecord[] };

/** A steady load from a process of its own, on one target at a time. */
export interface LoadGenerator {
  /** Resolves once the load has been under way for a while. */
  start(port: number, requestsPerSecond: number): Promise<void>;
  /** Resolves with the next answer of the good release. */
  firstGood(): Promise<void>;
  /** Ends the load, waits until each request under way is answered or hung, and returns all since `start`. */
  stop(): Promise<readonly RequestRecord[]>;
}

export function startLoadGenerator(cleanup: Cleanup): LoadGenerator {
  const file = fileURLToPath(new URL('load-generator.ts', import.meta.url));
  const child = fork(file, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  cleanup.defer(() => {
    child.kill('SIGKILL');
  });
  const ask = async <T extends FromGenerator['type']>(message: ToGenerator, answer: T) => {
    const heard = hear(child, answer);
    child.send(message);
    return await heard;
  };
  return {
    start: async (port, requestsPerSecond) => {
      await ask({ type: 'start', port, requestsPerSecond }, 'steady');
    },
    firstGood: async () => {
      await ask({ type: 'watch' }, 'good');
    },
    stop: async () => (await ask({ type: 'stop' }, 'records')).records,
  };
}

function hear<T extends FromGenerator['type']>(
  child: ChildProcess,
  type: T,
): Promise<Extract<FromGenerator, { type: T }>> {
  return new Promise((resolve, reject) => {
    const message = (received: FromGenerator): void => {
      if (received.type !== type) return;
      child.off('exit', exit);
      child.off('message', message);
      resolve(received as Extract<FromGenerator, { type: T }>);
    };
    const exit = (): void => reject(new Error(`the load generator ended before it said "${type}"`));
    child.on('message', message);
    child.once('exit', exit);
  });
}
