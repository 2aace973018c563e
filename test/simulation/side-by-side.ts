import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { nothingRun, sum, type Tally } from './schedules.ts';

/** So many seeds a worker is given at once. */
const portion = 250;

export interface SideBySideOptions {
  /** One per core unless told. */
  readonly workers?: number;
  /** Told after each portion. */
  readonly onProgress?: (tally: Tally) => void;
  /** No portion is begun any more. */
  readonly stop?: () => boolean;
}

/** Runs the schedules of `count` seeds from `from` on in several threads, and tells what came of all of them. */
export async function runSideBySide(
  from: number,
  count: number,
  { workers = availableParallelism(), onProgress = () => {}, stop = () => false }: SideBySideOptions = {},
): Promise<Tally> {
  let tally = nothingRun;
  let next = from;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('schedules-worker.ts', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 128 },
    });
    try {
      while (next < from + count && !stop()) {
        const first = next;
        next = Math.min(from + count, first + portion);
        worker.postMessage({ from: first, count: next - first });
        const [answer] = (await once(worker, 'message')) as [Tally];
        tally = sum(tally, answer);
        onProgress(tally);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return tally;
}
