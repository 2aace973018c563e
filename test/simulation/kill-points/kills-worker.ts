import { parentPort } from 'node:worker_threads';
import { preload } from '../preload.ts';
import { shapes } from './shapes.ts';
import { type Extent, type Place, Walk } from './walk.ts';

export interface Question {
  readonly shape: string;
  /** A place, or the number of an order that arrives late. */
  readonly from: Place | number;
  readonly extent: Extent;
}

// As in the other simulation: nobody reads these stacks, and they are most of what an error costs.
Error.stackTraceLimit = 0;
await preload();
const walks = new Map<string, Walk>();
parentPort?.on('message', async ({ shape, from, extent }: Question) => {
  const known = walks.get(shape);
  const found = shapes.find(({ name }) => name === shape);
  if (found === undefined) throw new Error(`there is no shape ${shape}`);
  const walk = known ?? (await Walk.of(found));
  walks.set(shape, walk);
  const tried =
    typeof from === 'number' ? await walk.exploreLate(from, extent) : await walk.explore(from, extent);
  parentPort?.postMessage(tried);
});
