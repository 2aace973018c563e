import { parentPort, workerData } from 'node:worker_threads';
import type { PlantedBug } from '../../planted/bugs.ts';
import { plant } from '../../planted/plant.ts';
import type { Extent, Kill, Violation } from './walk.ts';

export interface Hunt {
  readonly bug: PlantedBug;
  readonly extent: Extent;
  /** The shape in which it is looked for; absent: in one after another. */
  readonly shape?: string;
}

/** One bug is hunted by kills until something is wrong. Answers that violation, or null. */
const { bug, extent, shape: name } = workerData as Hunt;
plant(bug);
Error.stackTraceLimit = 0;
const { preload } = await import('../preload.ts');
const { shapes } = await import('./shapes.ts');
const { Walk } = await import('./walk.ts');
await preload();

async function firstViolation(): Promise<Violation | null> {
  const none: readonly Kill[] = [];
  for (const shape of shapes.filter((one) => name === undefined || one.name === name)) {
    const walk = await Walk.of(shape);
    const [text] = walk.judge(walk.undisturbed, none);
    if (text !== undefined) return { shape: shape.name, kills: none, text };
    for (let sent = 1; sent <= walk.orders; sent += 1) {
      const [violation] = (await walk.exploreLate(sent, extent)).violations;
      if (violation !== undefined) return violation;
    }
    for (const place of await walk.places()) {
      const [violation] = (await walk.explore(place, extent)).violations;
      if (violation !== undefined) return violation;
    }
  }
  return null;
}

parentPort?.postMessage(await firstViolation());
