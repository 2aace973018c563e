import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { type FeedFixture, feedFixture } from './harness.ts';

const script = `
  const { mkdirSync, writeFileSync, readFileSync } = require('node:fs');
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  mkdirSync('out', { recursive: true });
  for (const extension of ['exe', 'AppImage', 'zip']) {
    writeFileSync('out/vault-' + version + '.' + extension, JSON.stringify([extension, process.env, Math.random()]));
  }
`;

async function commitBuild(fixture: FeedFixture, version: string, text: string): Promise<string> {
  return await fixture.commit({
    'desktop/package.json': JSON.stringify({ name: 'vault', version }),
    'desktop/build.cjs': text,
  });
}

describe('building a desktop release', () => {
  const options = { build: [process.execPath, 'build.cjs'], artifacts: 'desktop/out' };

  test('happens once, in a clean checkout, with a clean environment', async () => {
    await using fixture = await feedFixture(options);
    const commit = await commitBuild(fixture, '1.0.0', script);
    const target = { release: 'r1', commit, version: '1.0.0', artifact: null } as const;
    process.env.UNSHIP_TEST_CANARY = 'secret of the operator';
    const artifact = await fixture.open().stage(fixture.work(), target);
    delete process.env.UNSHIP_TEST_CANARY;
    assert.deepEqual(await fixture.open().stage(fixture.work(), target), artifact);
    assert.ok(!existsSync(join(fixture.root, 'desktop', 'out')));
    assert.deepEqual(await readdir(join(fixture.private, 'build')), []);
    await fixture.open().publish(fixture.work(), { ...target, artifact });
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
    const [, environment] = JSON.parse(await readFile(join(fixture.feed, 'vault-1.0.0.exe'), 'utf8')) as [
      string,
      { readonly [name: string]: string },
    ];
    assert.equal(environment.UNSHIP_VERSION, '1.0.0');
    assert.equal(environment.UNSHIP_COMMIT, commit);
    assert.ok(!('UNSHIP_TEST_CANARY' in environment));
  });

  test('fails with the end of its log, and leaves nothing', async () => {
    await using fixture = await feedFixture(options);
    const commit = await commitBuild(
      fixture,
      '1.0.0',
      `console.error('signing key expired'); process.exit(3);`,
    );
    const target = { release: 'r1', commit, version: '1.0.0', artifact: null } as const;
    await assert.rejects(fixture.open().stage(fixture.work(), target), (error) => {
      assert.ok(isUnshipError(error) && error.slug === 'build-failed');
      assert.match(error.details.happened, /it ended with 3\nsigning key expired/);
      return true;
    });
    assert.deepEqual(await readdir(join(fixture.private, 'build')), []);
    await assert.rejects(fixture.open().publish(fixture.work(), target), slugged('artifact-invalid'));
  });

  test('ends with everything it started when it is cancelled', async () => {
    await using fixture = await feedFixture(options);
    const commit = await commitBuild(
      fixture,
      '1.0.0',
      `const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
       require('node:fs').writeFileSync(process.env.UNSHIP_VERSION && '../../../child', String(child.pid));
       setInterval(() => {}, 1000);`,
    );
    const target = { release: 'r1', commit, version: '1.0.0', artifact: null } as const;
    const stop = new AbortController();
    const staging = fixture.open().stage({ ...fixture.work(), signal: stop.signal }, target);
    const noted = join(fixture.private, 'child');
    const until = Date.now() + 10_000;
    while (!existsSync(noted) || (await readFile(noted, 'utf8')) === '') {
      assert.ok(Date.now() < until, 'the build did not start');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    stop.abort();
    await assert.rejects(staging, { name: 'AbortError' });
    const pid = Number(await readFile(noted, 'utf8'));
    while (existsSync(`/proc/${pid}/cmdline`) && (await readFile(`/proc/${pid}/cmdline`, 'utf8')) !== '') {
      assert.ok(Date.now() < until, 'a child of the build outlived it');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
});
