import { parentPort, workerData } from 'node:worker_threads';
import type { PlantedBug } from './bugs.ts';
import type { Find } from './hunt.ts';
import { plant } from './plant.ts';

/** One bug is hunted: by kills where it says in which kind of plan, else seed after seed, until something is wrong. */
const { bug, seeds } = workerData as { readonly bug: PlantedBug | null; readonly seeds: number };
if (bug !== null) plant(bug);
Error.stackTraceLimit = 0;
const { preload } = await import('../simulation/preload.ts');
await preload();

async function byChance(): Promise<Find | undefined> {
  const { Story } = await import('../simulation/story.ts');
  for (let seed = 1; seed <= seeds; seed += 1) {
    const [violation] = (await new Story(seed).run()).violations;
    if (violation !== undefined) return { by: `npm run simulate -- --seed ${seed}`, violation };
  }
  return undefined;
}

/** Kills once at every place, then twice; then late orders of whoever is dead. */
async function byKills(name: string): Promise<Find | undefined> {
  const { shapes } = await import('../simulation/kill-points/shapes.ts');
  const { repeating } = await import('../simulation/kill-points/tell.ts');
  const { Walk } = await import('../simulation/kill-points/walk.ts');
  const shape = shapes.find((one) => one.name === name);
  if (shape === undefined) throw new Error(`there is no kind of plan ${name}`);
  const walk = await Walk.of(shape);
  const [undisturbed] = walk.judge(walk.undisturbed, []);
  if (undisturbed !== undefined) return { by: `${name} without a kill`, violation: undisturbed };
  const places = await walk.places();
  for (const depth of [1, 2]) {
    for (const place of places) {
      const [found] = (await walk.explore(place, { depth, oneIn: 1, lateOneIn: 1 })).violations;
      if (found !== undefined) return { by: repeating(found), violation: found.text };
    }
    for (let sent = 1; depth === 1 && sent <= walk.orders; sent += 1) {
      const [found] = (await walk.exploreLate(sent, { depth, oneIn: 1, lateOneIn: 1 })).violations;
      if (found !== undefined) return { by: repeating(found), violation: found.text };
    }
  }
  return undefined;
}

const shape = bug?.shape;
parentPort?.postMessage((shape === undefined ? undefined : await byKills(shape)) ?? (await byChance()));
