import type { Table } from './catalogue.ts';
import { type Connection, identifier } from './connection.ts';

const enabling = { O: 'ENABLE', A: 'ENABLE ALWAYS', R: 'ENABLE REPLICA' } as const;

/**
 * The application's triggers stay silent: what is given back was there before, and is no new event. Rules such as
 * foreign keys hold as ever. In the caller's transaction, so that nobody else ever sees them off.
 */
export async function withoutTriggers(
  connection: Connection,
  table: Table,
  work: () => Promise<void>,
): Promise<void> {
  const triggers = await connection.rows<{ name: string; enabled: keyof typeof enabling }>(
    `SELECT tgname AS name, tgenabled AS enabled FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal AND tgenabled IN ('O', 'A')`,
    [table.oid],
  );
  for (const { name } of triggers)
    await connection.run(`ALTER TABLE ${table.sql} DISABLE TRIGGER ${identifier(name)}`);
  await work();
  for (const { name, enabled } of triggers)
    await connection.run(`ALTER TABLE ${table.sql} ${enabling[enabled]} TRIGGER ${identifier(name)}`);
}
