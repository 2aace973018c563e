import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isUnshipError } from '../../src/domain/errors.ts';
import { endedStatuses } from '../../src/domain/run.ts';
import type { RunOutcome } from '../../src/engine/engine.ts';
import { CommitCutter, type Cut } from '../support/commit-cutter.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { type Story, stories } from './kill-stories.ts';
import { postgresState } from './postgres-state.ts';
import { World } from './toy.ts';

let cluster: PostgresCluster;
let cutter: CommitCutter;
before(async () => {
  cluster = await PostgresCluster.start();
  cutter = await CommitCutter.start(cluster);
});
after(async () => {
  await cutter[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

/** The first process speaks through the cutter; whoever comes after it reaches the server itself. */
function makeWorld(story: Story): World {
  const world = new World(postgresState((process) => (process === 1 ? cutter.url : cluster.url())));
  story.prepare(world);
  return world;
}

async function commitsOf(story: Story): Promise<number> {
  using world = makeWorld(story);
  const process = world.process();
  // Making the state is one too.
  await process.store.lastFence();
  cutter.cutAt();
  await process.run(story.plan());
  return cutter.commits;
}

/** What a process says whose session ended at a commit, and how the work ends with whoever goes on. */
async function cutAndGoOn(story: Story, at: number, when: Cut): Promise<'told' | 'unnoticed'> {
  using world = makeWorld(story);
  const process = world.process('elsewhere');
  await process.store.lastFence();
  cutter.cutAt(at, when);
  const plan = story.plan();
  const first = await process.run(plan).catch((error: unknown) => error);
  const isTold = isUnshipError(first);
  let { ends, remain } = story;
  if (isTold && first.slug !== 'fenced-out') {
    assert.equal(first.slug, 'state-unreachable', first.message);
    assert.match(first.details.done ?? '', /is not known/);
    assert.doesNotMatch(`${first.message} ${first.details.done}`, /postgres:\/\//);
  } else if (!isTold) {
    const { status, error } = first as RunOutcome;
    // A release whose step could not be put down is taken back, and says why.
    if (plan.kind === 'release' && status === 'undone') [ends, remain] = ['undone', []];
    if (ends !== story.ends) assert.equal(isUnshipError(error) && error.slug, 'state-unreachable');
    assert.equal(status, ends, String(error));
    assert.deepEqual([...world.done].sort(), [...remain].sort());
  }
  const next = world.process('here');
  for (let held = await next.store.lease(); held !== undefined; held = await next.store.lease()) {
    if (held.expiresAt <= world.time.now()) break;
    await world.time.sleep(1000);
  }
  const [known] = await next.store.runs(1);
  if (known === undefined) assert.deepEqual(world.effects, [], 'nothing was done before it was recorded');
  const isEnded = known !== undefined && endedStatuses.has(known.status);
  const { status } = isEnded
    ? known
    : known === undefined
      ? await next.run(plan)
      : await next.resume(known.id);
  assert.equal(status, ends);
  assert.equal((await next.store.runs(9)).length, 1);
  assert.deepEqual([...world.done].sort(), [...remain].sort());
  const twice = world.effects.filter((effect, index) => world.effects.indexOf(effect) !== index);
  assert.deepEqual(twice, [], 'an effect happened twice');
  return isTold ? 'told' : 'unnoticed';
}

describe('a session that the server ends at a commit', () => {
  for (const story of stories) {
    test(`${story.name}: what it says is true, and whoever goes on ends as if nothing had been`, async () => {
      const commits = await commitsOf(story);
      assert.ok(commits > 8, `only ${commits} commits`);
      let told = 0;
      for (let at = 1; at <= commits; at += 1) {
        for (const when of ['before', 'after'] as const) {
          const seen = await cutAndGoOn(story, at, when).catch((error: unknown) => {
            throw new Error(`cut ${when} commit ${at} of ${commits}`, { cause: error });
          });
          if (seen === 'told') told += 1;
        }
      }
      // A sign of life that failed is given again, and nobody need hear of it.
      assert.ok(told >= commits, `${told} of ${2 * commits} were told`);
    });
  }
});
