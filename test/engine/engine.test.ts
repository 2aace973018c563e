import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { UnshipError } from '../../src/domain/errors.ts';
import { foldRun } from '../../src/domain/run.ts';
import { leaseTtlMs } from '../../src/engine/session.ts';
import { type Behaviour, planOf, releasePlan, rollbackPlan, World } from './toy.ts';

const broken = new Error('the host answers 503');

/** Fails so many times at this part, then works. */
function failing(
  part: Parameters<Behaviour>[1],
  times = Number.POSITIVE_INFINITY,
  error: Error = broken,
): Behaviour {
  let left = times;
  return async (_context, at) => {
    if (at !== part || left <= 0) return;
    left -= 1;
    throw error;
  };
}

/** Holds the step until somebody opens it, as a wait for an approval or a long build does. */
function gate(): { readonly behaviour: Behaviour; open(): void; readonly reached: Promise<void> } {
  let open = false;
  let arrive: () => void = () => {};
  const reached = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const behaviour: Behaviour = async (context, part) => {
    if (part !== 'apply') return;
    arrive();
    while (!open) {
      await context.runtime.clock.sleep(100, context.signal);
      if (context.signal.aborted) throw new Error('told to stop');
    }
  };
  return {
    behaviour,
    reached,
    open: () => {
      open = true;
    },
  };
}

async function stateOf(
  process: ReturnType<World['process']>,
  run: number,
): Promise<ReturnType<typeof foldRun>> {
  const plan = await process.store.plan(run);
  assert.ok(plan !== undefined);
  return foldRun(plan, await process.store.journal(run));
}

describe('a run', () => {
  test('carries every step out, what may run side by side does, and tells as it goes', async () => {
    using world = new World();
    const process = world.process();
    const slow: Behaviour = async ({ runtime }) => await runtime.clock.sleep(100);
    for (const step of ['web.stage', 'vault.backup']) world.behaviours.set(step, slow);
    const outcome = await process.run(releasePlan());
    assert.deepEqual(outcome, { run: 1, status: 'done' });
    assert.deepEqual(new Set(world.effects.slice(0, 2)), new Set(['web.stage', 'vault.backup']));
    assert.deepEqual(world.effects.slice(2), [
      'vault.migrate-up',
      'web.start',
      'web.switch',
      'unship.record-live',
      'web.retire',
    ]);
    assert.equal(world.widest, 2);
    const told = process.events.flatMap((event) => (event.type === 'entry' ? [event.entry] : []));
    assert.deepEqual(
      told,
      (await process.store.journal(1)).filter((entry) => entry.seq > 1),
    );
  });

  test('is not bothered by a reporter that fails', async () => {
    using world = new World();
    const process = world.process();
    const session = await process.session();
    const begun = await process.engine.begin(process.store, session.fence, releasePlan(), null);
    const outcome = await process.engine.start(begun, session, {
      signal: process.pause.signal,
      onEvent: () => {
        throw new Error('EPIPE');
      },
    });
    assert.equal(outcome.status, 'done');
    await session.close();
  });

  test('gives each step one idempotency key, the fence, and the rows that may be lost', async () => {
    using world = new World();
    const process = world.process();
    const seen: unknown[] = [];
    world.behaviours.set('web.switch', async ({ idempotencyKey, fence, maximumRowsLost }, part) => {
      if (part === 'apply') seen.push({ idempotencyKey, fence, maximumRowsLost });
      if (part === 'apply' && seen.length === 1) throw broken;
    });
    await process.run(rollbackPlan(), 7);
    const expected = {
      idempotencyKey: 'inner-scribe-vault/production/1/web.switch',
      fence: 1,
      maximumRowsLost: 7,
    };
    assert.deepEqual(seen, [expected, expected]);
  });

  test('tells how far a step is, without a word in its journal', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.stage', async (context, part) => {
      if (part === 'apply') context.progress('npm ci');
    });
    await process.run(releasePlan());
    assert.deepEqual(
      process.events.filter((event) => event.type === 'progress'),
      [{ type: 'progress', run: 1, step: 'web.stage', text: 'npm ci' }],
    );
    assert.doesNotMatch(JSON.stringify(await process.store.journal(1)), /npm ci/);
  });

  test('goes on when something best-effort fails, after three attempts', async () => {
    using world = new World();
    const process = world.process();
    let attempts = 0;
    world.behaviours.set('desktop.halt', async (_context, part) => {
      if (part !== 'apply') return;
      attempts += 1;
      throw broken;
    });
    world.absent.add('unship.notify');
    const outcome = await process.run(rollbackPlan());
    assert.equal(outcome.status, 'done');
    assert.equal(attempts, 3);
    const { steps } = await stateOf(process, 1);
    assert.equal(steps['desktop.halt']?.status, 'failed');
    assert.equal(steps['unship.notify']?.error?.slug, 'unknown-surface');
  });
});

