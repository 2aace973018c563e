import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { preload } from '../preload.ts';
import { killEverywhere } from './everywhere.ts';
import { play } from './play.ts';
import { shapes } from './shapes.ts';
import { counted, grouped } from './tell.ts';
import { Walk } from './walk.ts';

/** Of the pairs one in so many; `npm run simulate -- --kills pairs` and `triples` try all. */
const oneIn = Number(process.env.UNSHIP_KILL_PAIRS ?? 1);

describe('a dozen kinds of plans, killed everywhere', () => {
  it('end as if nobody had been killed, or are taken back, after one kill and after two', async (test) => {
    const tally = await killEverywhere({ depth: 2, oneIn, lateOneIn: 4 * oneIn });
    for (const line of counted(tally)) test.diagnostic(line);
    assert.deepEqual(grouped(tally.violations).slice(0, 20), [], `${tally.violations.length} violations`);
    assert.ok(tally.places.size >= 12);
    for (const [name, places] of tally.places) assert.ok(places >= 30, `${name} has ${places} places`);
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
});
