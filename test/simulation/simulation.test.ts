import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { corpus } from './corpus.ts';
import { faultKinds } from './faults.ts';
import { preload } from './preload.ts';
import { runSideBySide } from './side-by-side.ts';
import { Story } from './story.ts';

/**
 * The same range each time, so that a change is what made it fail. `UNSHIP_SEED` begins elsewhere, `UNSHIP_SCHEDULES`
 * goes on for longer: `.ci/run` does both, and `npm run simulate`.
 */
const schedules = Number(process.env.UNSHIP_SCHEDULES ?? 5_000);
const from = Number(process.env.UNSHIP_SEED ?? 1_500_000);

describe('planner and engine while everything goes wrong', () => {
  it('what was found once stays mended', async () => {
    await preload();
    for (const { seed, found } of corpus) {
      const { violations } = await new Story(seed).run();
      assert.deepEqual(violations, [], `${found}: npm run simulate -- --seed ${seed}`);
    }
  });

  it('the same seed tells the same story to the last entry of its journal', async () => {
    await preload();
    const told = async (seed: number): Promise<string> => {
      const story = new Story(seed);
      const { trace, fired, violations } = await story.run();
      return JSON.stringify([trace, fired, violations, story.world.disk.content.runs]);
    };
    for (let seed = from; seed < from + 20; seed += 1) {
      assert.equal(await told(seed), await told(seed), `npm run simulate -- --seed ${seed}`);
    }
  });

  it('ends right in every schedule, and every kind of fault has happened', async (test) => {
    const { fired, violations } = await runSideBySide(from, schedules);
    test.diagnostic(`${schedules} schedules from ${from} on`);
    const told = violations
      .slice(0, 5)
      .map(({ seed, text }) => `${text}: npm run simulate -- --seed ${seed}`);
    assert.deepEqual(told, [], `${violations.length} violations in ${schedules} schedules from ${from} on`);
    const never = faultKinds.filter((kind) => fired[kind] === 0);
    assert.deepEqual(never, [], 'faults that have not happened');
  });
});
