import { after, before, describe, test } from 'node:test';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { placesOf, stories, survive } from './kill-stories.ts';
import { postgresState } from './postgres-state.ts';
import { World } from './toy.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(async () => await cluster[Symbol.asyncDispose]());

const makeWorld = (): World => new World(postgresState(() => cluster.url()));

/** All of them on a server would take minutes; the store stops at the same places there. */
const everySo = 3;

describe('with the state on a server', () => {
  for (const story of stories) {
    test(`${story.name}, killed at one place after another, ends as if nothing had been, here and elsewhere`, async () => {
      const places = await placesOf(story);
      for (let place = 1; place <= places; place += everySo) {
        const host = place % 2 === 0 ? 'elsewhere' : 'here';
        await survive(story, [place], host, makeWorld).catch((error: unknown) => {
          throw new Error(`killed at place ${place} of ${places}`, { cause: error });
        });
      }
    });
  }
});
