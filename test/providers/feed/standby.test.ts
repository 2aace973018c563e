import assert from 'node:assert/strict';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Release } from '../../../src/domain/release.ts';
import { slugged } from '../../../src/testing/desktop-contract.ts';
import { buildArtifacts, type FeedFixture, feedFixture } from './harness.ts';

async function release(fixture: FeedFixture, version: string): Promise<string> {
  const target = await fixture.prepare(version);
  const artifact = await fixture.open().stage(fixture.work(), target);
  await fixture.open().publish(fixture.work(), { ...target, artifact });
  return target.commit;
}

async function standbyOf(fixture: FeedFixture, releases: readonly Release[] = []): Promise<unknown> {
  return (await fixture.open().observe(fixture.look(), { releases, countRisk: false })).standby;
}

describe('standby hotfix', () => {
  test('one that misses a platform is refused: those clients would stay on the bad version', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    const folder = join(fixture.root, 'standby', good);
    await buildArtifacts(folder, '1.1.1', { feeds: ['latest.yml', 'latest-linux.yml'] });
    await assert.rejects(fixture.open().publishStandby(fixture.work(), '1.1.1'), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
    await buildArtifacts(folder, '1.1.1');
    await fixture.open().publishStandby(fixture.work(), '1.1.1');
    await fixture.open().verifyOffered(fixture.look(), '1.1.1');
  });

  test('one that was taken off again does not stand in the way of the version whose halt is taken back', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    await fixture.prepareStandby('1.1.1', good);
    await fixture.open().pull(fixture.work(), '1.1.0', '1.0.0');
    await fixture.open().publishStandby(fixture.work(), '1.1.1');
    // A person wants it back, and then not: the way there and back meets the hotfix that is out.
    await fixture.open().unpull(fixture.work(), '1.1.0');
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
    await fixture.open().halt(fixture.work(), '1.1.0');
    await fixture.open().unhalt(fixture.work(), '1.1.0');
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
  });

  test('one that is not above every published version is none', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await fixture.prepareStandby('1.0.1', good);
    assert.deepEqual(await standbyOf(fixture), { version: '1.0.1', commit: good });
    await release(fixture, '1.1.0');
    assert.equal(await standbyOf(fixture), null);
    await assert.rejects(fixture.open().publishStandby(fixture.work(), '1.0.1'), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
  });

  test('one whose version is only in the description is refused: clients would update for ever', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    const folder = join(fixture.root, 'standby', good);
    await buildArtifacts(folder, '1.0.0');
    for (const feed of ['latest.yml', 'latest-mac.yml', 'latest-linux.yml']) {
      const text = await readFile(join(folder, feed), 'utf8');
      await writeFile(join(folder, feed), text.replace('version: 1.0.0', 'version: 1.1.1'));
    }
    await assert.rejects(fixture.open().publishStandby(fixture.work(), '1.1.1'), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
  });

  test('one with a damaged artifact is refused', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    await fixture.prepareStandby('1.1.1', good);
    await writeFile(join(fixture.root, 'standby', good, 'vault-1.1.1.zip'), 'cut');
    await assert.rejects(fixture.open().publishStandby(fixture.work(), '1.1.1'), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.1.0');
  });

  test('descriptions that disagree are told, and observing goes on', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await fixture.prepareStandby('1.1.1', good);
    const path = join(fixture.root, 'standby', good, 'latest-mac.yml');
    await writeFile(path, (await readFile(path, 'utf8')).replace('1.1.1', '1.1.2'));
    assert.equal(await standbyOf(fixture), null);
    assert.equal((await fixture.open().standbyProblems()).length, 1);
  });

  test('taken in by hand, it is ready although its folder is gone', async () => {
    await using fixture = await feedFixture({ standby: 'nowhere' });
    const good = await release(fixture, '1.0.0');
    await release(fixture, '1.1.0');
    const folder = join(fixture.root, 'built');
    await buildArtifacts(folder, '1.1.1', { yml: false });
    const added = await fixture.open().addStandby(fixture.work(), { folder, commit: good });
    assert.deepEqual(added, { version: '1.1.1' });
    await rm(folder, { recursive: true });
    assert.deepEqual(await standbyOf(fixture), { version: '1.1.1', commit: good });
    await fixture.open().publishStandby(fixture.work(), '1.1.1');
    await fixture.open().verifyOffered(fixture.look(), '1.1.1');
    assert.deepEqual(await fixture.clientSees('1.1.0'), { linux: '1.1.1', win: '1.1.1', mac: '1.1.1' });
    assert.equal(await standbyOf(fixture), null);
  });

  test('a folder without the commit in its path names it in standby.json', async () => {
    await using fixture = await feedFixture({ standby: 'standby/ready' });
    const good = await release(fixture, '1.0.0');
    const folder = join(fixture.root, 'standby', 'ready');
    await buildArtifacts(folder, '1.1.1');
    assert.deepEqual(await standbyOf(fixture), { version: '1.1.1', commit: '' });
    await writeFile(join(folder, 'standby.json'), JSON.stringify({ commit: good }));
    assert.deepEqual(await standbyOf(fixture), { version: '1.1.1', commit: good });
  });

  test('of several, it is the one of the newest proven release that is not live', async () => {
    await using fixture = await feedFixture();
    const commits = [await release(fixture, '1.0.0'), await release(fixture, '1.1.0')] as const;
    await fixture.prepareStandby('1.1.1', commits[0]);
    await fixture.prepareStandby('1.1.2', commits[1]);
    const made = (number: number, commit: string, changes: Partial<Release>): Release => ({
      id: `r${number}`,
      createdAt: 0,
      createdBy: 'test',
      commit,
      deployment: 'superseded',
      health: 'good',
      configurationHash: '',
      surfaces: { desktop: { kind: 'desktop', commit, artifact: null, label: '', since: `r${number}` } },
      ...changes,
    });
    const good = made(1, commits[0], {});
    const live = made(2, commits[1], { deployment: 'live' });
    assert.deepEqual(await standbyOf(fixture, [live, good]), { version: '1.1.1', commit: commits[0] });
    const older = made(2, commits[1], {});
    assert.deepEqual(await standbyOf(fixture, [older, good]), { version: '1.1.2', commit: commits[1] });
  });

  test('artifacts under a changed name are refused before anything is published', async () => {
    await using fixture = await feedFixture();
    const good = await release(fixture, '1.0.0');
    await fixture.prepareStandby('1.1.1', good);
    const folder = join(fixture.root, 'standby', good);
    await rename(join(folder, 'vault-1.1.1.exe'), join(folder, 'vault.exe'));
    await assert.rejects(fixture.open().publishStandby(fixture.work(), '1.1.1'), slugged('artifact-invalid'));
    await fixture.open().verifyOffered(fixture.look(), '1.0.0');
  });
});