describe('when a step fails', () => {
  test('a release is undone, in reverse order of what was done', async () => {
    using world = new World();
    const told: unknown[] = [];
    world.undone = async (plan, fence) =>
      void told.push(plan.hash, fence, (await stateOf(process, 1)).status, [...world.done]);
    const process = world.process();
    world.behaviours.set('web.switch', failing('verify'));
    const outcome = await process.run(releasePlan());
    assert.deepEqual(told, [releasePlan().hash, 1, 'undoing', []], 'before that is journaled');
    assert.equal(outcome.status, 'undone');
    assert.equal(outcome.error, broken);
    assert.deepEqual(world.effects.slice(5), [
      'undo web.switch',
      'undo web.start',
      'undo vault.migrate-up',
      ...world.effects.slice(8),
    ]);
    assert.deepEqual(new Set(world.effects.slice(8)), new Set(['undo vault.backup', 'undo web.stage']));
    assert.deepEqual([...world.done], []);
    assert.equal((await process.store.run(1))?.status, 'undone');
  });

  test('a release does not wait for the others to end by themselves before it is undone', async () => {
    using world = new World();
    const process = world.process();
    const build = gate();
    world.behaviours.set('web.stage', build.behaviour);
    world.behaviours.set('vault.backup', failing('apply'));
    const before = world.time.now();
    const outcome = await process.run(releasePlan());
    assert.equal(outcome.status, 'undone');
    assert.equal(outcome.error, broken);
    assert.ok(world.time.now() - before < 1000);
  });

  test('a rollback retries, then waits as blocked; resuming tries again', async () => {
    using world = new World();
    const process = world.process();
    let attempts = 0;
    let mended = false;
    world.behaviours.set('vault.migrate-down', async (_context, part) => {
      if (part !== 'apply' || mended) return;
      attempts += 1;
      throw broken;
    });
    const blocked = await process.run(rollbackPlan());
    assert.equal(blocked.status, 'blocked');
    assert.equal(blocked.error, broken);
    assert.equal(attempts, 4);
    assert.deepEqual([...world.done].sort(), ['desktop.halt', 'web.start', 'web.switch']);
    mended = true;
    const resumed = await process.resume(1);
    assert.equal(resumed.status, 'done');
    assert.equal(world.done.size, 8);
  });

  test('a rollback still does what does not depend on the step that failed', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('desktop.pull', failing('apply'));
    const outcome = await process.run(rollbackPlan());
    assert.equal(outcome.status, 'blocked');
    assert.ok(world.done.has('unship.record-rollback'));
    assert.ok(!world.done.has('desktop.publish-standby'));
  });

  test('a step that is verified wrongly is applied again', async () => {
    using world = new World();
    const process = world.process();
    let looks = 0;
    world.behaviours.set('web.switch', async (_context, part) => {
      if (part === 'verify' && ++looks === 1) {
        world.done.delete('web.switch');
      }
    });
    assert.equal((await process.run(rollbackPlan())).status, 'done');
    assert.equal(world.effects.filter((effect) => effect === 'web.switch').length, 2);
  });

  test('a refusal before anything live was touched is the answer: the run has failed, nothing waits', async () => {
    using world = new World();
    const process = world.process();
    const refusal = new UnshipError('target-gone', { happened: 'its build is gone' });
    world.behaviours.set('web.start', failing('validate', 9, refusal));
    world.absent.add('desktop.halt');
    const outcome = await process.run(rollbackPlan());
    assert.equal(outcome.status, 'failed');
    assert.equal(outcome.error, refusal);
    const { steps } = await stateOf(process, 1);
    assert.equal(steps['web.start']?.attempt, 1, 'a refusal is not tried again');
  });

  test('a step of a watch stops the run and keeps what was done', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('unship.watch', failing('apply'));
    const plan = planOf('release', [
      { surface: 'web', action: 'web.switch' },
      { action: 'unship.watch', after: ['web.switch'], onFailure: 'stop' },
      { action: 'unship.record-good', after: ['unship.watch'], onFailure: 'stop' },
    ]);
    assert.equal((await process.run(plan)).status, 'failed');
    assert.deepEqual(world.effects, ['web.switch']);
  });

  test('a release whose undo fails is blocked, and resuming goes on going back', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.switch', failing('verify'));
    world.behaviours.set('vault.migrate-up', failing('undo', 4));
    const blocked = await process.run(releasePlan());
    assert.equal(blocked.status, 'blocked');
    assert.ok(!world.done.has('web.switch') && world.done.has('vault.migrate-up'));
    const resumed = await process.resume(1);
    assert.equal(resumed.status, 'undone');
    assert.deepEqual([...world.done], []);
  });

  test('a step that nobody can carry out any more fails like any other', async () => {
    using world = new World();
    const process = world.process();
    world.absent.add('vault.migrate-down');
    const outcome = await process.run(rollbackPlan());
    assert.equal(outcome.status, 'blocked');
    assert.equal((outcome.error as UnshipError).slug, 'unknown-surface');
    world.absent.clear();
    assert.equal((await process.resume(1)).status, 'done');
  });
});

test('what ends while the journal is being written is not waited for', async () => {
  using world = new World();
  const process = world.process();
  const { clock } = process.self.runtime;
  const append = process.store.append.bind(process.store);
  process.store.append = async (...entries) => {
    await clock.sleep(50);
    return await append(...entries);
  };
  world.behaviours.set('web.start', async (_context, part) => {
    if (part === 'verify') await clock.sleep(20);
  });
  const plan = planOf('rollback', [
    { surface: 'desktop', action: 'desktop.halt' },
    { surface: 'web', action: 'web.start' },
    { surface: 'web', action: 'web.switch', after: ['desktop.halt', 'web.start'] },
  ]);
  const status = await Promise.race([
    process.run(plan).then((outcome) => outcome.status),
    clock.sleep(3_600_000).then(() => 'stuck' as const),
  ]);
  assert.equal(status, 'done');
});

test('what could not be put down as begun was not begun: a release goes back even from there', async () => {
  using world = new World();
  const process = world.process();
  const append = process.store.append.bind(process.store);
  process.store.append = async (fence, run, entries) => {
    if (entries.some((entry) => entry.type === 'step' && entry.status === 'applying'))
      throw new Error('disk I/O error');
    return await append(fence, run, entries);
  };
  const plan = planOf('release', [{ surface: 'desktop', action: 'desktop.publish', pointOfNoReturn: true }]);
  assert.equal((await process.run(plan)).status, 'undone');
  assert.deepEqual(world.effects, []);
});

