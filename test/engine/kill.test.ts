import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { placesOf, stories, survive } from './kill-stories.ts';

for (const story of stories) {
  describe(`${story.name}, killed`, () => {
    test('at any place, ends as if nothing had been', async () => {
      const places = await placesOf(story);
      assert.ok(places > 20, `only ${places} places`);
      for (let place = 1; place <= places; place += 1) {
        await survive(story, [place], place % 4 === 0 ? 'elsewhere' : 'here').catch((error: unknown) => {
          throw new Error(`killed at place ${place} of ${places}`, { cause: error });
        });
      }
    });

    test('at one place, and resumed and killed again, and again', async () => {
      const places = await placesOf(story);
      for (let round = 0; round < 25; round += 1) {
        const chosen = [1, 2, 3].map((factor) => 3 + ((round * 7919 * factor + 104_729 * factor) % places));
        await survive(story, chosen, 'here').catch((error: unknown) => {
          throw new Error(`killed at places ${chosen.join(', ')} of ${places}`, { cause: error });
        });
      }
    });
  });
}
