import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NewJournalEntry } from '../../src/domain/run.ts';
import { Journal } from '../../src/engine/journal.ts';
import type { Store } from '../../src/store/store.port.ts';
import { type Process, planOf, World } from './toy.ts';

type Batch = readonly NewJournalEntry[];

/** The store of a process, whose commits of journal entries are seen, and may be made to fail. */
function watched(store: Store, batches: Batch[], fails: () => boolean = () => false): Store {
  const append: Store['append'] = async (fence, run, entries) => {
    if (fails()) throw new Error('database or disk is full');
    batches.push(entries);
    return await store.append(fence, run, entries);
  };
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'append') return append;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function note(text: string): NewJournalEntry {
  return { type: 'note', text };
}

function verified(step: string): NewJournalEntry {
  return { type: 'step', step, status: 'verified', attempt: 1, observed: 'as wanted' };
}

const plan = planOf('rollback', [
  { surface: 'web', action: 'web.start' },
  { surface: 'web', action: 'web.switch', after: ['web.start'] },
]);

async function begun(
  process: Process,
  batches: Batch[],
  fails?: () => boolean,
): Promise<{ readonly journal: Journal; readonly told: string[]; written(): Promise<readonly string[]> }> {
  const session = await process.session();
  const { run, entries } = await process.engine.begin(process.store, session.fence, plan, null);
  const told: string[] = [];
  const store = watched(process.store, batches, fails);
  const journal = new Journal(store, session, run, plan, entries, (event) => {
    if (event.type === 'entry' && event.entry.type === 'note') told.push(event.entry.text);
  });
  const written = async (): Promise<readonly string[]> =>
    (await process.store.journal(run)).flatMap((entry) =>
      entry.type === 'note' ? [entry.text] : entry.type === 'step' ? [`${entry.step} ${entry.status}`] : [],
    );
  return { journal, told, written };
}