describe('what a run has given up, and may still come', () => {
  const planFor = (timeoutMs: number) =>
    planOf('release', [
      { surface: 'web', action: 'web.stage' },
      { surface: 'web', action: 'web.start', after: ['web.stage'], timeoutMs },
    ]);
  const never = async (): Promise<void> => await new Promise(() => {});

  /** Fences of the orders and of what the surfaces were told, in their order. */
  function listen(world: World, start: () => Promise<void>): readonly string[] {
    const sent: string[] = [];
    world.fenceOff = async (fence) => void sent.push(`below ${fence} is over`);
    for (const id of ['web.stage', 'web.start']) {
      world.behaviours.set(id, async ({ fence }, part) => {
        if (part === 'apply' || part === 'undo') sent.push(`${part} ${id} ${fence}`);
        if (part === 'apply' && id === 'web.start') await start();
      });
    }
    return sent;
  }

  test('is refused from before the first undo on: its time was over', async () => {
    using world = new World();
    const sent = listen(world, never);
    const process = world.process();
    const outcome = await process.run(planFor(1_000));
    assert.equal(outcome.status, 'undone');
    assert.equal((outcome.error as UnshipError).slug, 'step-timeout');
    const own = ['apply web.stage 1', 'apply web.start 1', 'below 2 is over'];
    assert.deepEqual(sent, [...own, 'undo web.start 2', 'undo web.stage 2']);
    assert.equal(await process.store.lastFence(), 2);
    assert.equal(await process.store.lease(), undefined, 'the lease was given back under its new fence');
    const notes = (await process.store.journal(outcome.run)).filter(({ type }) => type === 'note');
    assert.partialDeepStrictEqual(notes, [{ text: 'what was given up comes too late from here on' }]);
  });

  test('is refused: the run was cancelled', async () => {
    using world = new World();
    const process = world.process();
    const sent = listen(world, async () => {
      await process.store.signal({ run: 1, name: 'cancel', payload: 'ben', at: 0 });
      await process.self.runtime.clock.sleep(2_000);
      throw new Error('too late');
    });
    assert.equal((await process.run(planFor(60_000))).status, 'undone');
    assert.deepEqual(sent.slice(2), ['below 2 is over', 'undo web.start 2', 'undo web.stage 2']);
  });

  test('is nothing where all that was tried has ended', async () => {
    using world = new World();
    const sent = listen(world, async () => {
      throw new Error('no');
    });
    assert.equal((await world.process().run(planFor(60_000))).status, 'undone');
    assert.deepEqual(sent.slice(2), ['undo web.start 1', 'undo web.stage 1']);
  });

  test('may be an earlier attempt at what was done at last', async () => {
    using world = new World();
    const plan = planOf('rollback', [
      { surface: 'web', action: 'web.start', timeoutMs: 1_000 },
      { surface: 'web', action: 'web.switch', after: ['web.start'], onFailure: 'undo' },
    ]);
    let starts = 0;
    const sent = listen(world, async () => {
      starts += 1;
      if (starts === 1) await never();
    });
    world.behaviours.set('web.switch', async (_context, part) => {
      if (part === 'apply') throw new Error('no');
    });
    assert.equal((await world.process().run(plan)).status, 'undone');
    assert.deepEqual(sent, ['apply web.start 1', 'apply web.start 1', 'below 2 is over', 'undo web.start 2']);
  });

  test('stops the undoing where the surfaces can not be told; whoever goes on undoes it', async () => {
    using world = new World();
    const sent = listen(world, never);
    world.fenceOff = async () => {
      throw new Error('the gateway hangs');
    };
    const process = world.process();
    const outcome = await process.run(planFor(1_000));
    assert.equal(outcome.status, 'blocked');
    assert.match(String(outcome.error), /the gateway hangs/);
    assert.deepEqual(sent.slice(2), [], 'nothing was undone');
    assert.equal((await world.process().resume(outcome.run)).status, 'undone');
    assert.deepEqual(world.effects, ['web.stage', 'undo web.stage']);
  });

  test("is nobody's any more where another process has taken over meanwhile", async () => {
    using world = new World();
    const sent = listen(world, never);
    const process = world.process();
    const raise = process.store.raiseFence.bind(process.store);
    process.store.raiseFence = async (fence) => {
      await world.process().session('take-over');
      return await raise(fence);
    };
    assert.equal((await process.run(planFor(1_000))).status, 'superseded');
    assert.deepEqual(sent.slice(2), []);
  });
});

