import assert from 'node:assert/strict';
import type { Plan } from '../../src/domain/plan.ts';
import { endedStatuses, type RunStatus } from '../../src/domain/run.ts';
import { Killed } from '../support/virtual-time.ts';
import { type Process, planOf, releasePlan, rollbackPlan, World } from './toy.ts';

export interface Story {
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

export const stories: readonly Story[] = [
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
export async function survive(
  story: Story,
  places: readonly number[],
  host: string,
  makeWorld: () => World = () => new World(),
): Promise<void> {
  using world = makeWorld();
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
export async function placesOf(story: Story): Promise<number> {
  using world = new World();
  story.prepare(world);
  const process = world.process();
  await process.run(story.plan());
  return process.self.points.length;
}
