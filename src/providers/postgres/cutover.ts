import { setTimeout as sleep } from 'node:timers/promises';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import { type Connection, identifier } from './connection.ts';
import type { SalvageNames } from './side-database.ts';

export type Standing =
  /** The live database is the bad one; nothing is switched. */
  | 'not-switched'
  /** As before, but closed to the application: somebody was killed in the middle. */
  | 'closed'
  /** The restored database is the live one, the bad one is kept. */
  | 'switched'
  /** The bad one is live again, the restored one is kept. */
  | 'undone';

interface DatabaseRow {
  readonly name: string;
  readonly open: boolean;
}

/**
 * Where a switch stands. Both renames are one transaction, so the names alone tell it: whoever goes on after a kill
 * needs no other record.
 */
export async function whereItStands(admin: Connection, names: SalvageNames): Promise<Standing> {
  const rows = await admin.rows<DatabaseRow>(
    'SELECT datname AS name, datallowconn AS open FROM pg_database WHERE datname = ANY ($1)',
    [[names.live, names.kept, names.undone]],
  );
  const has = (name: string): boolean => rows.some((row) => row.name === name);
  if (has(names.undone)) return 'undone';
  if (has(names.kept)) return 'switched';
  return rows.find(({ name }) => name === names.live)?.open === false ? 'closed' : 'not-switched';
}

export interface Limits {
  /** Longest that the application may be kept out, in ms. */
  readonly blockedMs: number;
}

/** Nobody new gets in, ourselves included: what we need is opened before. */
export async function close(admin: Connection, database: string): Promise<void> {
  await admin.run(`ALTER DATABASE ${identifier(database)} ALLOW_CONNECTIONS false`);
}

export async function reopen(admin: Connection, database: string): Promise<void> {
  await admin.run(`ALTER DATABASE ${identifier(database)} ALLOW_CONNECTIONS true`);
}

/** Ends every session but ours and waits until they are gone. Throws `cutover-not-reached` when one stays. */
export async function endSessions(
  admin: Connection,
  database: string,
  ours: readonly number[],
  until: number,
): Promise<void> {
  const refused = new Map<number, string>();
  for (;;) {
    const others = await admin.rows<{ pid: number; who: string; kind: string }>(
      `SELECT pid, concat_ws(' ', usename, application_name, client_addr) AS who, backend_type AS kind
       FROM pg_stat_activity WHERE datname = $1 AND pid <> ALL ($2::int[])`,
      [database, ours],
    );
    // Autovacuum gives way by itself when a database is renamed.
    const sessions = others.filter(({ kind }) => kind !== 'autovacuum worker');
    if (sessions.length === 0) return;
    if (performance.now() > until) {
      const who = sessions.map(({ pid, who: name }) => `${pid} (${name}) ${refused.get(pid) ?? ''}`.trim());
      throw notReached(`${sessions.length} sessions of ${database} did not end: ${who.join(', ')}`);
    }
    for (const { pid } of sessions) {
      await admin
        .rows('SELECT pg_terminate_backend($1)', [pid])
        .catch((error: unknown) => refused.set(pid, messageOf(error)));
    }
    await sleep(5);
  }
}

/** Prepared transactions outlive their sessions and would commit after the switch, into the database set aside. */
export async function requireNonePrepared(admin: Connection, database: string): Promise<void> {
  const prepared = await admin.rows<{ gid: string; owner: string }>(
    'SELECT gid, owner FROM pg_prepared_xacts WHERE database = $1',
    [database],
  );
  if (prepared.length === 0) return;
  const which = prepared.map(({ gid, owner }) => `${gid} (${owner})`).join(', ');
  throw notReached(
    `${prepared.length} two-phase transactions are prepared and not ended: ${which}`,
    'COMMIT PREPARED or ROLLBACK PREPARED them, then unship resume',
  );
}

export function notReached(happened: string, next?: string): UnshipError {
  return new UnshipError('cutover-not-reached', {
    happened,
    done: 'the live database was opened again; nothing was switched',
    ...(next === undefined ? {} : { next }),
  });
}

/**
 * Gives the live name to another database. One transaction: either both names are changed or none is. The one that is
 * set aside can be connected to, under its new name.
 */
export async function swapNames(
  admin: Connection,
  names: { readonly live: string; readonly aside: string; readonly next: string },
  until: number,
): Promise<void> {
  for (;;) {
    const left = Math.max(50, Math.round(until - performance.now()));
    try {
      await admin.run(
        `BEGIN; SET LOCAL statement_timeout = ${left};
         ALTER DATABASE ${identifier(names.live)} RENAME TO ${identifier(names.aside)};
         ALTER DATABASE ${identifier(names.next)} RENAME TO ${identifier(names.live)};
         ALTER DATABASE ${identifier(names.aside)} ALLOW_CONNECTIONS true;
         ALTER DATABASE ${identifier(names.live)} ALLOW_CONNECTIONS true;
         COMMIT`,
      );
      return;
    } catch (error) {
      await admin.run('ROLLBACK');
      const isUsed = (error as { readonly code?: string }).code === '55006';
      if (!isUsed || performance.now() > until)
        throw notReached(`the databases could not be renamed: ${messageOf(error)}`);
      await sleep(20);
    }
  }
}

/** Whatever goes wrong before the renames: the live database is opened to the application again. */
export async function whileClosed<T>(
  admin: Connection,
  database: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    await close(admin, database);
    return await work();
  } catch (error) {
    await reopen(admin, database);
    throw isUnshipError(error) ? error : notReached(messageOf(error));
  }
}