describe('an effect that ends with its process', () => {
  const plan = planOf('rollback', [
    { surface: 'web', action: 'web.hold' },
    { surface: 'vault', action: 'database.migrate-down', after: ['web.hold'] },
    { surface: 'web', action: 'web.switch', after: ['vault.migrate-down'] },
    { action: 'unship.record-rollback', after: ['web.switch'] },
  ]);

  for (const [failed, holds] of [
    ['vault.migrate-down', 2],
    ['web.switch', 2],
    ['unship.record-rollback', 1],
  ] as const) {
    test(`a hold is made again on resuming only while the switch that ends it is to come: ${failed}`, async () => {
      using world = new World();
      const process = world.process();
      let calls = 0;
      world.behaviours.set('web.hold', async (_context, part) => {
        if (part === 'apply') calls += 1;
      });
      world.behaviours.set(failed, failing('apply', 4));
      assert.equal((await process.run(plan)).status, 'blocked');
      assert.equal((await world.process().resume(1)).status, 'done');
      assert.equal(calls, holds);
    });
  }

  test('the undo of the switch, which holds requests back anew, is made again before anything behind it is undone', async () => {
    using world = new World();
    const release = planOf('release', [
      { surface: 'web', action: 'web.hold' },
      { surface: 'vault', action: 'database.migrate-up', after: ['web.hold'] },
      { surface: 'web', action: 'web.switch', after: ['vault.migrate-up'] },
      { action: 'unship.record-live', after: ['web.switch'] },
    ]);
    const process = world.process();
    const order: string[] = [];
    const undoes =
      (what: string): Behaviour =>
      async (_context, part) => {
        if (part === 'undo') order.push(what);
      };
    world.behaviours.set('web.hold', undoes('hold'));
    world.behaviours.set('web.switch', undoes('switch'));
    world.behaviours.set('vault.migrate-up', async (context, part) => {
      await undoes('schema')(context, part);
      // It is interrupted here, and what was held is let go.
      if (part === 'undo' && order.length === 2) process.pause.abort();
      if (part === 'undo' && order.length === 2) throw new Error('interrupted');
    });
    world.behaviours.set('unship.record-live', failing('apply', 9));
    assert.equal((await process.run(release)).status, 'paused');
    assert.equal((await world.process().resume(1)).status, 'undone');
    assert.deepEqual(order, ['switch', 'schema', 'switch', 'schema', 'hold']);
  });

  test('nothing behind it goes on before it is made again, though what stands between is done', async () => {
    using world = new World();
    const order: string[] = [];
    world.behaviours.set('web.hold', async (context, part) => {
      if (part !== 'verify') return;
      await context.runtime.clock.sleep(500, context.signal);
      order.push('held');
    });
    world.behaviours.set('web.switch', async (_context, part) => {
      if (part !== 'apply') return;
      order.push('switched');
      if (order.length < 6) throw new Error('not yet');
    });
    assert.equal((await world.process().run(plan)).status, 'blocked');
    assert.equal((await world.process().resume(1)).status, 'done');
    assert.deepEqual(order, ['held', ...Array(4).fill('switched'), 'held', 'switched']);
  });

  for (const [failed, again] of [
    ['vault.migrate-up', ['web.switch', 'vault.migrate-up', 'web.hold']],
    ['web.hold', ['web.switch', 'web.hold']],
    ['web.stage', ['web.stage']],
  ] as const) {
    test(`a hold that an undo has made is made again on resuming while something waits behind it: ${failed}`, async () => {
      using world = new World();
      const undone: string[] = [];
      const going = planOf('release', [
        { surface: 'web', action: 'web.stage' },
        { surface: 'web', action: 'web.hold', after: ['web.stage'] },
        { surface: 'vault', action: 'database.migrate-up', after: ['web.hold'] },
        { surface: 'web', action: 'web.switch', after: ['vault.migrate-up'] },
        { action: 'unship.record-live', after: ['web.switch'] },
      ]);
      let isStuck = true;
      for (const { id } of going.steps) {
        world.behaviours.set(id, async (_context, part) => {
          if (id === 'unship.record-live' && part === 'apply') throw new Error('no');
          if (part !== 'undo') return;
          if (id === failed && isStuck) throw new Error('not yet');
          undone.push(id);
        });
      }
      assert.equal((await world.process().run(going)).status, 'blocked');
      isStuck = false;
      undone.length = 0;
      assert.equal((await world.process().resume(1)).status, 'undone');
      assert.deepEqual(
        undone.filter((id) => id !== 'web.stage' || failed === 'web.stage'),
        again,
      );
    });
  }

  test('one that was interrupted before it was looked at is made again, not only looked at', async () => {
    using world = new World();
    const process = world.process();
    let held = false;
    world.behaviours.set('web.hold', async (_context, part) => {
      if (part === 'apply') held = true;
      if (part !== 'verify') return;
      // As a process that dies here: what it held is let go.
      if (!process.pause.signal.aborted) held = false;
      process.pause.abort();
      if (!held) throw new Error('requests are not held back');
    });
    assert.equal((await process.run(plan)).status, 'paused');
    assert.equal((await world.process().resume(1)).status, 'done');
    const notes = (await process.store.journal(1)).filter((entry) => entry.type === 'note');
    assert.deepEqual(notes, []);
  });
});

describe('time limits', () => {
  test('a step that does not end in time has failed: it is no pause', async () => {
    using world = new World();
    const process = world.process();
    const hangs = gate();
    world.behaviours.set('web.start', hangs.behaviour);
    const outcome = await process.run(releasePlan());
    assert.equal(outcome.status, 'undone');
    assert.equal((outcome.error as UnshipError).slug, 'step-timeout');
    const failures = (await process.store.journal(1)).flatMap((entry) =>
      entry.type === 'step' && entry.status === 'failed' ? [[entry.step, entry.error?.slug]] : [],
    );
    assert.deepEqual(failures, [['web.start', 'step-timeout']]);
    assert.deepEqual([...world.done], []);
  });

  for (const part of ['validate', 'verify', 'undo'] as const) {
    test(`the limit holds for ${part} too, even where the step does not listen`, async () => {
      using world = new World();
      const process = world.process();
      world.behaviours.set('web.start', async (_context, at) => {
        if (at === part) await new Promise<void>(() => {});
      });
      if (part === 'undo') world.behaviours.set('web.switch', failing('apply'));
      const outcome = await process.run(releasePlan());
      assert.equal(outcome.status, part === 'undo' ? 'blocked' : 'undone');
      assert.equal((outcome.error as UnshipError).slug, 'step-timeout');
    });
  }

  test('a rollback tries a step again that was too slow once', async () => {
    using world = new World();
    const process = world.process();
    let calls = 0;
    world.behaviours.set('web.start', async (_context, part) => {
      if (part === 'apply' && ++calls === 1) await new Promise<void>(() => {});
    });
    assert.equal((await process.run(rollbackPlan())).status, 'done');
    assert.equal(calls, 2);
  });
});

