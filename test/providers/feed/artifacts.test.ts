import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { isSafeName } from '../../../src/domain/names.ts';
import { namesVersion } from '../../../src/providers/feed/artifacts.ts';
import { FeedProblem, filesOf, parseFeed, renderFeed } from '../../../src/providers/feed/yml.ts';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { clientsSee } from '../../support/electron-updater-client.ts';
import { artifactBytes, buildArtifacts, feedFixture, sha512 } from './harness.ts';

async function edit(path: string, change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, 'utf8')));
}

describe('taking artifacts in', () => {
  const harms: readonly { readonly what: string; readonly harm: (folder: string) => Promise<void> }[] = [
    { what: 'no folder', harm: (folder) => rm(folder, { recursive: true }) },
    { what: 'a missing artifact', harm: (folder) => rm(join(folder, 'vault-1.0.0.exe')) },
    { what: 'an empty artifact', harm: (folder) => truncate(join(folder, 'vault-1.0.0.exe')) },
    { what: 'a shorter artifact', harm: (folder) => truncate(join(folder, 'vault-1.0.0.exe'), 500) },
    {
      what: 'other bytes of the same length',
      harm: async (folder) => {
        const path = join(folder, 'vault-1.0.0.AppImage');
        const bytes = await readFile(path);
        bytes[5] = (bytes[5] ?? 0) ^ 1;
        await writeFile(path, bytes);
      },
    },
    {
      what: 'an artifact that is a link',
      harm: async (folder) => {
        await rename(join(folder, 'vault-1.0.0.zip'), join(folder, '..', 'elsewhere.zip'));
        await symlink('../elsewhere.zip', join(folder, 'vault-1.0.0.zip'));
      },
    },
    {
      what: 'a description of another version',
      harm: (folder) => edit(join(folder, 'latest-mac.yml'), (text) => text.replace('1.0.0', '1.0.1')),
    },
    {
      what: 'a file named after another version',
      harm: async (folder) => {
        await rename(join(folder, 'vault-1.0.0.exe'), join(folder, 'vault-0.9.0.exe'));
        await edit(join(folder, 'latest.yml'), (text) => text.replaceAll('vault-1.0.0', 'vault-0.9.0'));
      },
    },
    {
      what: 'a path out of the folder',
      harm: (folder) => edit(join(folder, 'latest.yml'), (text) => text.replaceAll('vault-1', '../vault-1')),
    },
    {
      what: 'an encoded path out of the folder',
      harm: (folder) =>
        edit(join(folder, 'latest.yml'), (text) => text.replaceAll('vault-1', '..%2Fvault-1')),
    },
    {
      what: 'an address somewhere else',
      harm: (folder) =>
        edit(join(folder, 'latest.yml'), (text) => text.replaceAll('vault-1', 'https://example.com/vault-1')),
    },
    {
      what: 'a rollout that clients would take for 100 %',
      harm: (folder) => edit(join(folder, 'latest.yml'), (text) => `${text}stagingPercentage: ten\n`),
    },
    {
      what: 'a rollout that clients would take for 0 %',
      harm: (folder) => edit(join(folder, 'latest.yml'), (text) => `${text}stagingPercentage: 0.5\n`),
    },
    { what: 'no YAML', harm: (folder) => writeFile(join(folder, 'latest.yml'), 'version: [1') },
    {
      what: 'a mac build without a zip',
      harm: async (folder) => {
        await rename(join(folder, 'vault-1.0.0.zip'), join(folder, 'vault-1.0.0.dmg'));
        await edit(join(folder, 'latest-mac.yml'), (text) => text.replaceAll('.zip', '.dmg'));
      },
    },
  ];
  for (const { what, harm } of harms) {
    test(`${what} is refused`, async () => {
      await using fixture = await feedFixture();
      const target = await fixture.prepare('1.0.0');
      await harm(join(fixture.root, 'dist', '1.0.0'));
      await assert.rejects(fixture.open().stage(fixture.work(), target), slugged('artifact-invalid'));
      await fixture.open().verifyOffered(fixture.look(), null);
    });
  }

  test('a version that was published with other bytes is refused, and so are taken file names', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepare('1.0.0');
    const artifact = await fixture.open().stage(fixture.work(), target);
    await fixture.open().publish(fixture.work(), { ...target, artifact });
    await buildArtifacts(join(fixture.root, 'dist', '1.0.0'), '1.0.0', { salt: 'again' });
    await assert.rejects(fixture.open().stage(fixture.work(), target), slugged('artifact-invalid'));
    const next = await fixture.prepare('1.1.0');
    await writeFile(join(fixture.feed, 'vault-1.1.0.exe'), 'somebody put this here');
    await assert.rejects(fixture.open().stage(fixture.work(), next), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
  });

  test('a build that was made again before it was published replaces what was staged', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepare('1.0.0');
    const first = await fixture.open().stage(fixture.work(), target);
    await buildArtifacts(join(fixture.root, 'dist', '1.0.0'), '1.0.0', { salt: 'signed' });
    const second = await fixture.open().stage(fixture.work(), target);
    assert.notDeepEqual(second, first);
    await fixture.open().publish(fixture.work(), { ...target, artifact: second });
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
  });

  test('what is staged can not be changed any more by a later build', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepare('1.0.0');
    const artifact = await fixture.open().stage(fixture.work(), target);
    await buildArtifacts(join(fixture.root, 'dist', '1.0.0'), '1.0.0', { salt: 'later' });
    await fixture.open().publish(fixture.work(), { ...target, artifact });
    assert.equal(
      sha512(await readFile(join(fixture.feed, 'vault-1.0.0.exe'))),
      sha512(artifactBytes('vault-1.0.0.exe')),
    );
  });

  test('the private copies of old versions are given up, the feed keeps theirs', async () => {
    await using fixture = await feedFixture();
    for (const version of ['1.0.0', '1.1.0', '1.2.0', '1.10.0', '1.11.0', '1.12.0']) {
      const target = await fixture.prepare(version);
      await fixture.open().stage(fixture.work(), target);
      await fixture.open().publish(fixture.work(), target);
    }
    const kept = await readdir(join(fixture.private, 'staged'));
    assert.deepEqual(kept.sort(), ['1.1.0', '1.10.0', '1.11.0', '1.12.0', '1.2.0']);
    await fixture.open().pull(fixture.work(), '1.12.0', '1.0.0');
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
  });

  test('a platform that would be left behind is refused', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepare('1.0.0');
    await fixture.open().stage(fixture.work(), target);
    await fixture.open().publish(fixture.work(), target);
    const next = await fixture.prepareCode('1.1.0');
    const folder = join(fixture.root, 'dist', '1.1.0');
    await buildArtifacts(folder, '1.1.0', { feeds: ['latest.yml', 'latest-linux.yml'] });
    await assert.rejects(fixture.open().stage(fixture.work(), next), slugged('artifact-invalid'));
    await rm(join(fixture.feed, 'latest-mac.yml'));
    await fixture.open().stage(fixture.work(), next);
  });

  test('a platform that came with the bad version is offered nothing after the pull', async () => {
    await using fixture = await feedFixture();
    const good = await fixture.prepareCode('1.0.0');
    await buildArtifacts(join(fixture.root, 'dist', '1.0.0'), '1.0.0', { feeds: ['latest-linux.yml'] });
    await fixture.open().stage(fixture.work(), good);
    await fixture.open().publish(fixture.work(), good);
    const bad = await fixture.prepare('1.1.0');
    await fixture.open().stage(fixture.work(), bad);
    await fixture.open().publish(fixture.work(), bad);
    await fixture.open().pull(fixture.work(), '1.1.0', '1.0.0');
    assert.deepEqual(await fixture.clientSees('0.9.0'), { linux: '1.0.0', win: null, mac: null });
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
  });

  test('without descriptions the feeds follow from the file names', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepareCode('1.0.0');
    const folder = join(fixture.root, 'dist', '1.0.0');
    await mkdir(folder, { recursive: true });
    const names = [
      'Inner Scribe Vault Setup 1.0.0.exe',
      'Inner Scribe Vault Setup 1.0.0.exe.blockmap',
      'Inner Scribe Vault 1.0.0 portable.exe',
      'Inner Scribe Vault-1.0.0.AppImage',
      'Inner Scribe Vault-1.0.0-arm64.AppImage',
      'vault_1.0.0_amd64.deb',
      'vault-1.0.0.dmg',
      'vault-1.0.0-mac.zip',
      'vault-1.0.0-win.zip',
      // Of an earlier build.
      'Inner Scribe Vault-0.9.0.AppImage',
      'builder-debug.yml',
    ];
    for (const name of names) await writeFile(join(folder, name), artifactBytes(name));
    const artifact = await fixture.open().stage(fixture.work(), target);
    await fixture.open().publish(fixture.work(), { ...target, artifact });
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
    const filesIn = async (feed: string): Promise<readonly string[]> =>
      (parse(await readFile(join(fixture.feed, feed), 'utf8')) as { files: { url: string }[] }).files.map(
        (file) => file.url,
      );
    assert.deepEqual(await filesIn('latest.yml'), ['Inner-Scribe-Vault-Setup-1.0.0.exe']);
    assert.deepEqual(await filesIn('latest-mac.yml'), ['vault-1.0.0-mac.zip', 'vault-1.0.0.dmg']);
    assert.deepEqual(await filesIn('latest-linux.yml'), [
      'Inner-Scribe-Vault-1.0.0.AppImage',
      'vault_1.0.0_amd64.deb',
    ]);
    assert.deepEqual(await filesIn('latest-linux-arm64.yml'), ['Inner-Scribe-Vault-1.0.0-arm64.AppImage']);
    const seen = await clientsSee(
      (['linux', 'win', 'mac'] as const).map((platform) => ({
        feedUrl: fixture.url,
        currentVersion: '0.9.0',
        platform,
      })),
    );
    assert.deepEqual(
      seen,
      ['Inner Scribe Vault-1.0.0.AppImage', 'Inner Scribe Vault Setup 1.0.0.exe', 'vault-1.0.0-mac.zip'].map(
        (name) => ({ version: '1.0.0', downloadedSha512: sha512(artifactBytes(name)) }),
      ),
    );
  });

  test('file names that say no version, or another one, are not taken for this one', async () => {
    await using fixture = await feedFixture();
    const target = await fixture.prepareCode('1.0.0');
    const folder = join(fixture.root, 'dist', '1.0.0');
    await mkdir(folder, { recursive: true });
    for (const name of ['vault.AppImage', 'vault-1.0.0-beta.1.AppImage', 'vault-11.0.0.AppImage']) {
      await writeFile(join(folder, name), artifactBytes(name));
    }
    await assert.rejects(fixture.open().stage(fixture.work(), target), slugged('artifact-invalid'));
  });

  test('names and versions', () => {
    assert.equal(namesVersion('vault-1.1.0.exe', '1.1.0'), true);
    assert.equal(namesVersion('vault_1.1.0_amd64.deb', '1.1.0'), true);
    assert.equal(namesVersion('vault-1.1.0-rc.1-x64.exe', '1.1.0-rc.1'), true);
    assert.equal(namesVersion('vault-1.1.0-x64.exe', '1.1.0'), true);
    assert.equal(namesVersion('vault-1.1.0-rc.1.exe', '1.1.0'), false);
    assert.equal(namesVersion('vault-1.1.01.exe', '1.1.0'), false);
    assert.equal(namesVersion('vault-1.1.0.exe', '1.1.1'), false);
    assert.equal(namesVersion('vault-1.1.0.exe', '1.1.0-rc.1'), false);
    assert.equal(namesVersion('vault-1.1.0-rc.10.exe', '1.1.0-rc.1'), false);
    assert.equal(namesVersion('vault-1.1.0-rc.1.1.exe', '1.1.0-rc.1'), false);
    assert.equal(namesVersion('vault.exe', '1.1.0'), undefined);
  });
});

