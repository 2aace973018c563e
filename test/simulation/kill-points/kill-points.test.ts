import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { plantedBugs } from '../../planted/bugs.ts';
import { preload } from '../preload.ts';
import { killEverywhere } from './everywhere.ts';
import type { Hunt } from './kills-hunt-worker.ts';
import { play } from './play.ts';
import { shapes } from './shapes.ts';
import { counted, grouped, repeating } from './tell.ts';
import { type Violation, Walk } from './walk.ts';

/** Of the pairs one in so many; `npm run simulate -- --kills pairs` and `triples` try all. */
const oneIn = Number(process.env.UNSHIP_KILL_PAIRS ?? 1);

/** Mistakes that schedules of chance seldom meet, and the shape in which kills do. */
const hardlyMet = [
  ['a run that is cancelled goes on when it is resumed', 'cancel'],
  ['a rollback gives up at the first failure', 'rollback-keep-schema'],
  ['what an earlier holder has sent may still arrive', 'release-code'],
] as const;

describe('twelve kinds of plans, killed everywhere', () => {
  it('end as if nobody had been killed, or are taken back, after one kill and after two', async (test) => {
    const tally = await killEverywhere({ depth: 2, oneIn, lateOneIn: 4 * oneIn });
    for (const line of counted(tally)) test.diagnostic(line);
    assert.deepEqual(grouped(tally.violations).slice(0, 20), [], `${tally.violations.length} violations`);
    assert.equal(tally.places.size, 12);
    for (const [name, places] of tally.places) assert.ok(places >= 50, `${name} has ${places} places`);
  });

  it('what took over from a release that was half-way is not cancelled, and is gone on with', async () => {
    await preload();
    const shape = shapes.find(({ name }) => name === 'release-held');
    assert.ok(shape !== undefined);
    const walk = await Walk.of(shape);
    const switched = walk.undisturbed.points.indexOf('web.switch.after') + 1;
    const half = await walk.first(switched);
    const taken = await play(half, (person) => person.rollback(), {
      where: ({ disk }) => disk.content.runs.length > 1,
    });
    const { trace, world, violations } = await play(taken, (person) => person.cancel());
    assert.match(trace.join('\n'), /unship cancel: past-no-return: .*run 2 took over from run 1/s);
    assert.deepEqual([world.web.live, violations], ['r2', []]);
    const ended = await play({ world, agreed: taken.agreed }, (person) => person.resume(2));
    assert.deepEqual([ended.world.web.live, ended.violations], ['r1', []]);
  });

  for (const [name, shape] of hardlyMet) {
    it(`finds it when ${name}`, async (test) => {
      const bug = plantedBugs.find((one) => one.name === name);
      assert.ok(bug !== undefined);
      const workerData: Hunt = { bug, shape, extent: { depth: 1, oneIn: 1, lateOneIn: 1 } };
      const worker = new Worker(new URL('kills-hunt-worker.ts', import.meta.url), { workerData });
      const [found] = (await once(worker, 'message')) as [Violation | null];
      await worker.terminate();
      assert.ok(found !== null, 'not found');
      test.diagnostic(`${repeating(found)}: ${found.text}`);
    });
  }
});
