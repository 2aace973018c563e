import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isUnshipError, type UnshipError } from '../../src/domain/errors.ts';
import { slugged } from '../../src/testing/store-harness.ts';
import { CommitCutter } from '../support/commit-cutter.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { PostgresHarness } from './postgres-harness.ts';
import { begunRun, start } from './processes.ts';

let cluster: PostgresCluster;
before(async () => {
  // What a crash of the server leaves is asked here.
  cluster = await PostgresCluster.start({ fsync: 'on' });
});
after(async () => await cluster[Symbol.asyncDispose]());

const note = (text: string) => [{ type: 'note', text }] as const;

async function thrown(work: Promise<unknown>): Promise<UnshipError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(isUnshipError(error), String(error));
  return error;
}

describe('a server that goes away', () => {
  test('and is there again: the next command, and the next write of one that goes on, find it', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    for (const end of ['stop', 'kill'] as const) {
      await cluster[end]();
      const back = sleep(300).then(() => cluster.begin());
      await store.append(fence, run, note(end));
      await back;
      const next = new PostgresHarness(cluster);
      assert.equal(await (await next.open()).lastFence(), 0);
      await next[Symbol.asyncDispose]();
    }
    assert.equal((await store.journal(run)).length, 3);
  });

  test('killed while two processes write: what they were told was written is there, in one chain', async () => {
    for (let round = 0; round < 2; round += 1) {
      await using harness = new PostgresHarness(cluster);
      const store = await harness.open();
      const { fence, run } = await begunRun(store, harness);
      const told = new Set<number>();
      const writers = [0, 1].map(() => start('append', harness.target, String(fence), String(run), '100000'));
      for (const writer of writers) {
        writer.stdout?.on('data', (chunk: Buffer) => {
          for (const line of chunk.toString().split('\n').slice(0, -1)) told.add(Number(line));
        });
      }
      while (told.size < 40) await sleep(10);
      await cluster.kill();
      await cluster.begin();
      const before = told.size;
      // Whoever was not in the middle of a commit goes on by itself.
      await sleep(500);
      for (const writer of writers) {
        const closed = new Promise((resolve) => writer.once('close', resolve));
        if (writer.exitCode === null) {
          writer.kill('SIGKILL');
          await closed;
        }
      }
      const entries = await store.journal(run);
      const there = new Set(entries.map(({ seq }) => seq));
      assert.deepEqual(
        [...told].filter((seq) => !there.has(seq)),
        [],
        `${told.size} told, ${before} before the end`,
      );
    }
  });

  test('for long: that is told, with what is known, and nobody hangs', async () => {
    await using cutter = await CommitCutter.start(cluster);
    await using harness = new PostgresHarness(cluster, cutter.url);
    const [store, other] = [await harness.open(), await harness.open()];
    const { fence, run } = await begunRun(store, harness);
    cutter.reachable = false;
    const begun = performance.now();
    const [error, looking, opening] = await Promise.all([
      thrown(store.append(fence, run, note('a'))),
      thrown(other.journal(run)),
      thrown(harness.open()).then((reason) => ({ reason, ms: performance.now() - begun })),
    ]);
    assert.deepEqual([error.slug, looking.slug, opening.reason.slug], Array(3).fill('state-unreachable'));
    assert.match(error.details.done ?? '', /^what was to be recorded just now was not/);
    assert.match(looking.details.done ?? '', /^nothing/);
    assert.equal(opening.reason.details.done, 'nothing');
    assert.ok(opening.ms < 3_000, 'a command does not wait for a server that is not there');
    cutter.reachable = true;
    await store.append(fence, run, note('b'));
    assert.equal((await store.journal(run)).length, 2);
  });

  test('in the middle of a transaction: nothing of it is there, and that is what is said', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    const broken = store.together('begin', async (state) => {
      await state.append(fence, run, note('a'));
      await harness.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'unship: state' and state = 'idle in transaction'`);
      await state.append(fence, run, note('b'));
    });
    const error = await thrown(broken);
    assert.equal(error.slug, 'state-unreachable');
    assert.match(error.details.done ?? '', /^what was to be recorded just now was not/);
    assert.equal((await store.journal(run)).length, 1);
    await store.append(fence, run, note('c'));
  });
});

describe('whoever holds the state', { concurrency: true }, () => {
  test('and is frozen in the middle of a write is passed by, and writes nothing when it wakes up', async () => {
    await using harness = new PostgresHarness(cluster);
    const [store, other] = [await harness.open(), await harness.open()];
    const { fence, run } = await begunRun(store, harness);
    let wake = (): void => {};
    const frozen = store.together('begin', async (state) => {
      await state.append(fence, run, note('from the frozen one'));
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      await state.append(fence, run, note('when it wakes up'));
    });
    await sleep(200);
    await other.append(fence, run, note('of the other'));
    wake();
    assert.equal((await thrown(frozen)).slug, 'state-unreachable');
    const texts = (await other.journal(run)).flatMap((entry) => (entry.type === 'note' ? [entry.text] : []));
    assert.deepEqual(texts, ['of the other']);
  });

  test('and goes on for too long: others say so, and wait no longer', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    const key = `hashtextextended('${harness.schema}', 0)`;
    await harness.query(`select pg_advisory_lock(${key})`);
    const begun = performance.now();
    await assert.rejects(store.append(fence, run, note('a')), slugged('busy'));
    assert.ok(performance.now() - begun < 14_000);
    await harness.query(`select pg_advisory_unlock(${key})`);
    await store.append(fence, run, note('b'));
    assert.equal((await store.journal(run)).length, 2, 'nothing of the first');
  });
});

test('a full disk is told, loses nothing, and is gone on with when there is room', async (context) => {
  const disk = mkdtempSync(join(tmpdir(), 'unship-small-'));
  // Mounting needs root: without it this fails here, by the words of `mount`.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m,mode=0700', 'tmpfs', disk], { stdio: 'pipe' });
  context.after(() => {
    execFileSync('umount', ['--lazy', disk], { stdio: 'pipe' });
    rmSync(disk, { recursive: true, force: true });
  });
  const { uid, gid } = statSync(cluster.folder);
  chownSync(disk, uid, gid);
  await cluster.query(`create tablespace small location '${disk}'`);
  await using harness = new PostgresHarness(cluster);
  const store = await harness.open();
  await harness.query('alter table journal set tablespace small');
  const { fence, run } = await begunRun(store, harness);
  let written = 0;
  const error = await thrown(
    (async () => {
      for (;;) {
        // It is kept in a table beside where it is long, and as it is where it can't be made smaller.
        const text = Array.from({ length: 40 }, () => randomBytes(32).toString('hex')).join('');
        await store.append(fence, run, note(text));
        written += 1;
      }
    })(),
  );
  assert.equal(error.slug, 'state-failed', error.message);
  assert.match(error.details.next ?? '', /^free some space on its disk/);
  assert.match(error.details.done ?? '', /^what was to be recorded just now was not/);
  assert.ok(written > 100, `${written} entries`);
  assert.equal((await store.journal(run)).length, written + 1);
  execFileSync('mount', ['-o', 'remount,size=6m', disk], { stdio: 'pipe' });
  await store.append(fence, run, note('there is room'));
  assert.equal((await store.journal(run)).length, written + 2);
});
