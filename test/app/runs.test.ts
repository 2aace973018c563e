import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunOptions } from '../../src/domain/application.ts';
import { isRefusal, type Plan } from '../../src/domain/plan.ts';
import type { PreparedRelease } from '../../src/domain/report.ts';
import { Random } from '../simulation/random.ts';
import { type Commit, commitHash, World } from '../simulation/world.ts';

const options: RunOptions = { signal: new AbortController().signal, onEvent: () => {} };
const request = { ...options, dryRun: false };

function worldWithTwoCommits(): World {
  const world = new World(new Random(1), [], {
    surfaces: {},
    guard: { bake: '1s', every: '1s', failures: 2, desktop: 'after', onUnhealthy: 'page' },
  } as unknown as World['definition']);
  const good: Commit = {
    hash: commitHash(1),
    parents: [],
    versions: ['0001'],
    desktop: '1.0.0',
    isBad: false,
  };
  world.begin(good);
  world.addCommit({ ...good, hash: commitHash(2), parents: [good.hash], desktop: '1.1.0' });
  return world;
}

async function prepared(world: World): Promise<() => Promise<string>> {
  const { application } = world.start('unship release');
  const answer = (await application.prepareRelease(request)) as PreparedRelease;
  assert.equal(isRefusal(answer as unknown as Plan), false);
  return async () => {
    try {
      return (await application.execute(answer.plan, options)).status;
    } catch (error) {
      return (error as { slug: string }).slug;
    }
  };
}

test('a plan that was made while somebody held the lease is made again, however fresh it is', async () => {
  const world = worldWithTwoCommits();
  void world.use();
  const first = await prepared(world);
  const running = first();
  // The first holds the lease, and is about to make its release the live one.
  while (world.web.live === 'r1') await world.time.sleep(1);
  const second = await prepared(world);
  assert.equal(await running, 'done');
  assert.equal(await second(), 'plan-stale');
  assert.equal(world.web.live, 'r2');
  world.end();
});

test('a release is not made from what another has changed since it was drafted', async () => {
  const world = worldWithTwoCommits();
  world.migrations.set('0002', {
    version: '0002',
    oldCodeRuns: true,
    newCodeRuns: true,
    rewrites: false,
    down: 'written',
  });
  const [first] = world.commits.values();
  world.addCommit({ ...(first as Commit), hash: commitHash(3), versions: ['0001', '0002'] });
  const [early, late] = [await prepared(world), await prepared(world)];
  assert.equal(await early(), 'done');
  // By now the database has what the draft says it brings, and the number is another one's.
  assert.equal(await late(), 'plan-stale');
  const releases = [...world.disk.content.releases.values()];
  assert.deepEqual(
    releases.map(({ id, deployment }) => [id, deployment]),
    [
      ['r1', 'superseded'],
      ['r2', 'live'],
    ],
  );
  world.end();
});

test('a release never takes the number of another, though that one was undone and nothing else has changed', async () => {
  const world = worldWithTwoCommits();
  const [early, late] = [await prepared(world), await prepared(world)];
  world.web.running.delete('r2');
  const { commits } = world;
  const brought = commits.get(commitHash(2));
  commits.delete(commitHash(2));
  assert.notEqual(await early(), 'done');
  commits.set(commitHash(2), brought as Commit);
  const before = world.disk.content.releases.get(2);
  assert.equal(before?.deployment, 'rolled-back');
  assert.equal(await late(), 'plan-stale');
  assert.deepEqual(world.disk.content.releases.get(2), before);
  world.end();
});
