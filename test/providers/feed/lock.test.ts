import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { exclusively } from '../../../src/providers/feed/lock.ts';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { runtime, work } from './harness.ts';

const lockModule = new URL('../../../src/providers/feed/lock.ts', import.meta.url).href;
const harnessModule = new URL('./harness.ts', import.meta.url).href;

test('another process waits, is told when it waits too long, and gets the lock when its holder dies', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'unship-lock-'));
  const holder = spawn(
    process.execPath,
    [
      '--no-warnings',
      '--input-type=module',
      '--eval',
      `const { exclusively } = await import(${JSON.stringify(lockModule)});
       const { work } = await import(${JSON.stringify(harnessModule)});
       await exclusively(${JSON.stringify(folder)}, work(), async () => {
         console.log('held');
         await new Promise((resolve) => setTimeout(resolve, 60_000));
       });`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await once(holder.stdout, 'data');
    let time = 0;
    const hurried = { ...runtime.clock, monotonic: () => (time += 2000) };
    await assert.rejects(
      exclusively(folder, work(1, { clock: hurried }), async () => assert.fail('two hold the lock')),
      slugged('busy'),
    );
    const waiting = exclusively(folder, work(), async () => 'mine');
    holder.kill('SIGKILL');
    assert.equal(await waiting, 'mine');
  } finally {
    holder.kill('SIGKILL');
    await rm(folder, { recursive: true });
  }
});

test('one after the other, in the same process too, and free again after a failure', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'unship-lock-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  let inside = 0;
  const works = Array.from({ length: 5 }, async (_, index) => {
    await exclusively(folder, work(), async () => {
      assert.equal(++inside, 1);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      if (index === 2) throw new Error('as it happens');
    });
  });
  const ended = await Promise.allSettled(works);
  assert.deepEqual(
    ended.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  );
});
