import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isUnshipError } from '../domain/errors.ts';
import type { DesktopFacts } from '../domain/facts.ts';
import type { DesktopPort, DesktopTarget } from '../surfaces/desktop/desktop.port.ts';
import type { LookContext, WorkContext } from '../surfaces/surface.port.ts';

/** One desktop host of its own for one test, and what stands around it. */
export interface DesktopHarness extends AsyncDisposable {
  /** As a new process would open it: asked for anew before every call. */
  open(): DesktopPort;
  /** Commits code that says `version`, and builds it. */
  prepare(version: string): Promise<DesktopTarget>;
  /** Builds the code of `commit` under a higher version and leaves it where the host looks for the standby. */
  prepareStandby(version: string, commit: string): Promise<void>;
  /** Builds `version` in a folder of its own, where the host does not look by itself. Returns the folder. */
  build(version: string): Promise<string>;
  work(fence?: number): WorkContext;
  look(): LookContext;
  /** The version that a client on `current` would move to, per platform, having fetched and verified it. */
  clientSees(current: string): Promise<{ readonly [platform: string]: string | null }>;
  /** An empty private folder for a rehearsal. */
  folder(): Promise<string>;
}

/** Error with this slug and nothing else. */
export function slugged(slug: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(
      isUnshipError(error),
      `not an error for people: ${error instanceof Error ? error.stack : error}`,
    );
    assert.equal(error.slug, slug, error.message);
    return true;
  };
}

function everywhere(seen: { readonly [platform: string]: string | null }, version: string | null): void {
  assert.ok(Object.keys(seen).length > 0);
  assert.deepEqual(seen, Object.fromEntries(Object.keys(seen).map((platform) => [platform, version])));
}

async function facts(harness: DesktopHarness, commit?: string): Promise<DesktopFacts> {
  const query = { releases: [], countRisk: false, ...(commit === undefined ? {} : { commit }) };
  return await harness.open().observe(harness.look(), query);
}

async function release(harness: DesktopHarness, version: string): Promise<DesktopTarget> {
  const target = await harness.prepare(version);
  const artifact = await harness.open().stage(harness.work(), target);
  const staged = { ...target, artifact };
  await harness.open().publish(harness.work(), staged);
  return staged;
}

