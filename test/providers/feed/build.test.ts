import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
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
      assert.match(error.details.happened, /exit code 3\nsigning key expired/);
      return true;
    });
    assert.deepEqual(await readdir(join(fixture.private, 'build')), []);
    await assert.rejects(fixture.open().publish(fixture.work(), target), slugged('artifact-invalid'));
  });

  test('ends with everything it started when it is cancelled', async () => {
    const marker = `build-${randomBytes(8).toString('hex')}`;
    await using fixture = await feedFixture(options);
    const commit = await commitBuild(
      fixture,
      '1.0.0',
      `require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '${marker}']);
       require('node:fs').writeFileSync('started', '');
       setInterval(() => {}, 1000);`,
    );
    const target = { release: 'r1', commit, version: '1.0.0', artifact: null } as const;
    const stop = new AbortController();
    const staging = fixture.open().stage({ ...fixture.work(), signal: stop.signal }, target);
    try {
      await until('the build starts', async () => {
        const builds = join(fixture.private, 'build');
        const names = existsSync(builds) ? await readdir(builds) : [];
        return names.some((name) => existsSync(join(builds, name, 'desktop/started')));
      });
    } finally {
      stop.abort();
      await assert.rejects(staging, { name: 'AbortError' });
    }
    await until('everything has ended', async () => (await runningWith(marker)).length === 0);
  });
});

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000;
  while (!(await holds())) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function runningWith(text: string): Promise<readonly string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(text));
}