describe('pausing', () => {
  test('a wait ends, the run is paused and not failed, and goes on later', async () => {
    using world = new World();
    const process = world.process();
    const wait = gate();
    world.behaviours.set('web.start', wait.behaviour);
    const running = process.run(rollbackPlan());
    await wait.reached;
    process.pause.abort();
    const paused = await running;
    assert.equal(paused.status, 'paused');
    const { steps, status } = await stateOf(process, 1);
    assert.equal(status, 'paused');
    assert.equal(steps['web.start']?.status, 'applying');
    assert.equal(steps['web.switch']?.attempt, 0);
    wait.open();
    const resumed = await world.process().resume(1);
    assert.equal(resumed.status, 'done');
  });

  test('a release that is paused is paused, not undone, however its wait ends', async () => {
    using world = new World();
    const process = world.process();
    const wait = gate();
    world.behaviours.set('web.start', wait.behaviour);
    const running = process.run(releasePlan());
    await wait.reached;
    process.pause.abort();
    assert.equal((await running).status, 'paused');
    assert.ok(world.done.has('vault.migrate-up'));
    wait.open();
    assert.equal((await world.process().resume(1)).status, 'done');
  });

  test('a step whose effect is recorded is only looked at again', async () => {
    using world = new World();
    const process = world.process();
    let calls = 0;
    world.behaviours.set('web.switch', async (_context, part) => {
      if (part === 'apply') calls += 1;
      if (part !== 'verify' || process.pause.signal.aborted) return;
      process.pause.abort();
      throw broken;
    });
    assert.equal((await process.run(rollbackPlan())).status, 'paused');
    assert.equal((await world.process().resume(1)).status, 'done');
    assert.equal(calls, 1);
  });

  test('an effect under way is let finish', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.switch', async (_context, part) => {
      if (part === 'apply') process.pause.abort();
    });
    assert.equal((await process.run(rollbackPlan())).status, 'paused');
    assert.ok(world.done.has('web.switch'));
    assert.ok(!world.done.has('vault.migrate-down'));
    assert.equal((await world.process().resume(1)).status, 'done');
    assert.equal(world.effects.filter((effect) => effect === 'web.switch').length, 1);
  });

  test('a pause while undoing goes on with undoing', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.switch', failing('apply'));
    world.behaviours.set('vault.migrate-up', async (_context, part) => {
      if (part === 'undo') process.pause.abort();
    });
    assert.equal((await process.run(releasePlan())).status, 'paused');
    assert.ok(world.done.has('web.stage') || world.done.has('vault.backup'));
    assert.equal((await world.process().resume(1)).status, 'undone');
    assert.deepEqual([...world.done], []);
    const resumed = (await process.store.journal(1)).filter(
      (entry) => entry.type === 'run' && entry.note === 'resumed',
    );
    assert.deepEqual(
      resumed.map((entry) => entry.type === 'run' && entry.status),
      ['undoing'],
    );
  });

  test('a run that had nothing left to do when the pause came is done', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('unship.notify', async (_context, part) => {
      if (part === 'verify') process.pause.abort();
    });
    assert.equal((await process.run(rollbackPlan())).status, 'done');
  });

  test('a run that has ended is not begun again by resuming it', async () => {
    using world = new World();
    const process = world.process();
    await process.run(rollbackPlan());
    const effects = [...world.effects];
    const said = await process.store.journal(1);
    assert.deepEqual(await process.resume(1), { run: 1, status: 'done' });
    assert.deepEqual([world.effects, await process.store.journal(1)], [effects, said]);
  });
});

describe('words from outside', () => {
  test('cancelling before the point of no return undoes what was done', async () => {
    using world = new World();
    const process = world.process();
    const wait = gate();
    world.behaviours.set('desktop.pull', wait.behaviour);
    const running = process.run(rollbackPlan());
    await wait.reached;
    const other = world.process();
    await other.store.signal({ run: 1, name: 'cancel', payload: 'ben', at: world.time.now() });
    const outcome = await running;
    assert.equal(outcome.status, 'undone');
    assert.equal((outcome.error as UnshipError).slug, 'cancelled');
    assert.deepEqual([...world.done], []);
  });

  test('cancelling after the point of no return changes nothing', async () => {
    using world = new World();
    const process = world.process();
    const wait = gate();
    world.behaviours.set('unship.notify', wait.behaviour);
    const running = process.run(rollbackPlan());
    await wait.reached;
    await process.store.signal({ run: 1, name: 'cancel', payload: 'ben', at: world.time.now() });
    await world.time.sleep(2000);
    wait.open();
    assert.equal((await running).status, 'done');
    assert.equal(world.done.size, 8);
  });

  test('a cancellation that came while nobody drove the run counts first', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('vault.migrate-down', failing('verify'));
    assert.equal((await process.run(rollbackPlan())).status, 'blocked');
    assert.ok(world.done.has('vault.migrate-down'), 'the step that failed had its effect');
    await process.store.signal({ run: 1, name: 'cancel', payload: 'ben', at: world.time.now() });
    assert.equal((await process.resume(1)).status, 'undone');
    assert.deepEqual([...world.done], [], 'and that effect was undone as well');
  });

  test('an approval may come before the wait, and while only a wait is left the run is waiting', async () => {
    for (const early of [true, false]) {
      using world = new World();
      const process = world.process();
      const approve = async (): Promise<void> => {
        await process.store.signal({ run: 1, name: 'approval', payload: 'ben', at: world.time.now() });
      };
      world.behaviours.set('unship.approval', async (context, part) => {
        if (part !== 'apply') return;
        for (;;) {
          const given = await process.store.signals(1);
          if (given.some((signal) => signal.name === 'approval')) return;
          await context.runtime.clock.sleep(500, context.signal);
          if (context.signal.aborted) throw new Error('told to stop');
        }
      });
      const plan = planOf('release', [
        { surface: 'web', action: 'web.stage' },
        { action: 'unship.approval', after: ['web.stage'] },
        { surface: 'web', action: 'web.switch', after: ['unship.approval'] },
      ]);
      if (early)
        world.behaviours.set('web.stage', async (_context, part) => {
          if (part === 'apply') await approve();
        });
      const running = process.run(plan);
      if (!early) {
        while ((await process.store.run(1))?.status !== 'waiting') await world.time.sleep(100);
        await approve();
      }
      assert.equal((await running).status, 'done');
      const statuses = await process.statuses(1);
      assert.deepEqual(
        statuses.filter((status, index) => status !== statuses[index - 1]),
        ['running', 'waiting', 'running', 'done'],
      );
    }
  });
});