describe('the journal of a run', () => {
  test('what is deferred counts while it is being written, whatever is deferred meanwhile', async () => {
    using world = new World();
    const { journal } = await begun(world.process(), []);
    const statuses = () => Object.values(journal.state.steps).map(({ status }) => status);
    journal.defer(verified('web.start'));
    const writing = journal.flush();
    // The write has begun: what it takes along is no longer in the queue.
    await Promise.resolve();
    await Promise.resolve();
    journal.defer(verified('web.switch'));
    assert.deepEqual(statuses(), ['verified', 'verified']);
    await writing;
    assert.deepEqual(statuses(), ['verified', 'verified']);
  });

  test('that has no entry yet takes what is deferred all the same', async () => {
    using world = new World();
    const process = world.process();
    const { fence } = await process.session();
    const journal = new Journal(process.store, { fence }, 1, plan, [], () => {});
    journal.defer(verified('web.start'));
    assert.deepEqual(journal.state.steps['web.start'], {
      status: 'verified',
      attempt: 1,
      observed: 'as wanted',
      startedAt: 0,
      endedAt: 0,
    });
  });

  test('what is asked for in one turn is one commit, in that order', async () => {
    using world = new World();
    const batches: Batch[] = [];
    const { journal, told, written } = await begun(world.process(), batches);
    await Promise.all(['a', 'b', 'c'].map((text) => journal.append(note(text))));
    assert.deepEqual(
      batches.map((batch) => batch.length),
      [3],
    );
    assert.deepEqual(await written(), ['a', 'b', 'c']);
    assert.deepEqual(told, ['a', 'b', 'c']);
  });

  test('what is deferred counts at once, and is durable with what comes next', async () => {
    using world = new World();
    const batches: Batch[] = [];
    const { journal, written } = await begun(world.process(), batches);
    journal.defer(verified('web.start'));
    assert.equal(journal.state.steps['web.start']?.status, 'verified');
    assert.deepEqual(await written(), []);
    await journal.append(note('next'));
    assert.deepEqual(await written(), ['web.start verified', 'next']);
    assert.equal(batches.length, 1);
  });

  test('a flush makes durable what was deferred, and nothing twice', async () => {
    using world = new World();
    const batches: Batch[] = [];
    const { journal, written } = await begun(world.process(), batches);
    await journal.flush();
    assert.equal(batches.length, 0);
    journal.defer(verified('web.start'));
    journal.defer(note('and a word'));
    await journal.flush();
    await journal.flush();
    assert.deepEqual(await written(), ['web.start verified', 'and a word']);
    assert.equal(batches.length, 1);
  });

  test('a flush waits for what another one is writing', async () => {
    using world = new World();
    const { journal, written } = await begun(world.process(), []);
    journal.defer(verified('web.start'));
    const first = journal.append(note('next'));
    // The turn in which the first one takes everything along.
    await Promise.resolve();
    await Promise.resolve();
    await journal.flush();
    assert.deepEqual(await written(), ['web.start verified', 'next']);
    await first;
  });

  test('a commit that fails is heard of by all who waited for it; what was deferred goes with the next one', async () => {
    using world = new World();
    let isFull = true;
    const { journal, told, written } = await begun(world.process(), [], () => isFull);
    journal.defer(verified('web.start'));
    const both = await Promise.allSettled([journal.append(note('a')), journal.append(note('b'))]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    await assert.rejects(journal.flush(), /disk is full/);
    assert.deepEqual([await written(), told], [[], []]);
    assert.equal(journal.state.steps['web.start']?.status, 'verified');
    isFull = false;
    await journal.append(note('c'));
    assert.deepEqual(await written(), ['web.start verified', 'c']);
  });
});

describe('the journal of a run, while a commit is under way', () => {
  test('what is appended is written, though that commit fails and something deferred waits again', async () => {
    using world = new World();
    let commits = 0;
    const { journal, told, written } = await begun(world.process(), [], () => ++commits === 1);
    journal.defer(verified('web.start'));
    const failing = assert.rejects(journal.append(note('a')), /disk is full/);
    // The turn in which the first one takes everything along.
    await Promise.resolve();
    const next = journal.append(note('b')).then(() => 'written' as const);
    await failing;
    const stuck = world.time.sleep(60_000).then(() => 'stuck' as const);
    assert.equal(await Promise.race([next, stuck]), 'written');
    assert.deepEqual([await written(), told], [['web.start verified', 'b'], ['b']]);
  });
});

test('what is deferred has the time of what was written last', async () => {
  using world = new World();
  const { journal } = await begun(world.process(), []);
  await world.time.sleep(1_000);
  await journal.append(note('a while later'));
  const written = world.time.now();
  await world.time.sleep(1_000);
  journal.defer(verified('web.start'));
  assert.equal(journal.state.steps['web.start']?.endedAt, written);
});

describe('a run writes to its journal', () => {
  test('before and after each effect, and that it was verified together with what comes next', async () => {
    using world = new World();
    const process = world.process();
    const outcome = await process.run(plan);
    assert.equal(outcome.status, 'done');
    const entries = await process.store.journal(outcome.run);
    const steps = entries.map((entry) =>
      entry.type === 'step' ? `${entry.step} ${entry.status}` : entry.type === 'run' ? entry.status : '',
    );
    assert.deepEqual(steps, [
      'running',
      'web.start applying',
      'web.start applied',
      'web.start verified',
      'web.switch applying',
      'web.switch applied',
      'web.switch verified',
      'done',
    ]);
  });

  test('that a step was verified, while another one takes its time', async () => {
    using world = new World();
    const process = world.process();
    let seen: readonly string[] = [];
    world.behaviours.set('desktop.pull', async (context, part) => {
      if (part !== 'apply') return;
      await context.runtime.clock.sleep(2_000, context.signal);
      seen = (await process.store.journal(1)).flatMap((entry) =>
        entry.type === 'step' ? [`${entry.step} ${entry.status}`] : [],
      );
    });
    const outcome = await process.run(
      planOf('rollback', [
        { surface: 'web', action: 'web.switch' },
        { surface: 'desktop', action: 'desktop.pull' },
      ]),
    );
    assert.equal(outcome.status, 'done');
    assert.ok(seen.includes('web.switch verified'), seen.join('\n'));
  });
});
