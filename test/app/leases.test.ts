import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunOptions } from '../../src/domain/application.ts';
import { isUnshipError } from '../../src/domain/errors.ts';
import type { PreparedRelease } from '../../src/domain/report.ts';
import type { SimulatedProcess } from '../simulation/process.ts';
import { Random } from '../simulation/random.ts';
import { type Commit, commitHash, World } from '../simulation/world.ts';

const tenDaysMs = 864_000_000;

interface Elsewhere {
  readonly world: World;
  /** The process that releases, on a machine whose clock is ten days ahead. */
  readonly process: SimulatedProcess;
  readonly released: Promise<string>;
  readonly options: RunOptions;
  readonly notes: string[];
}

/** Another machine has the lease, and its release serves; what is left of it takes some time yet. */
async function releasingElsewhere(): Promise<Elsewhere> {
  const world = new World(new Random(1), [], {
    surfaces: {},
    guard: { bake: '60s', every: '1s', failures: 2, desktop: 'after', onUnhealthy: 'page' },
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
  void world.use();
  const notes: string[] = [];
  const options: RunOptions = {
    signal: new AbortController().signal,
    onEvent: (event) => void (event.type === 'note' && notes.push(event.text)),
  };
  const { process, application } = world.start('unship release', 'far');
  process.shiftClock(tenDaysMs);
  const quiet = { ...options, onEvent: () => {} };
  const { plan } = (await application.prepareRelease({ ...quiet, dryRun: false })) as PreparedRelease;
  const released = application.execute(plan, quiet).then(
    ({ status }) => status,
    (error: unknown) => (isUnshipError(error) ? error.slug : String(error)),
  );
  while (world.web.live !== 'r2') await world.time.sleep(1);
  return { world, process, released, options, notes };
}

async function slugOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'no error',
    (error: unknown) => (isUnshipError(error) ? error.slug : String(error)),
  );
}

test('the lease of a dead process on a machine whose clock is far ahead is free once it has been silent for long enough', async () => {
  const { world, process, options, notes } = await releasingElsewhere();
  process.kill();
  const began = world.time.now();
  const here = world.start('unship resume', 'here');
  assert.equal((await here.application.resume(1, options)).status, 'done');
  assert.ok(world.time.now() - began >= 10_000, 'it might have lived');
  assert.match(notes.join(), /the clock of far is ahead of this one: waiting 10 s for a sign of life/);
  assert.deepEqual([...world.monitor.found], []);
  world.end();
});

test('what is due on such a machine goes on as well, and a cancellation does not wait for the dead', async () => {
  const due = await releasingElsewhere();
  due.process.kill();
  const cron = due.world.start('unship resume --due', 'here');
  const resumed = await cron.application.resumeDue(due.options);
  assert.deepEqual(
    resumed.map(({ run, status }) => [run, status]),
    [[1, 'done']],
  );
  assert.equal(due.notes.length, 1, 'it is watched once');
  due.world.end();
  const cancelled = await releasingElsewhere();
  cancelled.process.kill();
  const here = cancelled.world.start('unship cancel', 'here');
  assert.equal((await here.application.cancel(1, cancelled.options)).status, 'undone');
  assert.equal(cancelled.world.web.live, 'r1');
  cancelled.world.end();
});

test('one that gives signs of life keeps it, and whoever waits learns so soon', async () => {
  const { world, released, options } = await releasingElsewhere();
  const here = world.start('unship resume', 'here');
  const began = world.time.now();
  assert.equal(await slugOf(here.application.resume(1, options)), 'busy');
  assert.ok(world.time.now() - began < 5_000, `${world.time.now() - began} ms`);
  assert.deepEqual(await here.application.resumeDue(options), []);
  assert.equal(await released, 'done');
  world.end();
});

test('one that was frozen for so long loses it, and changes nothing when it thaws', async () => {
  const { world, process, released, options } = await releasingElsewhere();
  process.freeze(120_000);
  const here = world.start('unship resume', 'here');
  assert.equal((await here.application.resume(1, options)).status, 'done');
  const journal = world.disk.content.runs[0]?.entries.length;
  await world.time.sleep(180_000);
  assert.equal(await released, 'superseded');
  assert.equal(world.disk.content.runs[0]?.entries.length, journal);
  world.end();
});