describe('the lease', () => {
  test('a second run is told who holds the environment, for how long, and with which command', async () => {
    using world = new World();
    const [first, second] = [world.process(), world.process()];
    const wait = gate();
    world.behaviours.set('web.stage', wait.behaviour);
    const running = first.run(releasePlan());
    await wait.reached;
    await world.time.sleep(60_000);
    const answer = await second.open();
    assert.ok(!answer.granted, 'the heartbeat keeps it for longer than it lives by itself');
    assert.deepEqual(answer.holder.owner, first.owner);
    assert.equal(answer.holder.run, 1);
    assert.equal(answer.holder.kind, 'release');
    assert.ok(world.time.now() - answer.holder.since >= 60_000);
    assert.ok(answer.holder.expiresAt > world.time.now());
    wait.open();
    assert.equal((await running).status, 'done');
    const free = await second.open();
    assert.ok(free.granted, 'and is given back at the end');
    await free.session.close();
  });

  test('a dead owner on this host frees it at once, on another host after it has expired', async () => {
    for (const host of ['here', 'elsewhere']) {
      using world = new World();
      const first = world.process(host);
      const session = await first.session();
      first.self.kill();
      const second = world.process(host);
      const before = world.time.now();
      let answer = await second.open();
      while (!answer.granted) {
        await world.time.sleep(500);
        answer = await second.open();
      }
      const waited = world.time.now() - before;
      if (host === 'here') assert.equal(waited, 0);
      else assert.ok(waited >= leaseTtlMs - 500 && waited <= leaseTtlMs + 500, `${waited} ms`);
      assert.equal(answer.session.fence, session.fence + 1);
      await answer.session.close();
    }
  });

  test('a rollback goes before a release: the release does nothing more and says so', async () => {
    using world = new World();
    const [releasing, other] = [world.process(), world.process()];
    const wait = gate();
    world.behaviours.set('web.start', wait.behaviour);
    const running = releasing.run(releasePlan());
    await wait.reached;
    const refused = await other.open('normal', 'release');
    assert.ok(!refused.granted);
    const answer = await other.open('supersede', 'rollback');
    assert.ok(answer.granted);
    assert.equal(answer.superseded, 1);
    const effects = [...world.effects];
    wait.open();
    const outcome = await running;
    assert.equal(outcome.status, 'superseded');
    await world.time.sleep(60_000);
    const added = world.effects.slice(effects.length);
    assert.deepEqual(
      added.filter((effect) => effect !== 'web.start'),
      [],
      'only the step under way ended',
    );
    await assert.rejects(releasing.store.append(1, 1, [{ type: 'note', text: 'late' }]), /fenced-out/);
    const again = await other.open('supersede', 'rollback');
    assert.ok(!again.granted, 'but not before a rollback');
    assert.equal(again.holder.fence, 2);
  });

  test('a person may take it over from an owner that lives but hangs', async () => {
    using world = new World();
    const [hung, other] = [world.process(), world.process()];
    const wait = gate();
    world.behaviours.set('web.start', wait.behaviour);
    const running = hung.run(rollbackPlan());
    await wait.reached;
    assert.ok(!(await other.open('normal')).granted);
    const taken = other.resume(1, 'take-over');
    wait.open();
    assert.deepEqual([(await running).status, (await taken).status], ['superseded', 'done']);
    assert.equal(world.done.size, 8);
    const counts = world.effects.filter((effect, index) => world.effects.indexOf(effect) !== index);
    assert.deepEqual(counts, []);
  });

  test('work that only waits is told to stop when another one has the lease, and concludes nothing', async () => {
    for (const part of ['apply', 'undo']) {
      using world = new World();
      const [hung, other] = [world.process(), world.process()];
      const plan = releasePlan();
      if (part === 'undo') world.behaviours.set('web.switch', failing('apply'));
      const step = part === 'undo' ? 'vault.migrate-up' : 'web.start';
      world.behaviours.set(step, async (context, at) => {
        if (at !== part) return;
        assert.ok((await other.open('take-over')).granted);
        while (!context.signal.aborted) await context.runtime.clock.sleep(100, context.signal);
        throw new Error('told to stop');
      });
      const outcome = await hung.run(plan);
      const error = part === 'undo' ? { error: broken } : {};
      assert.deepEqual(outcome, { run: 1, status: 'superseded', ...error });
      const { status, steps } = await stateOf(other, 1);
      assert.equal(status, part === 'undo' ? 'undoing' : 'running');
      assert.equal(steps[step]?.status, part === 'undo' ? 'undoing' : 'applying');
    }
  });

  test('whoever goes on with a run holds the environment for it, at once', async () => {
    using world = new World();
    const [first, second] = [world.process(), world.process()];
    world.behaviours.set('vault.migrate-down', failing('verify'));
    assert.equal((await first.run(rollbackPlan())).status, 'blocked');
    const wait = gate();
    world.behaviours.set('vault.migrate-down', wait.behaviour);
    const resumed = second.resume(1);
    await wait.reached;
    const answer = await first.open();
    assert.ok(!answer.granted);
    assert.deepEqual([answer.holder.run, answer.holder.kind], [1, 'rollback']);
    wait.open();
    assert.equal((await resumed).status, 'done');
  });

  test('fencing tokens only grow', async () => {
    using world = new World();
    const process = world.process();
    const fences: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const session = await process.session();
      fences.push(session.fence);
      await session.close();
    }
    assert.deepEqual(fences, [1, 2, 3, 4, 5]);
    assert.equal(await process.store.lastFence(), 5);
  });

  test('work that meets a fenced-out journal ends instead of trying for ever', async () => {
    using world = new World();
    const process = world.process();
    const session = await process.session();
    world.behaviours.set('web.start', async (_context, part) => {
      // The lease goes to another one while this step is under way, before any heartbeat tells.
      if (part === 'apply') await world.process('elsewhere').open('take-over');
    });
    const begun = await process.engine.begin(process.store, session.fence, rollbackPlan(), null);
    const outcome = await process.engine.start(begun, session, process.options);
    assert.equal(outcome.status, 'superseded');
    assert.ok(!world.done.has('web.switch'));
  });

  test('a run begun by another version of the program is left alone', async () => {
    using world = new World();
    const process = world.process();
    const session = await process.session();
    const { run } = await process.store.createRun(
      session.fence,
      rollbackPlan(),
      world.time.now(),
      'unship-run/0',
    );
    await assert.rejects(process.engine.resume(run, session, process.options), {
      slug: 'wrong-version',
      details: {
        happened: `run ${run} was begun by unship-run/0; this program is unship-run/1`,
        done: 'nothing',
      },
    });
    await assert.rejects(process.engine.resume(99, session, process.options), {
      slug: 'unknown-run',
      details: { happened: 'there is no run 99' },
    });
    assert.deepEqual(world.effects, []);
    await session.close();
  });
});

