import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { Connection } from './connection.ts';
import { type Core, open } from './core.ts';
import { raiseFence } from './fence.ts';

/** What the server said, as node-postgres tells it. */
interface ServerError {
  readonly code: string;
  readonly message: string;
  readonly position?: string;
  readonly where?: string;
  readonly detail?: string;
}

export function serverError(error: unknown): ServerError | undefined {
  const told = error as Partial<ServerError> | null;
  return typeof told?.code === 'string' && /^[0-9A-Z]{5}$/.test(told.code)
    ? (told as ServerError)
    : undefined;
}

/** Deadlock, lock time-out, serialization: nothing happened, and another attempt may get through. */
const contended: ReadonlySet<string> = new Set(['40P01', '55P03', '40001']);

export function isContended(error: unknown): boolean {
  return contended.has(serverError(error)?.code ?? '');
}

/** Nothing of a process that is dead or frozen may come later: the port's promise is three seconds. */
const longestSilenceMs = 3000;

/** A long statement ends soon after its client. Servers on some systems can't see that, and refuse the setting. */
const noticeTheDead = `DO $$ BEGIN PERFORM set_config('client_connection_check_interval', '1000', false);
    EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$`;

/**
 * The limits under which the live database is changed. Said again after statements of others, which may set their own:
 * pg_dump writes `SET lock_timeout = 0` into every file.
 */
export function limits(core: Core): string {
  return `SET lock_timeout = ${core.lockMs}; SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = ${longestSilenceMs}; SET client_min_messages = warning; ${noticeTheDead}`;
}

/** One transaction on the live database, under our fence. Asks again where a lock could not be had in time. */
export async function changeLive<T>(
  context: WorkContext,
  core: Core,
  purpose: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { clock } = context.runtime;
  const begun = clock.monotonic();
  for (let attempt = 0; ; attempt += 1) {
    context.signal.throwIfAborted();
    try {
      return await once(context, core, purpose, work);
    } catch (error) {
      if (!isContended(error)) throw explained(error);
      if (clock.monotonic() - begun > core.patienceMs) throw await locked(core, error);
      // Longer from time to time, so that what waits behind our request gets through in between.
      await clock.sleep(Math.min(100 * 2 ** Math.min(attempt, 4), 1500), context.signal);
    }
  }
}

async function once<T>(
  context: WorkContext,
  core: Core,
  purpose: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  await using connection = await open(core, purpose);
  const end = (): void => void connection.client.end().catch(() => {});
  context.signal.addEventListener('abort', end, { once: true });
  try {
    await connection.run(limits(core));
    await connection.run('BEGIN');
    await raiseFence(connection, context.fence);
    const result = await work(connection);
    await connection.run('COMMIT');
    return result;
  } catch (error) {
    context.signal.throwIfAborted();
    await connection.run('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    context.signal.removeEventListener('abort', end);
  }
}

async function locked(core: Core, cause: unknown): Promise<UnshipError> {
  const holders = await whoIsLong(core).catch(() => '');
  return new UnshipError('database-locked', {
    happened: `no lock could be had within ${Math.round(core.patienceMs / 1000)} s: ${messageOf(cause)}${holders}`,
    done: 'nothing was changed',
    cause,
  });
}

async function whoIsLong(core: Core): Promise<string> {
  await using connection = await open(core, 'look');
  const rows = await connection.rows<{ pid: number; name: string; s: string }>(
    `SELECT pid, coalesce(nullif(application_name, ''), usename::text, '?') AS name, round(extract(epoch FROM now() - xact_start))::text AS s
     FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
     ORDER BY xact_start LIMIT 3`,
  );
  if (rows.length === 0) return '';
  return `; open transactions: ${rows.map(({ pid, name, s }) => `${name} (pid ${pid}, ${s} s)`).join(', ')}`;
}

/** Errors of the server that are nobody's statement's fault, in words that say what to do. */
export function explained(error: unknown): unknown {
  if (isUnshipError(error)) return error;
  const told = serverError(error);
  if (told === undefined) {
    const code = (error as { readonly code?: unknown } | null)?.code;
    const isGone =
      code === 'ECONNRESET' || code === 'EPIPE' || /Connection terminated/.test(messageOf(error));
    if (!isGone) return error;
    return new UnshipError('database-unreachable', {
      happened: `the session ended in the middle: ${messageOf(error)}`,
      done: 'its transaction ended with it',
      cause: error,
    });
  }
  const details = { happened: told.message, done: 'nothing was changed', cause: error };
  if (told.code === '53100') return new UnshipError('disk-full', details);
  if (told.code === '42501') return new UnshipError('database-denied', { ...details, next: deniedNext });
  if (told.code.startsWith('57P') || told.code.startsWith('08') || told.code.startsWith('25P03'))
    return new UnshipError('database-unreachable', { ...details, done: 'its transaction ended with it' });
  return error;
}

const deniedNext = 'unship doctor names the right that is missing, with the statement that grants it';