/** What every provider of desktop releases must do. `make` gives an empty host. */
export function desktopContract(name: string, make: () => Promise<DesktopHarness>): void {
  describe(`${name}: desktop contract`, () => {
    test('an empty host offers nothing and tells versions by commit', async () => {
      await using harness = await make();
      const target = await harness.prepare('1.0.0');
      const seen = await facts(harness, target.commit);
      assert.equal(seen.offered, null);
      assert.deepEqual(seen.versions, {});
      assert.equal(seen.atCommit, '1.0.0');
      assert.equal(await harness.open().versionAt(harness.look(), target.commit), '1.0.0');
    });

    test('staging offers nothing; unstaging leaves nothing; publishing offers', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      const next = await harness.prepare('1.1.0');
      await harness.open().stage(harness.work(), next);
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      await harness.open().unstage(harness.work(), next);
      await harness.open().unstage(harness.work(), next);
      await assert.rejects(harness.open().publish(harness.work(), next), slugged('artifact-invalid'));
      const again = await harness.open().stage(harness.work(), next);
      assert.deepEqual(await harness.open().stage(harness.work(), next), again);
      await harness.open().publish(harness.work(), { ...next, artifact: again });
      await harness.open().publish(harness.work(), { ...next, artifact: again });
      everywhere(await harness.clientSees('1.0.0'), '1.1.0');
      everywhere(await harness.clientSees('1.1.0'), null);
      await harness.open().verifyOffered(harness.look(), '1.1.0');
      await assert.rejects(harness.open().verifyOffered(harness.look(), '1.0.0'), slugged('feed-mismatch'));
      await assert.rejects(harness.open().verifyOffered(harness.look(), null), slugged('feed-mismatch'));
      assert.deepEqual((await facts(harness)).versions['1.1.0'], { status: 'offered', commit: next.commit });
    });

    test('halt: nobody new gets it, older clients get the one before; unhalt offers it again', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      await release(harness, '1.1.0');
      for (let attempt = 0; attempt < 2; attempt++) await harness.open().halt(harness.work(), '1.1.0');
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      everywhere(await harness.clientSees('1.0.0'), null);
      everywhere(await harness.clientSees('1.1.0'), null);
      const halted = await facts(harness);
      assert.equal(halted.offered, '1.0.0');
      assert.equal(halted.versions['1.1.0']?.status, 'halted');
      await harness.open().verifyOffered(harness.look(), halted.offered);
      for (let attempt = 0; attempt < 2; attempt++) await harness.open().unhalt(harness.work(), '1.1.0');
      everywhere(await harness.clientSees('1.0.0'), '1.1.0');
    });

    test('halting the first version offers nothing, without an error in any client', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      await harness.open().halt(harness.work(), '1.0.0');
      everywhere(await harness.clientSees('0.9.0'), null);
      assert.equal((await facts(harness)).offered, null);
      await harness.open().verifyOffered(harness.look(), null);
      await assert.rejects(harness.open().verifyOffered(harness.look(), '1.0.0'), slugged('feed-mismatch'));
    });

    test('pull and unpull, repeated, and past a version that is not known', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      await release(harness, '1.1.0');
      for (let attempt = 0; attempt < 2; attempt++) {
        await harness.open().pull(harness.work(), '1.1.0', '1.0.0');
        everywhere(await harness.clientSees('0.9.0'), '1.0.0');
        everywhere(await harness.clientSees('1.1.0'), null);
        await harness.open().verifyOffered(harness.look(), '1.0.0');
      }
      assert.equal((await facts(harness)).versions['1.1.0']?.status, 'pulled');
      // A publish that never came to its effect is undone by a pull.
      await harness.open().pull(harness.work(), '1.2.0', '1.0.0');
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      await harness.open().unpull(harness.work(), '1.1.0');
      await harness.open().verifyOffered(harness.look(), '1.1.0');
      everywhere(await harness.clientSees('1.0.0'), '1.1.0');
      await harness.open().pull(harness.work(), '1.1.0', null);
      everywhere(await harness.clientSees('0.9.0'), null);
    });

    test('the standby hotfix moves every client on, and stays when the pull is repeated', async () => {
      await using harness = await make();
      const good = await release(harness, '1.0.0');
      await harness.prepareStandby('1.1.1', good.commit);
      await release(harness, '1.1.0');
      assert.deepEqual((await facts(harness)).standby, { version: '1.1.1', commit: good.commit });
      await harness.open().halt(harness.work(), '1.1.0');
      await harness.open().pull(harness.work(), '1.1.0', '1.0.0');
      everywhere(await harness.clientSees('1.1.0'), null);
      for (let attempt = 0; attempt < 2; attempt++) {
        await harness.open().publishStandby(harness.work(), '1.1.1');
        await harness.open().pull(harness.work(), '1.1.0', '1.0.0');
        await harness.open().verifyOffered(harness.look(), '1.1.1');
      }
      for (const current of ['0.9.0', '1.0.0', '1.1.0'])
        everywhere(await harness.clientSees(current), '1.1.1');
      everywhere(await harness.clientSees('1.1.1'), null);
      const after = await facts(harness);
      assert.equal(after.standby, null);
      assert.deepEqual(after.versions['1.1.1'], { status: 'offered', commit: good.commit });
    });

    test('what was taken in is read back; what was let go is not there', async () => {
      await using harness = await make();
      const next = await harness.prepare('1.0.0');
      const verify = () => harness.open().verifyStaged(harness.look(), next);
      await assert.rejects(verify(), slugged('artifact-invalid'));
      await harness.open().stage(harness.work(), next);
      assert.match((await verify()).observed, /1\.0\.0/);
      await harness.open().unstage(harness.work(), next);
      await assert.rejects(verify(), slugged('artifact-invalid'));
    });

    test('a standby handed over by hand replaces the one before; a lower one is refused and changes nothing', async () => {
      await using harness = await make();
      const good = await release(harness, '1.0.0');
      const bad = await release(harness, '1.1.0');
      const add = async (version: string, fence?: number) => {
        const standby = { folder: await harness.build(version), commit: good.commit };
        return await harness.open().addStandby(harness.work(fence), standby);
      };
      for (const version of ['1.1.1', '1.1.2']) {
        assert.deepEqual(await add(version, 3), { version });
        assert.deepEqual((await facts(harness)).standby, { version, commit: good.commit });
      }
      await assert.rejects(add('1.1.0', 3), slugged('artifact-invalid'));
      await assert.rejects(add('1.1.3', 2), slugged('fenced-out'));
      assert.deepEqual((await facts(harness)).standby, { version: '1.1.2', commit: good.commit });
      assert.deepEqual(await harness.open().standbyProblems(), []);
      everywhere(await harness.clientSees('1.0.0'), bad.version);
      await harness.open().publishStandby(harness.work(3), '1.1.2');
      everywhere(await harness.clientSees('1.1.0'), '1.1.2');
    });

    test('what clients would not take, or must not get, is refused and changes nothing', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      const bad = await release(harness, '1.1.0');
      const lower = await harness.prepare('1.0.5');
      await assert.rejects(harness.open().stage(harness.work(), lower), slugged('artifact-invalid'));
      const wrong = { ...(await harness.prepare('1.2.0')), version: '1.3.0' };
      await assert.rejects(harness.open().stage(harness.work(), wrong), slugged('artifact-invalid'));
      await assert.rejects(
        harness.open().publishStandby(harness.work(), '9.9.9'),
        slugged('artifact-invalid'),
      );
      await harness.open().pull(harness.work(), '1.1.0', '1.0.0');
      await assert.rejects(harness.open().publish(harness.work(), bad), slugged('artifact-invalid'));
      await harness.open().verifyOffered(harness.look(), '1.0.0');
    });

    test('work with a lower fence than has been seen is refused and changes nothing', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      const bad = await release(harness, '1.1.0');
      await harness.open().pull(harness.work(7), '1.1.0', '1.0.0');
      const late = harness.work(6);
      for (const attempt of [
        () => harness.open().stage(late, bad),
        () => harness.open().unstage(late, bad),
        () => harness.open().publish(late, bad),
        () => harness.open().halt(late, '1.0.0'),
        () => harness.open().unhalt(late, '1.1.0'),
        () => harness.open().pull(late, '1.0.0', null),
        () => harness.open().unpull(late, '1.1.0'),
      ]) {
        await assert.rejects(attempt, slugged('fenced-out'));
      }
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      await harness.open().unpull(harness.work(7), '1.1.0');
    });

    test('work that was sent before a higher fence was raised is refused', async () => {
      await using harness = await make();
      await release(harness, '1.0.0');
      for (const _ of [1, 2]) await harness.open().raiseFence(harness.work(6));
      await assert.rejects(harness.open().halt(harness.work(5), '1.0.0'), slugged('fenced-out'));
      await assert.rejects(harness.open().raiseFence(harness.work(5)), slugged('fenced-out'));
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      await harness.open().halt(harness.work(6), '1.0.0');
      everywhere(await harness.clientSees('0.9.0'), null);
    });

    test('a rehearsal does everything on a copy and leaves the live host alone', async () => {
      await using harness = await make();
      const good = await release(harness, '1.0.0');
      await harness.prepareStandby('1.1.1', good.commit);
      const next = await harness.prepare('1.1.0');
      const { port, dispose } = await harness.open().rehearsal(await harness.folder());
      const artifact = await port.stage(harness.work(), next);
      await port.publish(harness.work(), { ...next, artifact });
      await port.verifyOffered(harness.look(), '1.1.0');
      await port.halt(harness.work(), '1.1.0');
      await port.pull(harness.work(), '1.1.0', '1.0.0');
      await port.publishStandby(harness.work(), '1.1.1');
      await port.verifyOffered(harness.look(), '1.1.1');
      await port.unstage(harness.work(), next);
      const live = await facts(harness);
      assert.deepEqual(Object.keys(live.versions), ['1.0.0']);
      assert.deepEqual(live.standby, { version: '1.1.1', commit: good.commit });
      everywhere(await harness.clientSees('0.9.0'), '1.0.0');
      await dispose();
      await harness.open().verifyOffered(harness.look(), '1.0.0');
      await release(harness, '1.1.0');
      everywhere(await harness.clientSees('1.0.0'), '1.1.0');
    });
  });
}
