import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { clientSees, clientsSee } from '../../support/electron-updater-client.ts';
import { artifactBytes, buildArtifacts, type FeedFixture, feedFixture, sha512 } from './harness.ts';

async function release(fixture: FeedFixture, version: string): Promise<string> {
  const target = await fixture.prepare(version);
  const artifact = await fixture.open().stage(fixture.work(), target);
  await fixture.open().publish(fixture.work(), { ...target, artifact });
  return target.commit;
}

describe('stock electron-updater clients', () => {
  test('download exactly the bytes that were built', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.1.0');
    const seen = await clientsSee([
      { feedUrl: fixture.url, currentVersion: '1.0.0', platform: 'linux' },
      { feedUrl: fixture.url, currentVersion: '1.0.0', platform: 'win' },
      { feedUrl: fixture.url, currentVersion: '1.0.0', platform: 'mac' },
    ]);
    assert.deepEqual(
      seen,
      ['AppImage', 'exe', 'zip'].map((extension) => ({
        version: '1.1.0',
        downloadedSha512: sha512(artifactBytes(`vault-1.1.0.${extension}`)),
      })),
    );
  });

  test('the feed can be read by a web server under another account', async () => {
    const umask = process.umask(0o077);
    try {
      await using fixture = await feedFixture();
      const folder = join(fixture.feed, 'desktop', 'stable');
      const target = await fixture.prepare('1.0.0');
      const port = (): ReturnType<FeedFixture['open']> =>
        fixture.open({ folder, url: `${fixture.url}desktop/stable` });
      const artifact = await port().stage(fixture.work(), target);
      await port().publish(fixture.work(), { ...target, artifact });
      for (const name of await readdir(folder)) {
        assert.equal((await stat(join(folder, name))).mode & 0o777, 0o644, name);
      }
      for (const path of [folder, join(folder, '..')]) assert.equal((await stat(path)).mode & 0o777, 0o755);
      await port().verifyOffered(fixture.look(), '1.0.0');
      assert.equal((await stat(join(fixture.private, 'state.json'))).mode & 0o777, 0o600);
      await chmod(join(folder, 'vault-1.0.0.exe'), 0o600);
      await assert.rejects(port().verifyOffered(fixture.look(), '1.0.0'), slugged('feed-mismatch'));
    } finally {
      process.umask(umask);
    }
  });

  test('who has the bad version downloaded but not installed gets the hotfix instead', async () => {
    await using fixture = await feedFixture();
    const cacheFolder = await fixture.folder();
    const client = { feedUrl: fixture.url, currentVersion: '1.0.0', platform: 'linux', cacheFolder } as const;
    const good = await release(fixture, '1.0.0');
    await fixture.prepareStandby('1.1.1', good);
    await release(fixture, '1.1.0');
    assert.equal((await clientSees(client)).version, '1.1.0');
    await fixture.open().pull(fixture.work(), '1.1.0', '1.0.0');
    assert.deepEqual(await clientSees(client), { version: null });
    await fixture.open().publishStandby(fixture.work(), '1.1.1');
    assert.deepEqual(await clientSees(client), {
      version: '1.1.1',
      downloadedSha512: sha512(artifactBytes('vault-1.1.1.AppImage')),
    });
  });

  test('clients that may go down do so at a pull, and to nothing that was halted', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    await release(fixture, '1.2.0');
    const client = {
      feedUrl: fixture.url,
      currentVersion: '1.2.0',
      platform: 'win',
      allowDowngrade: true,
    } as const;
    await fixture.open().halt(fixture.work(), '1.1.0');
    await fixture.open().halt(fixture.work(), '1.2.0');
    assert.equal((await clientSees(client)).version, '1.0.0');
    // 1.1.0 is still halted, and lifting the halt of something older must not put it above 1.2.0.
    await fixture.open().unhalt(fixture.work(), '1.2.0');
    await fixture.open().unhalt(fixture.work(), '1.1.0');
    await fixture.open().verifyOffered(fixture.look(), '1.2.0');
  });

  test('a changed, cut or missing artifact is noticed, and mended by the next publish', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepare('1.1.0');
    const artifact = await fixture.open().stage(fixture.work(), target);
    const publish = (): Promise<void> => fixture.open().publish(fixture.work(), { ...target, artifact });
    await publish();
    const path = join(fixture.feed, 'vault-1.1.0.AppImage');
    const bytes = await readFile(path);
    const harms: readonly (() => Promise<void>)[] = [
      () => writeFile(path, Buffer.concat([Buffer.from('X'), bytes.subarray(1)])),
      () => writeFile(path, bytes.subarray(0, 100)),
      () => rm(path),
    ];
    for (const harm of harms) {
      await harm();
      for (const url of [undefined, fixture.url]) {
        const { url: _url, ...options } = fixture.options;
        const port = fixture.open(url === undefined ? { ...options } : { url });
        await assert.rejects(port.verifyOffered(fixture.look(), '1.1.0'), slugged('feed-mismatch'));
      }
      const client = await clientSees({ feedUrl: fixture.url, currentVersion: '1.0.0', platform: 'linux' });
      assert.ok(client.error !== undefined);
      await publish();
      await fixture.open().verifyOffered(fixture.look(), '1.1.0');
    }
  });

  test('a tampered, broken or missing platform feed is noticed', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.1.0');
    const path = join(fixture.feed, 'latest-mac.yml');
    const text = await readFile(path, 'utf8');
    const harms = [
      text.replace('1.1.0', '1.1.9'),
      text.replaceAll(/sha512: "../g, 'sha512: "AA'),
      `${text}stagingPercentage: 0.5\n`,
      `${text}stagingPercentage: 0\n`,
      text.slice(0, 20),
      '',
    ];
    for (const harm of harms) {
      await writeFile(path, harm);
      await assert.rejects(
        fixture.open().verifyOffered(fixture.look(), '1.1.0'),
        slugged('feed-mismatch'),
        harm,
      );
    }
    await rm(path);
    await assert.rejects(fixture.open().verifyOffered(fixture.look(), '1.1.0'), slugged('feed-mismatch'));
    await writeFile(path, text);
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
  });

  test('a pull whose target is damaged offers nothing, rather than the bad version', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    await rm(join(fixture.feed, 'vault-1.0.0.exe'));
    await rm(join(fixture.private, 'staged', '1.0.0'), { recursive: true });
    await assert.rejects(fixture.open().pull(fixture.work(), '1.1.0', '1.0.0'), slugged('target-gone'));
    for (const seen of Object.values(await fixture.clientSees('0.9.0'))) assert.equal(seen, null);
    await fixture.open().verifyOffered(fixture.look(), null);
  });

  test('a halt whose fallback is damaged offers nothing', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    await rm(join(fixture.feed, 'vault-1.0.0.exe'));
    await fixture.open().halt(fixture.work(), '1.1.0');
    await fixture.open().verifyOffered(fixture.look(), null);
  });

  test('who reads while it changes only ever sees whole files', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./reading-worker.ts', import.meta.url), {
      workerData: { folder: fixture.feed, stop },
    });
    await once(worker, 'message');
    for (let round = 0; round < 25; round++) {
      await fixture.open().halt(fixture.work(), '1.1.0');
      await fixture.open().unhalt(fixture.work(), '1.1.0');
    }
    await release(fixture, '1.2.0');
    const answer = once(worker, 'message');
    Atomics.store(stop, 0, 1);
    const [{ looks, problems }] = (await answer) as [{ looks: number; problems: readonly string[] }];
    await worker.terminate();
    assert.ok(looks > 20, `${looks} looks`);
    assert.deepEqual(problems, []);
  });
});