describe('what meets a run from outside', () => {
  test('a look for a cancellation that fails is repeated', async () => {
    using world = new World();
    const process = world.process();
    const wait = gate();
    world.behaviours.set('web.stage', wait.behaviour);
    const signals = process.store.signals.bind(process.store);
    let looks = 0;
    Object.assign(process.store, {
      signals: async (run: number) => {
        looks += 1;
        if (looks === 1) throw new Error('database is locked');
        return await signals(run);
      },
    });
    const running = process.run(releasePlan());
    await wait.reached;
    await process.store.signal({ run: 1, name: 'cancel', payload: 'ben', at: world.time.now() });
    assert.equal((await running).status, 'undone');
    assert.ok(looks >= 2);
    assert.deepEqual([...world.done], []);
  });

  test('a pause while a step is undone lets the next process undo the rest', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.switch', failing('verify'));
    world.behaviours.set('web.start', async (_context, part) => {
      if (part !== 'undo' || process.pause.signal.aborted) return;
      process.pause.abort();
      throw broken;
    });
    const outcome = await process.run(releasePlan());
    assert.deepEqual([outcome.status, outcome.error], ['paused', broken]);
    assert.ok(world.done.has('web.start') && !world.done.has('web.switch'));
    assert.equal((await world.process().resume(1)).status, 'undone');
    assert.deepEqual([...world.done], []);
  });
});

describe('what is under way when a run comes to its end', () => {
  const full = new Error('database or disk is full');

  /** Waits until it is told to stop, and takes its time to end then. */
  function listening(ended: string[], name: string): Behaviour {
    return async ({ runtime, signal }, part) => {
      if (part !== 'apply') return;
      await runtime.clock.sleep(3_600_000, signal);
      await runtime.clock.sleep(500);
      ended.push(name);
    };
  }

  test('is told to stop when a release is undone', async () => {
    using world = new World();
    const process = world.process();
    const ended: string[] = [];
    world.behaviours.set('web.stage', failing('apply'));
    world.behaviours.set('vault.backup', listening(ended, 'vault.backup'));
    const started = world.time.now();
    assert.equal((await process.run(releasePlan())).status, 'undone');
    assert.deepEqual(ended, ['vault.backup']);
    assert.ok(world.time.now() - started < 2_000, `${world.time.now() - started} ms`);
  });

  test('ends before a journal that can no longer be written is told of', async () => {
    for (const refusal of [full, new UnshipError('journal-corrupt', { happened: 'entry 3' })]) {
      using world = new World();
      const process = world.process();
      const session = await process.session();
      const begun = await process.engine.begin(process.store, session.fence, releasePlan(), null);
      const ended: string[] = [];
      world.behaviours.set('vault.backup', listening(ended, 'vault.backup'));
      world.behaviours.set('web.stage', async () => {
        process.store.append = async () => {
          throw refusal;
        };
      });
      const started = world.time.now();
      await assert.rejects(process.engine.start(begun, session, process.options), refusal);
      assert.deepEqual(ended, ['vault.backup']);
      assert.ok(world.time.now() - started < 2_000, `${world.time.now() - started} ms`);
    }
  });

  test('is not waited for by a process that was fenced out', async () => {
    using world = new World();
    const process = world.process();
    const session = await process.session();
    const begun = await process.engine.begin(process.store, session.fence, releasePlan(), null);
    world.behaviours.set('vault.backup', async () => await new Promise(() => {}));
    world.behaviours.set('web.stage', async (_context, part) => {
      if (part === 'apply') await world.process('elsewhere').open('take-over');
    });
    const started = world.time.now();
    const { error, ...outcome } = await process.engine.start(begun, session, process.options);
    assert.deepEqual(outcome, { run: 1, status: 'superseded' });
    assert.equal((error as UnshipError).slug, 'fenced-out');
    assert.ok(world.time.now() - started < 2_000, `${world.time.now() - started} ms`);
  });

  test('is not begun again because another step ends', async () => {
    using world = new World();
    const process = world.process();
    let calls = 0;
    world.behaviours.set('web.stage', async ({ runtime }, part) => {
      if (part !== 'apply') return;
      calls += 1;
      await runtime.clock.sleep(1_000);
    });
    assert.equal((await process.run(releasePlan())).status, 'done');
    assert.equal(calls, 1);
  });

  test('is let finish past the point of no return: nothing new begins, and nothing is undone', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('web.start', failing('apply'));
    world.behaviours.set('vault.backup', async ({ runtime, signal }, part) => {
      if (part !== 'apply') return;
      await runtime.clock.sleep(1_000, signal);
      if (signal.aborted) throw new Error('told to stop');
    });
    const plan = planOf('release', [
      { surface: 'desktop', action: 'desktop.publish-standby', pointOfNoReturn: true },
      { surface: 'web', action: 'web.start', after: ['desktop.publish-standby'] },
      { surface: 'vault', action: 'database.backup', after: ['desktop.publish-standby'] },
      { surface: 'vault', action: 'database.migrate-up', after: ['vault.backup'] },
    ]);
    assert.deepEqual(await process.run(plan), { run: 1, status: 'blocked', error: broken });
    assert.deepEqual(world.effects, ['desktop.publish-standby', 'vault.backup']);
  });

  test('is let finish when a watch stops the run: nothing new begins', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('unship.watch', failing('apply'));
    world.behaviours.set('vault.backup', async ({ runtime }, part) => {
      if (part === 'apply') await runtime.clock.sleep(1_000);
    });
    const plan = planOf('release', [
      { action: 'unship.watch', onFailure: 'stop' },
      { surface: 'vault', action: 'database.backup' },
      { surface: 'vault', action: 'database.migrate-up', after: ['vault.backup'] },
    ]);
    assert.deepEqual(await process.run(plan), { run: 1, status: 'failed', error: broken });
    assert.deepEqual(world.effects, ['vault.backup']);
  });

  test('makes no waiting run of one that is paused', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('unship.approval', listening([], 'unship.approval'));
    world.behaviours.set('vault.backup', async ({ runtime }, part) => {
      if (part !== 'apply') return;
      process.pause.abort();
      await runtime.clock.sleep(100);
    });
    const plan = planOf('release', [
      { action: 'unship.approval' },
      { surface: 'vault', action: 'database.backup' },
      { surface: 'web', action: 'web.switch', after: ['unship.approval', 'vault.backup'] },
    ]);
    assert.equal((await process.run(plan)).status, 'paused');
    assert.deepEqual(await process.statuses(1), ['running', 'paused']);
  });
});

