import { UnshipError } from '../../domain/errors.ts';
import type { DataAtRisk } from '../../domain/facts.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { BackupRecord } from './backup-record.ts';
import { readCatalogue } from './catalogue.ts';
import { type Connection, identifier } from './connection.ts';
import { type Core, exactTexts, maintenanceOf, nameOf, open } from './core.ts';
import { raiseFence } from './fence.ts';
import { countRestoreLoss } from './restore-risk.ts';
import { limits } from './session.ts';

export interface Swap {
  /** The database that becomes the live one. */
  readonly side: string;
  /** What the live one is called from then on. */
  readonly kept: string;
  readonly record: BackupRecord;
}

/** Writers stop at their next write, readers go on: what is counted now is what will be lost. */
async function stopWriters(context: WorkContext, core: Core, watcher: Connection): Promise<void> {
  await watcher.run(limits(core));
  // Through the count and the swap; nothing of this session is ever committed.
  await watcher.run('SET idle_in_transaction_session_timeout = 60000; BEGIN');
  await watcher.run(exactTexts);
  await raiseFence(watcher, context.fence);
  for (const table of (await readCatalogue(watcher)).values())
    await watcher.run(`LOCK TABLE ${table.sql} IN SHARE MODE`);
  const [prepared] = await watcher.rows<{ n: string }>(
    'SELECT count(*) AS n FROM pg_prepared_xacts WHERE database = current_database()',
  );
  if (Number(prepared?.n ?? 0) === 0) return;
  throw new UnshipError('database-locked', {
    happened: `${prepared?.n} prepared transactions are neither committed nor rolled back (pg_prepared_xacts)`,
    done: 'nothing was changed',
  });
}

interface Others {
  readonly held: boolean;
  readonly ended: string;
  readonly left: string;
}

/** Ends everybody's sessions on the live database but the watcher's. */
async function endSessions(
  helper: Connection,
  live: string,
  watcher: number,
  renamer: number,
): Promise<Others> {
  const [row] = await helper.rows<Others & { [column: string]: unknown }>(
    `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.objid WHERE l.locktype = 'object'
         AND l.classid = 'pg_database'::regclass AND d.datname = $1 AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid = $3) AS held,
       count(*) FILTER (WHERE pg_terminate_backend(pid)) AS ended, count(*) AS left
     FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND backend_type IN ('client backend', 'walsender')`,
    [live, watcher, renamer],
  );
  return row ?? { held: false, ended: '0', left: '0' };
}

async function pidOf(connection: Connection): Promise<number> {
  const [row] = await connection.rows<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return row?.pid ?? 0;
}

/**
 * Puts `side` in the live database's place. Both renames are one transaction: whenever this process dies, there is a
 * live database under the live name, and it lets everybody in. The first rename takes the lock that every new session
 * has to pass, so that who comes meanwhile waits and finds the other database; it goes through when nobody is left.
 *
 * @param decide called with the exact loss while nobody can write; throws to leave all as it is
 */
export async function swap(
  context: WorkContext,
  core: Core,
  { side, kept, record }: Swap,
  decide: (loss: DataAtRisk) => Promise<void>,
): Promise<void> {
  const live = nameOf(core);
  await using watcher = await open(core, 'restore');
  await stopWriters(context, core, watcher);
  await decide(await countRestoreLoss(context, core, watcher, record));
  await using renamer = await open(core, 'restore', maintenanceOf(core));
  await using helper = await open(core, 'restore', maintenanceOf(core));
  await renamer.run(`${limits(core)}; BEGIN`);
  const pids = [await pidOf(watcher), await pidOf(renamer)] as const;
  let hasEnded = false;
  const renamed = renamer
    .run(`ALTER DATABASE ${identifier(live)} RENAME TO ${identifier(kept)}`)
    .finally(() => {
      hasEnded = true;
    });
  renamed.catch(() => {});
  await leaveAlone(context, helper, live, pids, () => hasEnded);
  await watcher[Symbol.asyncDispose]();
  // Somebody who had come in before the lock was there.
  while (!hasEnded) {
    await endSessions(helper, live, ...pids);
    await context.runtime.clock.sleep(20);
  }
  await renamed;
  context.runtime.faults.point('postgres.restore.renaming');
  await renamer.run(`ALTER DATABASE ${identifier(side)} RENAME TO ${identifier(live)}`);
  context.runtime.faults.point('postgres.restore.renamed');
  await renamer.run('COMMIT');
}

/** Until the rename's lock is there and nobody but the watcher is left. */
async function leaveAlone(
  context: WorkContext,
  helper: Connection,
  live: string,
  pids: readonly [watcher: number, renamer: number],
  hasEnded: () => boolean,
): Promise<void> {
  while (!hasEnded()) {
    const { held, left } = await endSessions(helper, live, ...pids);
    if (held && Number(left) === 0) return;
    await context.runtime.clock.sleep(20);
  }
}
