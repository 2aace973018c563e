import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readingProblems, snapshot } from './feed-reading.ts';
import { type FeedFixture, feedFixture, work } from './harness.ts';
import { doWork, type KilledWork } from './killed-process.ts';

const script = fileURLToPath(new URL('./killed-process.ts', import.meta.url));

describe('killed anywhere, then repeated', () => {
  let fixture: FeedFixture;
  let scratch: string;
  let bad: KilledWork['target'];

  /** 1.0.0 is out and good, its code stands by as 1.1.1, and 1.1.0 is built; `past` is what happened since. */
  async function stateBefore(past: readonly KilledWork['what'][], name: string): Promise<KilledWork> {
    const folder = join(scratch, name);
    await cp(fixture.feed, join(folder, 'feed'), { recursive: true, preserveTimestamps: true });
    await cp(fixture.private, join(folder, 'private'), { recursive: true });
    const job: KilledWork = {
      root: fixture.root,
      feed: join(folder, 'feed'),
      private: join(folder, 'private'),
      target: bad,
      what: 'release',
      killAt: 0,
    };
    for (const what of past) await doWork({ ...job, what }, 1, () => {});
    return job;
  }

  function runKilled(job: KilledWork): {
    readonly points: readonly string[];
    readonly signal: string | null;
  } {
    const { stdout, signal, stderr } = spawnSync(
      process.execPath,
      ['--no-warnings', script, JSON.stringify(job)],
      { encoding: 'utf8' },
    );
    assert.equal(stderr, '');
    return { points: stdout.trim().split('\n'), signal };
  }

  before(async () => {
    fixture = await feedFixture();
    scratch = await mkdtemp(join(tmpdir(), 'unship-kill-'));
    const good = await fixture.prepare('1.0.0');
    const artifact = await fixture.open().stage(work(), good);
    await fixture.open().publish(work(), { ...good, artifact });
    await fixture.prepareStandby('1.1.1', good.commit);
    bad = await fixture.prepare('1.1.0');
  });

  after(async () => {
    await fixture[Symbol.asyncDispose]();
    await rm(scratch, { recursive: true, force: true });
  });

  const cases: readonly {
    readonly what: KilledWork['what'];
    readonly past: readonly KilledWork['what'][];
  }[] = [
    { what: 'release', past: [] },
    { what: 'halt', past: ['release'] },
    { what: 'pull', past: ['release'] },
    { what: 'standby', past: ['release', 'pull'] },
  ];
  for (const { what, past } of cases) {
    test(`${what}`, async () => {
      const start = await stateBefore(past, `${what}-start`);
      const undisturbed = join(scratch, `${what}-whole`);
      await cp(join(start.feed, '..'), undisturbed, { recursive: true });
      const whole = {
        ...start,
        feed: join(undisturbed, 'feed'),
        private: join(undisturbed, 'private'),
        what,
      };
      const { points, signal } = runKilled(whole);
      assert.equal(signal, null);
      assert.ok(points.length >= 6, points.join());
      const wanted = snapshot(undisturbed);

      for (let killAt = 1; killAt <= points.length; killAt++) {
        const place = `${what} killed at ${killAt} (${points[killAt - 1]})`;
        const folder = join(scratch, `${what}-${killAt}`);
        await cp(join(start.feed, '..'), folder, { recursive: true });
        const job = { ...start, feed: join(folder, 'feed'), private: join(folder, 'private'), what, killAt };
        assert.equal(runKilled(job).signal, 'SIGKILL', place);
        assert.deepEqual(readingProblems(job.feed), [], place);
        // Resumed by the same holder of the lease, or by one that took over.
        await doWork(job, killAt % 2 === 0 ? 2 : 3, () => {});
        assert.deepEqual(snapshot(folder), wanted, place);
        assert.deepEqual(readingProblems(job.feed), [], place);
        await rm(folder, { recursive: true });
      }
    });
  }

  test('half-written files of a killed run are cleared away by the next one', async () => {
    const job = await stateBefore([], 'leftovers');
    await writeFile(join(job.feed, '.unship-1-latest.yml'), 'version: 1.');
    await writeFile(join(job.feed, '.unship-1-vault-1.1.0.exe'), 'half');
    await cp(fixture.root, join(job.private, 'staged', '.taking-1-1.1.0'), { recursive: true });
    await doWork(job, 2, () => {});
    for (const folder of [job.feed, join(job.private, 'staged')]) {
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith('.')),
        [],
      );
    }
  });
});