describe('what becomes of a rollback that failed', () => {
  const refusal = new UnshipError('target-gone', { happened: 'its build is gone' });

  test('it is blocked, unless a refusal came before anything live was touched', async () => {
    for (const [step, error] of [
      ['web.start', broken],
      ['vault.migrate-down', refusal],
    ] as const) {
      using world = new World();
      const process = world.process();
      world.behaviours.set(step, failing('validate', 9, error));
      assert.deepEqual(await process.run(rollbackPlan()), { run: 1, status: 'blocked', error });
    }
  });

  test('resuming says so, and does not try again what was given up', async () => {
    using world = new World();
    const process = world.process();
    let halts = 0;
    world.behaviours.set('desktop.halt', async (_context, part) => {
      if (part !== 'apply') return;
      halts += 1;
      throw broken;
    });
    world.behaviours.set('vault.migrate-down', failing('apply', 4));
    assert.equal((await process.run(rollbackPlan())).status, 'blocked');
    assert.deepEqual(await process.resume(1), { run: 1, status: 'done' });
    assert.equal(halts, 3);
    const said = (await process.store.journal(1)).flatMap((entry) =>
      entry.type === 'run'
        ? [entry.note === undefined ? entry.status : `${entry.status}: ${entry.note}`]
        : [],
    );
    assert.deepEqual(said, ['running', 'blocked', 'running: resumed', 'done']);
  });

  test('a hold whose switch is done is not made again, though something behind it has failed', async () => {
    using world = new World();
    const process = world.process();
    let holds = 0;
    world.behaviours.set('web.hold', async (_context, part) => {
      if (part === 'apply') holds += 1;
    });
    world.behaviours.set('web.retire', failing('apply', 4));
    const plan = planOf('rollback', [
      { surface: 'web', action: 'web.hold' },
      { surface: 'web', action: 'web.switch', after: ['web.hold'] },
      { surface: 'web', action: 'web.retire', after: ['web.switch'] },
    ]);
    assert.equal((await process.run(plan)).status, 'blocked');
    assert.equal((await process.resume(1)).status, 'done');
    assert.equal(holds, 1);
  });

  test('a cancellation is found among other words', async () => {
    using world = new World();
    const process = world.process();
    world.behaviours.set('vault.migrate-down', failing('apply', 4));
    assert.equal((await process.run(rollbackPlan())).status, 'blocked');
    for (const name of ['approval', 'cancel'])
      await process.store.signal({ run: 1, name, payload: 'ben', at: world.time.now() });
    assert.equal((await process.resume(1)).status, 'undone');
  });
});

test('what is undone is undone once, what was never begun is not, and a pause in between is told', async () => {
  using world = new World();
  const process = world.process();
  const undone: string[] = [];
  for (const { id } of releasePlan().steps) {
    world.behaviours.set(id, async (_context, part) => {
      if (id === 'web.switch' && part === 'apply') throw broken;
      if (part === 'undo') undone.push(id);
      if (id === 'web.start' && part === 'undo') process.pause.abort();
    });
  }
  assert.deepEqual(await process.run(releasePlan()), { run: 1, status: 'paused', error: broken });
  const last = (await process.store.journal(1)).at(-1);
  assert.deepEqual([last?.type, last?.type === 'note' && last.text], ['note', 'paused while undoing']);
  assert.deepEqual(await world.process().resume(1), { run: 1, status: 'undone' });
  assert.deepEqual(undone.slice(0, 3), ['web.switch', 'web.start', 'vault.migrate-up']);
  assert.deepEqual(undone.slice(3).sort(), ['vault.backup', 'web.stage']);
  assert.deepEqual(await process.statuses(1), ['running', 'undoing', 'undoing', 'undone']);
  const reopened = (await process.store.journal(1)).filter(
    (entry) => entry.type === 'step' && entry.status === 'pending',
  );
  assert.deepEqual(reopened, []);
});
