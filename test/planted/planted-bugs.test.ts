import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { it } from 'node:test';
import { plantedBugs } from './bugs.ts';
import { hunt } from './hunt.ts';
import { withBug } from './plant.ts';

/** Seeds in which one bug is looked for; `UNSHIP_HUNT` makes it another number, or one bug's name the only one. */
const seeds = Number(process.env.UNSHIP_HUNT ?? 1_500);
/** So large a part of them must be found: of thirty, twenty-eight. */
const wanted = 28 / 30;

it('nothing is found in the program as it is', async () => {
  assert.equal(await hunt(null, 300), undefined);
});

it('of thirty bugs and more that somebody could make, the simulation finds 28 in 30', async (test) => {
  for (const bug of plantedBugs) withBug(bug);
  assert.ok(plantedBugs.length >= 30);
  const waiting = [...plantedBugs];
  const missed: string[] = [];
  const work = async (): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const find = await hunt(bug, seeds);
      if (find === undefined) missed.push(bug.name);
      else test.diagnostic(`${bug.name}: ${find.by}: ${find.violation}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  const found = plantedBugs.length - missed.length;
  assert.ok(
    found >= plantedBugs.length * wanted,
    `${found} of ${plantedBugs.length} were found; not: ${missed.join('; ')}`,
  );
});
