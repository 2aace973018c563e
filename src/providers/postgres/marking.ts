import { setTimeout as sleep } from 'node:timers/promises';
import type { Capture } from './capture.ts';
import { readCatalogue } from './captured-catalogue.ts';
import { type Connection, identifier, literal } from './connection.ts';
import { codeOf } from './slot-reader.ts';

/** Prefix of every logical message of ours. */
export const messagePrefix = 'unship';

export function markOf(key: string): string {
  return `migration:${key}`;
}

/**
 * Marks a session: what it commits from now on is the migration's own and is not carried over. Sessions, not files:
 * a migration may commit in its middle. Where the role may not set an origin, `markTransaction` has to be called in
 * each transaction; returns whether that is so.
 */
export async function markSession(
  connection: Connection,
  capture: Capture,
): Promise<'session' | 'transaction'> {
  if (capture.marks === 'message') return 'transaction';
  for (let attempt = 1; ; attempt += 1) {
    try {
      await connection.rows('SELECT pg_replication_origin_session_setup($1)', [capture.origin]);
      return 'session';
    } catch (error) {
      // The session before has ended, and the server has yet to notice. One at a time has an origin.
      if (codeOf(error) !== '55006' || attempt === 50) throw error;
      await sleep(100);
    }
  }
}

/** Lets the origin go, for the next session of the migration. */
export async function unmarkSession(connection: Connection, capture: Capture): Promise<void> {
  if (capture.marks === 'origin') await connection.run('SELECT pg_replication_origin_session_reset()');
}

/** In a transaction of the migration, at any place in it. */
export async function markTransaction(connection: Connection, capture: Capture): Promise<void> {
  if (capture.marks === 'message')
    await connection.rows('SELECT pg_logical_emit_message(true, $1, $2)', [
      messagePrefix,
      markOf(capture.key),
    ]);
}

/**
 * As the last thing before a migration's COMMIT: notes which column is called what from here on, and has the
 * application's writes to new tables captured from the first one on. A table that was rebuilt under its old name is
 * a new table.
 */
export async function beforeCommit(connection: Connection, capture: Capture): Promise<void> {
  const catalogue = await readCatalogue(connection);
  const published = await connection.rows<{ oid: number }>(
    `SELECT r.prrelid AS oid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1`,
    [capture.publication],
  );
  const known = new Set(published.map(({ oid }) => oid));
  for (const table of catalogue.tables.filter(({ oid }) => !known.has(oid))) {
    const name = identifier(table.schema, table.name);
    await connection.rows(
      `UPDATE unship.captures SET identities = identities || (
         SELECT jsonb_agg(jsonb_build_object('oid', c.oid::int8, 'identity', c.relreplident, 'index', null))
         FROM pg_class c WHERE c.oid = ${literal(name)}::regclass) WHERE key = $1`,
      [capture.key],
    );
    await connection.run(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
    await connection.run(`ALTER PUBLICATION ${identifier(capture.publication)} ADD TABLE ${name}`);
  }
  await connection.rows(
    'INSERT INTO unship.catalogues (key, lsn, catalogue) VALUES ($1, pg_current_wal_insert_lsn(), $2)',
    [capture.key, JSON.stringify(catalogue)],
  );
}
