import { Worker } from 'node:worker_threads';
import type { PlantedBug } from './bugs.ts';

/** By what a bug was found. */
export interface Find {
  /** What shows it again, with the bug in it. */
  readonly by: string;
  readonly violation: string;
}

/**
 * Lets the simulation look for a bug in a thread of its own, in which alone it is there. Undefined when neither kills
 * nor so many seeds found it; `null` as bug hunts in the program as it is.
 */
export async function hunt(bug: PlantedBug | null, seeds: number): Promise<Find | undefined> {
  const worker = new Worker(new URL('hunt-worker.ts', import.meta.url), {
    workerData: { bug, seeds },
    resourceLimits: { maxYoungGenerationSizeMb: 128 },
  });
  return await new Promise((resolve, reject) => {
    let find: Find | undefined;
    worker.once('message', (message: Find | undefined) => {
      find = message;
    });
    worker.once('error', reject);
    worker.once('exit', () => resolve(find));
  });
}
