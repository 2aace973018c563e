import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { lookSideBySide, makeRecording, type Recording, type Violation } from './crash-images.ts';

/** Cuts that nobody has tried before, told in the output; `UNSHIP_SEED` begins where somebody says. */
const images = Number(process.env.UNSHIP_CRASH_IMAGES ?? 8_000);
const from = Number(process.env.UNSHIP_SEED ?? Math.floor(Math.random() * 2 ** 30));

function told(violations: readonly Violation[]): readonly string[] {
  const repeat = (seed: number): string => `npm run soak -- crash-images --seed ${seed} --count 1`;
  return violations.slice(0, 20).map(({ seed, text }) => `${text} (${repeat(seed)})`);
}

describe('the state after the power was cut', () => {
  let recording: Recording;

  before(async () => {
    recording = await makeRecording();
  });

  it('is whole, and holds every commit that was acknowledged, wherever it was cut', async (test) => {
    const looked = await lookSideBySide(recording, { from, count: images, droppedSyncs: 0 });
    test.diagnostic(`${looked.images} images from ${from} on, of ${recording.states.length} commits`);
    assert.deepEqual(told(looked.violations), []);
    assert.equal(looked.images, images);
  });

  it('loses acknowledged commits on a disk that drops three in ten of its syncs, and that is seen', async () => {
    const looked = await lookSideBySide(recording, { from, count: 1_000, droppedSyncs: 0.3 });
    const lost = looked.violations.filter(({ text }) => text.includes('lost: '));
    assert.ok(lost.length >= 10, `only ${lost.length} of ${looked.images} images lacked a commit`);
  });
});
