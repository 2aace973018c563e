import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { killEverywhere } from './everywhere.ts';
import { counted, grouped } from './tell.ts';

/** Of the pairs one in so many; `npm run simulate -- --kills pairs` and `triples` try all. */
const oneIn = Number(process.env.UNSHIP_KILL_PAIRS ?? 1);

describe('twelve kinds of plans, killed everywhere', () => {
  it('end as if nobody had been killed, or are taken back, after one kill and after two', async (test) => {
    const tally = await killEverywhere({ depth: 2, oneIn });
    for (const line of counted(tally)) test.diagnostic(line);
    assert.deepEqual(grouped(tally.violations).slice(0, 20), [], `${tally.violations.length} violations`);
    assert.equal(tally.places.size, 12);
    for (const [name, places] of tally.places) assert.ok(places > 50, `${name} has ${places} places`);
  });
});
