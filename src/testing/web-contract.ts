import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isUnshipError } from '../domain/errors.ts';
import type { Release } from '../domain/release.ts';
import type { WorkContext } from '../surfaces/surface.port.ts';
import type { WebPort, WebTarget } from '../surfaces/web/web.port.ts';

/** A provider in a world of its own, with nothing released yet, and targets that are made to try it. */
export interface WebScenario {
  readonly port: WebPort;
  /** Name of the surface in releases. */
  readonly surface: string;
  /** At least three releases that work, ascending. */
  readonly good: readonly WebTarget[];
  /** A release whose build fails; null where the provider builds nothing. */
  readonly failsToBuild: WebTarget | null;
  /** A release that builds and is not healthy when started; null where nothing is started. */
  readonly failsToStart: WebTarget | null;
  /** A release whose commit does not exist. */
  readonly commitGone: WebTarget;
  /** Staged releases that `prune` keeps. */
  readonly keepOnDisk: number;
  work(fence: number, signal?: AbortSignal): WorkContext;
  /** What a visitor of the live address is served: the release's id; null when nothing answers. */
  visit(): Promise<string | null>;
  dispose(): Promise<void>;
}

/** Registers the cases that every web provider must pass. `make` is called anew for each. */
export function webContract(name: string, make: () => Promise<WebScenario>): void {
  describe(`web contract: ${name}`, () => {
    let scenario: WebScenario;
    let port: WebPort;
    beforeEach(async () => {
      scenario = await make();
      port = scenario.port;
    });
    afterEach(() => scenario.dispose());

    const good = (index: number): WebTarget => {
      const target = scenario.good[index];
      assert.ok(target, 'the scenario has three good releases');
      return target;
    };
    /** Stages, starts and switches; returns the target with its artifact. */
    const release = async (target: WebTarget, fence = 1): Promise<WebTarget> => {
      const context = scenario.work(fence);
      const staged = { ...target, artifact: await port.stage(context, target) };
      await port.start(context, staged);
      await port.switchTo(context, staged);
      return staged;
    };
    const readiness = async (target: WebTarget): Promise<string | undefined> => {
      const facts = await port.observe(scenario.work(1), [asRelease(scenario.surface, target)]);
      return facts.releases[target.release]?.readiness;
    };

    it('observes nothing live before the first release', async () => {
      const facts = await port.observe(scenario.work(1), [asRelease(scenario.surface, good(0))]);
      assert.equal(facts.kind, 'web');
      assert.equal(facts.live, null);
      assert.equal(facts.releases[good(0).release]?.readiness, 'rebuildable');
      assert.ok(facts.measurements.freeDiskBytes > 0);
    });

    it('brings a release live and sees it from outside', async () => {
      const staged = await release(good(0));
      assert.equal(await scenario.visit(), staged.release);
      const { observed } = await port.verifyLive(scenario.work(1), staged);
      assert.match(observed, new RegExp(staged.release));
      assert.equal((await port.observe(scenario.work(1), [])).live, staged.release);
    });

    it('does every call a second time without a second effect', async () => {
      const context = scenario.work(1);
      const first = await port.stage(context, good(0));
      assert.deepEqual(await port.stage(context, good(0)), first);
      const staged = { ...good(0), artifact: first };
      for (const _ of [1, 2]) await port.start(context, staged);
      for (const _ of [1, 2]) await port.switchTo(context, staged);
      for (const _ of [1, 2]) await port.verifyLive(context, staged);
      const other = await release(good(1));
      for (const _ of [1, 2]) await port.retire(context, staged, 'keep-warm');
      for (const _ of [1, 2]) await port.retire(context, staged, 'stop');
      for (const _ of [1, 2]) await port.unstage(context, staged);
      for (const _ of [1, 2]) await port.prune(context, [other.release]);
      assert.equal(await scenario.visit(), other.release);
    });

    it('goes back to the release before, and forward again', async () => {
      const first = await release(good(0));
      const second = await release(good(1));
      assert.equal(await scenario.visit(), second.release);
      for (const target of [first, second]) {
        await port.start(scenario.work(2), target);
        await port.switchTo(scenario.work(2), target);
        await port.verifyLive(scenario.work(2), target);
        assert.equal(await scenario.visit(), target.release);
      }
    });

    it('goes back to one that was stopped', async () => {
      const first = await release(good(0));
      await release(good(1));
      await port.retire(scenario.work(1), first, 'stop');
      assert.equal(await readiness(first), 'on-disk');
      await release(first, 2);
      assert.equal(await scenario.visit(), first.release);
    });

    it('goes back to one that must be built again', async () => {
      const first = await release(good(0));
      await release(good(1));
      await port.retire(scenario.work(1), first, 'stop');
      await port.unstage(scenario.work(1), first);
      assert.equal(await readiness(first), 'rebuildable');
      await release(first, 2);
      assert.equal(await scenario.visit(), first.release);
    });

    it('says when another release is live than should be', async () => {
      await release(good(0));
      const staged = { ...good(1), artifact: await port.stage(scenario.work(1), good(1)) };
      await assert.rejects(port.verifyLive(scenario.work(1), staged), slug('wrong-release-live'));
    });

    it('refuses work with a lower fence, and what is served stays', async () => {
      const first = await release(good(0), 5);
      const second = { ...good(1), artifact: await port.stage(scenario.work(5), good(1)) };
      await port.start(scenario.work(5), second);
      await assert.rejects(port.switchTo(scenario.work(4), second), slug('fenced-out'));
      assert.equal(await scenario.visit(), first.release);
      await port.switchTo(scenario.work(6), second);
      await assert.rejects(port.switchTo(scenario.work(5), first), slug('fenced-out'));
      assert.equal(await scenario.visit(), second.release);
    });

    it('refuses from the moment a higher fence is raised what was sent before it', async () => {
      const first = await release(good(0), 5);
      const second = { ...good(1), artifact: await port.stage(scenario.work(5), good(1)) };
      await port.start(scenario.work(5), second);
      for (const _ of [1, 2]) await port.raiseFence(scenario.work(6));
      await assert.rejects(port.switchTo(scenario.work(5), second), slug('fenced-out'));
      await assert.rejects(port.raiseFence(scenario.work(5)), slug('fenced-out'));
      assert.equal(await scenario.visit(), first.release);
      await port.switchTo(scenario.work(6), second);
      assert.equal(await scenario.visit(), second.release);
    });

    it('touches nothing when the commit is gone', async () => {
      const first = await release(good(0));
      await assert.rejects(port.stage(scenario.work(1), scenario.commitGone), slug('commit-gone'));
      const facts = await port.observe(scenario.work(1), [asRelease(scenario.surface, scenario.commitGone)]);
      const found = facts.releases[scenario.commitGone.release];
      assert.equal(found?.readiness, 'gone');
      assert.ok(found.reason, 'says why');
      assert.equal(await scenario.visit(), first.release);
    });

    it('touches nothing when a build fails, and leaves nothing of it', async () => {
      const target = scenario.failsToBuild;
      if (target === null) return;
      const first = await release(good(0));
      await assert.rejects(port.stage(scenario.work(1), target), slug('build-failed'));
      assert.equal(await readiness(target), 'rebuildable');
      assert.equal(await scenario.visit(), first.release);
    });

    it('touches nothing when the target is unhealthy', async () => {
      const target = scenario.failsToStart;
      if (target === null) return;
      const first = await release(good(0));
      const staged = { ...target, artifact: await port.stage(scenario.work(1), target) };
      await assert.rejects(port.start(scenario.work(1), staged), slug('target-unhealthy'));
      assert.equal(await readiness(staged), 'on-disk');
      assert.equal(await scenario.visit(), first.release);
    });

    it('never removes what serves', async () => {
      const first = await release(good(0));
      await port.unstage(scenario.work(1), first);
      assert.equal(await scenario.visit(), first.release);
      await port.verifyLive(scenario.work(1), first);
    });

    it('prunes the oldest, never a protected one or what serves', async () => {
      assert.ok(scenario.good.length > scenario.keepOnDisk, 'the scenario has more releases than are kept');
      const staged: WebTarget[] = [];
      for (const target of scenario.good) {
        staged.push({ ...target, artifact: await port.stage(scenario.work(1), target) });
      }
      const [oldest, second] = [good(0), good(1)];
      await release(oldest);
      assert.deepEqual(
        await port.prune(
          scenario.work(1),
          scenario.good.map((target) => target.release),
        ),
        [],
      );
      const removed = await port.prune(scenario.work(1), []);
      assert.equal(removed.length, scenario.good.length - scenario.keepOnDisk - 1);
      assert.ok(!removed.includes(oldest.release));
      if (removed.includes(second.release)) assert.equal(await readiness(second), 'rebuildable');
      assert.equal(await scenario.visit(), oldest.release);
    });

    it('holds requests back, or says that it can not', async () => {
      const first = await release(good(0));
      const { canHold } = await port.observe(scenario.work(1), []);
      if (!canHold) {
        await assert.rejects(port.hold(scenario.work(1)), slug('hold-unsupported'));
        return;
      }
      await port.hold(scenario.work(1));
      let answered = false;
      const waiting = scenario.visit().finally(() => {
        answered = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(answered, false);
      await port.resume(scenario.work(1));
      assert.equal(await waiting, first.release);
    });

    it('tells how a release stands', async () => {
      const starts = scenario.failsToStart !== null;
      const context = scenario.work(1);
      await release(good(0));
      assert.deepEqual(await port.inspect(context, good(1)), { staged: false, running: false });
      const second = { ...good(1), artifact: await port.stage(context, good(1)) };
      assert.deepEqual(await port.inspect(context, second), { staged: true, running: false });
      await port.start(context, second);
      assert.deepEqual(await port.inspect(context, second), { staged: true, running: starts });
      await port.retire(context, second, 'stop');
      assert.deepEqual(await port.inspect(context, second), { staged: true, running: false });
      await port.unstage(context, second);
      assert.deepEqual(await port.inspect(context, second), { staged: false, running: false });
    });

    it('tells whether requests wait', async () => {
      const context = scenario.work(1);
      const first = await release(good(0));
      assert.equal(await port.isHolding(context), false);
      if (!(await port.observe(context, [])).canHold) return;
      for (const end of [() => port.resume(context), () => port.switchTo(context, first)]) {
        await port.hold(context);
        assert.equal(await port.isHolding(context), true);
        await end();
        assert.equal(await port.isHolding(context), false);
      }
    });

    it('rehearses on a copy without touching what is live', async () => {
      const first = await release(good(0));
      const folder = await mkdtemp(join(tmpdir(), 'unship-rehearsal-'));
      const rehearsal = await port.rehearsal(folder, { UNSHIP_REHEARSAL: '1' });
      try {
        for (const target of [good(1), first]) {
          const context = scenario.work(1);
          const staged = { ...target, artifact: await rehearsal.port.stage(context, target) };
          await rehearsal.port.start(context, staged);
          await rehearsal.port.switchTo(context, staged);
          await rehearsal.port.verifyLive(context, staged);
          assert.equal((await rehearsal.port.observe(context, [])).live, target.release);
          assert.equal(await scenario.visit(), first.release);
          await port.verifyLive(context, first);
        }
        await rehearsal.port.unstage(scenario.work(1), first);
        assert.equal(await rehearsal.port.prune(scenario.work(1), []).then((list) => list.length), 0);
      } finally {
        await rehearsal.dispose();
        await rm(folder, { recursive: true, force: true });
      }
      assert.equal(await scenario.visit(), first.release);
      await port.verifyLive(scenario.work(1), first);
    });

    it('stops when it is told to', async () => {
      const first = await release(good(0));
      const stopped = scenario.work(1, AbortSignal.abort(new Error('told to stop')));
      await assert.rejects(port.stage(stopped, good(1)), /told to stop/);
      assert.notEqual(await readiness(good(1)), 'on-disk');
      assert.equal(await scenario.visit(), first.release);
    });
  });
}

function slug(wanted: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isUnshipError(error), `an error of the catalogue, not ${String(error)}`);
    assert.equal(error.slug, wanted, error.message);
    return true;
  };
}

function asRelease(surface: string, { release, commit, artifact }: WebTarget): Release {
  return {
    id: release,
    createdAt: 0,
    createdBy: 'contract',
    commit,
    deployment: 'superseded',
    health: 'good',
    surfaces: {
      [surface]: { kind: 'web', commit, artifact, label: release, since: release },
    },
    configurationHash: '',
  };
}
