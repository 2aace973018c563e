import type { PlannedFault } from '../faults.ts';
import { Random } from '../random.ts';
import { World } from '../world.ts';

/** Nothing is left to chance where every place is tried: only how long an answer takes differs, always in the same way. */
export class Steady extends Random {
  /** Processes start on this machine, or each on one of its own. */
  elsewhere = false;

  override chance(): boolean {
    return !this.elsewhere;
  }
}

function fill<K, V>(into: Map<K, V>, from: ReadonlyMap<K, V>): void {
  for (const [key, value] of from) into.set(key, value);
}

/**
 * The same world at the same moment, for another course of events: everything that outlives its processes. The one
 * that it is made from has ended and stays as it is, so that many can be made of it.
 */
export function continued(before: World, random: Random, planned: readonly PlannedFault[]): World {
  const world = new World(random, planned, before.definition);
  world.time.step(before.now() - world.now());
  fill(world.commits, before.commits);
  fill(world.migrations, before.migrations);
  world.head = before.head;
  fill(world.web.staged, before.web.staged);
  for (const release of before.web.running) world.web.running.add(release);
  world.web.live = before.web.live;
  world.web.heldBy = before.web.heldBy;
  world.web.fence = before.web.fence;
  world.database.applied = before.database.applied;
  world.database.rows = new Map(before.database.rows);
  fill(world.database.overwritten, before.database.overwritten);
  fill(world.database.backups, before.database.backups);
  for (const row of before.database.lost) world.database.lost.add(row);
  world.database.restored = before.database.restored;
  world.database.fence = before.database.fence;
  world.desktop.state = before.desktop.state;
  fill(world.desktop.staged, before.desktop.staged);
  world.desktop.standby = before.desktop.standby;
  world.acknowledged.push(...before.acknowledged);
  world.messages.push(...before.messages);
  fill(world.drafts, before.drafts);
  world.served.push(...before.served);
  // All of them dead: who they were is what the others ask.
  world.processes.push(...before.processes);
  world.disk.tamper(() => before.disk.content);
  return world;
}
