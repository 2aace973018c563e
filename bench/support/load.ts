import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

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

export type ToGenerator = { readonly type: 'watch' } | { readonly type: 'stop' };
export type FromGenerator =
  | { readonly type: 'steady' }
  | { readonly type: 'good' }
  | { readonly type: 'records'; readonly records: readonly RequestRecord[] };

export interface Load {
  /** Resolves with the next answer of the good release. */
  firstGood(): Promise<void>;
  /** Ends the load, waits until each request under way is answered or hung, and returns them all. */
  stop(): Promise<readonly RequestRecord[]>;
  kill(): void;
}

/**
 * A steady load from a process of its own, which runs until it is stopped or this process ends. Resolves once it
 * has been under way for a while.
 */
export async function startLoad(port: number, requestsPerSecond: number): Promise<Load> {
  const file = fileURLToPath(new URL('load-generator.ts', import.meta.url));
  const child = fork(file, [String(port), String(requestsPerSecond)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const tell = (message: ToGenerator): void => {
    child.send(message);
  };
  await hear(child, 'steady');
  return {
    firstGood: async () => {
      const heard = hear(child, 'good');
      tell({ type: 'watch' });
      await heard;
    },
    stop: async () => {
      const heard = hear(child, 'records');
      tell({ type: 'stop' });
      return (await heard).records;
    },
    kill: () => {
      child.kill('SIGKILL');
    },
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
    const exit = (): void => reject(new Error(`the load generator ended before it said ${type}`));
    child.on('message', message);
    child.once('exit', exit);
  });
}
