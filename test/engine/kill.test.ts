import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Plan } from '../../src/domain/plan.ts';
import { endedStatuses, type RunStatus } from '../../src/domain/run.ts';
import { Killed } from '../support/virtual-time.ts';
import { type Process, planOf, releasePlan, rollbackPlan, World } from './toy.ts';

interface Story {
  readonly name: string;
  plan(): Plan;
  prepare(world: World): void;
  readonly ends: RunStatus;
  /** Effects that are there at the end. */
  readonly remain: readonly string[];
}

const broken = new Error('the live address answers with another release');

function failSwitch(world: World): void {
  world.behaviours.set('web.switch', async (_context, part) => {
    if (part === 'verify') throw broken;
  });
}

const rollbackSteps = rollbackPlan().steps.map((step) => step.id);
const releaseSteps = releasePlan().steps.map((step) => step.id);

const stories: readonly Story[] = [
  { name: 'a rollback', plan: rollbackPlan, prepare: () => {}, ends: 'done', remain: rollbackSteps },
  { name: 'a release', plan: releasePlan, prepare: () => {}, ends: 'done', remain: releaseSteps },
  { name: 'a release that is undone', plan: releasePlan, prepare: failSwitch, ends: 'undone', remain: [] },
  {
    name: 'a release that its watch stops',
    plan: () =>
      planOf('release', [
        { surface: 'web', action: 'web.stage' },
        { surface: 'web', action: 'web.switch', after: ['web.stage'] },
        { action: 'unship.watch', after: ['web.switch'], onFailure: 'stop' },
      ]),
    prepare: (world) =>
      world.behaviours.set('unship.watch', async (_context, part) => {
        if (part === 'apply') throw broken;
      }),
    ends: 'failed',
    remain: ['web.stage', 'web.switch'],
  },
];

/** Does the work in this process until it ends or the process dies at its place. */
async function work(process: Process, plan: Plan): Promise<RunStatus | 'killed'> {
  const attempt = async (): Promise<RunStatus> => {
    const [known] = await process.store.runs(1);
    if (known === undefined) return (await process.run(plan)).status;
    return endedStatuses.has(known.status) ? known.status : (await process.resume(known.id)).status;
  };
  const working = attempt().catch((error: unknown) => {
    if (!process.self.alive || error instanceof Killed) return 'killed' as const;
    throw error;
  });
  const status = await Promise.race([working, process.self.killed.then(() => 'killed' as const)]);
  return process.self.alive ? status : 'killed';
}

/** Lets one process after another die at its place, then one end the work, and tells how that ended. */
async function survive(story: Story, places: readonly number[], host: string): Promise<void> {
  using world = new World();
  story.prepare(world);
  const plan = story.plan();
  let status: RunStatus | 'killed' = 'killed';
  for (const place of [...places, Number.POSITIVE_INFINITY]) {
    const process = world.process(host);
    process.self.killAt(place);
    // On another host nobody sees that it died: the next one waits for its lease to expire.
    let held = await process.store.lease();
    while (host !== 'here' && held !== undefined && held.expiresAt > world.time.now()) {
      await world.time.sleep(1000);
      held = await process.store.lease();
    }
    status = await work(process, plan);
    if (status === 'killed') continue;
    const [run] = await process.store.runs(5);
    const entries = await process.store.journal(run?.id ?? 0);
    assert.ok(entries.length > 0);
    break;
  }
  assert.equal(status, story.ends);
  assert.deepEqual([...world.done].sort(), [...story.remain].sort());
  const twice = world.effects.filter((effect, index) => world.effects.indexOf(effect) !== index);
  assert.deepEqual(twice, [], 'an effect happened twice');
}

/** Number of places that a process passes which is not killed. */
async function placesOf(story: Story): Promise<number> {
  using world = new World();
  story.prepare(world);
  const process = world.process();
  await process.run(story.plan());
  return process.self.points.length;
}

for (const story of stories) {
  describe(`${story.name}, killed`, () => {
    test('at any place, ends as if nothing had been', async () => {
      const places = await placesOf(story);
      assert.ok(places > 20, `only ${places} places`);
      for (let place = 1; place <= places; place += 1) {
        await survive(story, [place], place % 4 === 0 ? 'elsewhere' : 'here').catch((error: unknown) => {
          throw new Error(`killed at place ${place} of ${places}`, { cause: error });
        });
      }
    });

    test('at one place, and resumed and killed again, and again', async () => {
      const places = await placesOf(story);
      for (let round = 0; round < 25; round += 1) {
        const chosen = [1, 2, 3].map((factor) => 3 + ((round * 7919 * factor + 104_729 * factor) % places));
        await survive(story, chosen, 'here').catch((error: unknown) => {
          throw new Error(`killed at places ${chosen.join(', ')} of ${places}`, { cause: error });
        });
      }
    });
  });
}
