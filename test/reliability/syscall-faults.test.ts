import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { strikeAll } from './syscall-faults.ts';

/** Faults that nobody has tried before, told in the output; `UNSHIP_SEED` begins where somebody says. */
const faults = Number(process.env.UNSHIP_SYSCALL_FAULTS ?? 150);
const from = Number(process.env.UNSHIP_SEED ?? Math.floor(Math.random() * 2 ** 30));

describe('the state on a disk that refuses', () => {
  it('the process says so or has done everything, and the next one finds all that was acknowledged', async (test) => {
    const { violations, ...counts } = await strikeAll(from, faults);
    test.diagnostic(`from ${from} on: ${JSON.stringify(counts)}`);
    const told = violations.slice(0, 20);
    const repeat = (seed: number): string => `npm run soak -- syscall-faults --seed ${seed} --count 1`;
    assert.deepEqual(
      told.map(({ seed, text }) => `${text} (${repeat(seed)})`),
      [],
    );
    // Otherwise it was no test: the faults have struck, and most of them hurt.
    assert.ok(counts.reported > faults / 3, JSON.stringify(counts));
  });
});
