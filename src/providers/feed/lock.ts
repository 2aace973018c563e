import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';

/** What is done under the lock takes milliseconds; who waits longer stands before a process that hangs. */
const patienceMs = 10_000;

/**
 * Runs `work` while no other process on this host does, so that nothing comes between looking at the fence and
 * acting on it. An empty SQLite file is the lock: the operating system lets go of it when its holder dies, and
 * nobody has to tell a stale lock from a held one. Throws `busy`.
 */
export async function exclusively<T>(
  folder: string,
  context: WorkContext,
  work: () => Promise<T>,
): Promise<T> {
  const { DatabaseSync } = await import('node:sqlite');
  const { clock } = context.runtime;
  const until = clock.monotonic() + patienceMs;
  const database = new DatabaseSync(join(folder, 'lock.db'), { timeout: 0 });
  try {
    while (!tryLock(database)) {
      context.signal.throwIfAborted();
      if (clock.monotonic() > until) {
        throw new UnshipError('busy', {
          happened: 'another process is changing the desktop feed and does not end',
          done: 'this change of the feed was not begun',
          next: 'end the hanging unship process, then unship resume',
        });
      }
      await clock.sleep(20, context.signal);
    }
    return await work();
  } finally {
    database.close();
  }
}

function tryLock(database: import('node:sqlite').DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    // SQLITE_BUSY, and SQLITE_BUSY_RECOVERY and the like: the low byte is 5.
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === 5) return false;
    throw error;
  }
}
