import type { World } from '../world.ts';

/** A world in which nobody runs any more, and what was agreed to in it. */
export interface Standstill {
  readonly world: World;
  /** Rows that somebody agreed to lose. */
  readonly agreed: number;
}

/**
 * Everything from which it goes on. Where two are the same to the last word and the same millisecond, what follows
 * is the same: behind one effect and before the next there is mostly nothing.
 */
export function fingerprint({ world, agreed }: Standstill): string {
  const { web, database, desktop, disk, processes } = world;
  const { content } = disk;
  return JSON.stringify([
    world.now(),
    agreed,
    [web.live, [...web.staged], [...web.running], web.heldBy?.owner.pid, web.fence],
    [database.applied, [...database.rows], [...database.overwritten.keys()], [...database.backups.keys()]],
    [[...database.lost], database.restored, database.fence],
    [desktop.state, [...desktop.staged], desktop.standby],
    [...content.releases.values()],
    content.runs.map(({ head, summary }) => [head, summary.status]),
    [content.quarantine, content.configurations.length, [...content.plans], content.fence, content.lease],
    [content.signals, content.incidents],
    [world.acknowledged.length, world.messages.map(({ key }) => key), [...world.drafts]],
    processes.map(({ owner }) => [owner.pid, owner.host]),
  ]);
}
