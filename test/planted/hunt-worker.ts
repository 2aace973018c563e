import { parentPort, workerData } from 'node:worker_threads';
import type { PlantedBug } from './bugs.ts';
import { plant } from './plant.ts';

/** One bug is hunted with the simulation: seed after seed, until something is wrong. */
const { bug, seeds } = workerData as { readonly bug: PlantedBug | null; readonly seeds: number };
if (bug !== null) plant(bug);
Error.stackTraceLimit = 0;
const { preload } = await import('../simulation/preload.ts');
const { Story } = await import('../simulation/story.ts');
await preload();

for (let seed = 1; seed <= seeds; seed += 1) {
  const { violations } = await new Story(seed).run();
  const [first] = violations;
  if (first === undefined) continue;
  parentPort?.postMessage({ seed, violation: first });
  break;
}
