import { DatabaseSync } from 'node:sqlite';
import { UnshipError } from '../domain/errors.ts';
import { quoted } from './explain-postgres-error.ts';
import type { PostgresSession } from './postgres-session.ts';

/** In an order in which each finds what it refers to. The lease is given anew. */
const tables = [
  'releases',
  'quarantine',
  'configurations',
  'plans',
  'places',
  'runs',
  'journal',
  'signals',
  'incidents',
] as const;

/** Tables whose rows number themselves. */
const numbered = ['runs', 'incidents'] as const;

type Row = { readonly [column: string]: string | number | null };

/**
 * Takes the history of a file along into a shared state that has none yet: as a whole, or not at all. The file stays as
 * it is. Byte by byte the same, it keeps its chains. Returns whether anything was taken.
 */
export async function carryOver(file: string, session: PostgresSession, now: number): Promise<boolean> {
  if (!(await isEmpty(session))) return false;
  await session.begin();
  try {
    // Another process may have been first.
    const isFirst = await isEmpty(session);
    if (isFirst) await copyAll(file, session, now);
    await session.commit();
    return isFirst;
  } catch (error) {
    await session.rollback();
    throw error;
  }
}

async function isEmpty(session: PostgresSession): Promise<boolean> {
  const { rows } = await session.query(
    'select exists (select from releases) or exists (select from runs) as used',
  );
  return rows[0].used === false;
}

async function copyAll(file: string, session: PostgresSession, now: number): Promise<void> {
  // Not read-only: whoever comes first after a crash has to read its log.
  const database = new DatabaseSync(file);
  try {
    database.exec('pragma busy_timeout = 5000; begin immediate');
    const lease = database.prepare('select owner, fence, expires_at from lease').get();
    if (lease?.owner !== null && Number(lease?.expires_at) > now) {
      throw new UnshipError('busy', {
        happened: `somebody is at work with the history in ${file}`,
        done: 'nothing; it was not taken along',
        next: 'wait for it, then repeat',
      });
    }
    for (const table of tables) {
      const order = table === 'configurations' ? ' order by rowid' : '';
      for (const row of database.prepare(`select * from ${table}${order}`).all()) {
        await insert(session, table, row as Row);
      }
    }
    for (const table of numbered) {
      await session.query(
        `select setval(pg_get_serial_sequence('${table}', 'id'), max(id)) from ${table} having count(*) > 0`,
      );
    }
    await session.query('update lease set fence = greatest(fence, $1)', [lease?.fence]);
  } finally {
    database.close();
  }
}

async function insert(session: PostgresSession, table: string, row: Row): Promise<void> {
  const columns = Object.keys(row).map(quoted).join(', ');
  const places = Object.keys(row).map((_column, index) => `$${index + 1}`);
  const text = `insert into ${table} (${columns}) overriding system value values (${places.join(', ')})`;
  await session.query(text, Object.values(row));
}