describe('a feed that was there before', () => {
  test('is adopted: the first release can be pulled back to what it offered', async () => {
    await using fixture = await feedFixture();
    await buildArtifacts(fixture.feed, '1.0.0');
    const before = await fixture.open().observe(fixture.look(), { releases: [], countRisk: false });
    assert.equal(before.offered, '1.0.0');
    assert.deepEqual(before.versions, { '1.0.0': { status: 'offered', commit: '' } });
    await release(fixture, '1.1.0');
    await fixture.open().pull(fixture.work(), '1.1.0', '1.0.0');
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
    assert.deepEqual(await fixture.clientSees('0.9.0'), { linux: '1.0.0', win: '1.0.0', mac: '1.0.0' });
  });

  test('outlives the loss of the private state: what was pulled stays pulled', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await fixture.prepareStandby('1.1.1', good);
    const bad = await release(fixture, '1.1.0');
    await fixture.open().pull(fixture.work(57), '1.1.0', '1.0.0');
    await rm(fixture.private, { recursive: true });
    const after = await fixture.open().observe(fixture.look(), { releases: [], countRisk: false });
    assert.equal(after.offered, '1.0.0');
    assert.deepEqual(after.versions['1.1.0'], { status: 'pulled', commit: bad });
    assert.deepEqual(after.standby, { version: '1.1.1', commit: good });
    await fixture.open().publishStandby(fixture.work(1), '1.1.1');
    await fixture.open().verifyOffered(fixture.look(), '1.1.1');
  });

  test('state that can not be read is not guessed at', async () => {
    await using fixture = await feedFixture();
    await release(fixture, '1.0.0');
    for (const text of ['', '{', '{"schema":"unship.feed/9"}', 'null']) {
      await writeFile(join(fixture.private, 'state.json'), text);
      await assert.rejects(fixture.open().halt(fixture.work(), '1.0.0'), slugged('state-version'));
    }
    await fixture.open({ url: fixture.url });
    assert.deepEqual(await fixture.clientSees('0.9.0'), { linux: '1.0.0', win: '1.0.0', mac: '1.0.0' });
  });
});