describe('a platform feed', () => {
  const valid = {
    version: '1.0.0',
    files: [{ url: 'a.exe', sha512: sha512(Buffer.from('a')), size: 1 }],
    path: 'a.exe',
    sha512: sha512(Buffer.from('a')),
    releaseDate: '2026-03-01T10:00:00.000Z',
  };

  test('any text is read or refused, and nothing that is read leaves the folder', async () => {
    const scalar = fc.oneof(
      fc.string(),
      fc.constantFrom('../a', 'a/b', '/etc/passwd', 'C:\\a', 'con', 'a.exe', '%2e%2e%2fa', '\u0000', '1.0.0'),
      fc.integer(),
      fc.double(),
      fc.constant(null),
    );
    const key = fc.constantFrom(
      'version',
      'files',
      'path',
      'sha512',
      'packages',
      'stagingPercentage',
      '__proto__',
    );
    const mutated = fc
      .dictionary(key, fc.oneof(scalar, fc.array(scalar), fc.constant([{ ...valid.files[0], url: '../b' }])))
      .map((changes) => JSON.stringify({ ...valid, ...changes }));
    const url = scalar.map((text) =>
      JSON.stringify({ ...valid, path: undefined, files: [{ ...valid.files[0], url: text }] }),
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, url, fc.string(), fc.json()), async (text) => {
        try {
          const content = await parseFeed(text);
          for (const { name } of filesOf(content)) assert.ok(isSafeName(name), name);
          assert.deepEqual(await parseFeed(await renderFeed(content)), content);
        } catch (error) {
          if (!(error instanceof FeedProblem)) throw error;
        }
        assert.equal(({} as { polluted?: unknown }).polluted, undefined);
      }),
      { numRuns: 3000 },
    );
  });

  test('what else electron-builder wrote is carried along', async () => {
    const content = await parseFeed(
      JSON.stringify({
        ...valid,
        releaseNotes: 'no\n- yes: 2026-01-01',
        minimumSystemVersion: '21.6.0',
        packages: { x64: { path: 'a 1.7z', sha512: valid.sha512, size: 9 } },
      }),
    );
    assert.equal(content.releaseNotes, 'no\n- yes: 2026-01-01');
    assert.equal(content.minimumSystemVersion, '21.6.0');
    assert.deepEqual(
      filesOf(content).map(({ name }) => name),
      ['a.exe', 'a-1.7z'],
    );
  });
});
