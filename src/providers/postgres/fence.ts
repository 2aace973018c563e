import { UnshipError } from '../../domain/errors.ts';
import type { Connection } from './connection.ts';
import { ownSchema } from './names.ts';

/** Throws `fenced-out` when a newer holder has changed this database before. */
export async function checkFence(connection: Connection, fence: number): Promise<void> {
  const [there] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.fence') IS NOT NULL AS is`,
  );
  if (there?.is !== true) return;
  const [row] = await connection.rows<{ fence: string }>(`SELECT fence::text FROM ${ownSchema}.fence`);
  refuseOlder(Number(row?.fence ?? 0), fence);
}

function refuseOlder(seen: number, fence: number): void {
  if (seen <= fence) return;
  throw new UnshipError('fenced-out', {
    happened: `the database was changed by a newer holder (fence ${seen}, ours is ${fence})`,
    done: 'nothing was changed',
  });
}

/** Checks and raises the fence; in the transaction whose effect it protects, and before anything else in it. */
export async function raiseFence(connection: Connection, fence: number): Promise<void> {
  await ensureOwnSchema(connection);
  // The row stays locked to the end of the transaction: whoever comes with another fence waits for it.
  const [row] = await connection.rows<{ fence: string }>(
    `SELECT fence::text FROM ${ownSchema}.fence FOR UPDATE`,
  );
  refuseOlder(Number(row?.fence ?? 0), fence);
  await connection.rows(`UPDATE ${ownSchema}.fence SET fence = $1 WHERE fence <> $1`, [fence]);
}

const madeOnce = `
CREATE SCHEMA IF NOT EXISTS ${ownSchema};
CREATE TABLE IF NOT EXISTS ${ownSchema}.fence (only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), fence bigint NOT NULL);
INSERT INTO ${ownSchema}.fence (fence) VALUES (0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS ${ownSchema}.archive (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version text NOT NULL, direction text NOT NULL, mark text, own bigint[] NOT NULL, returned boolean NOT NULL DEFAULT false,
  record jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS ${ownSchema}.applied (version text PRIMARY KEY, mark text NOT NULL);
CREATE TABLE IF NOT EXISTS ${ownSchema}.restored (
  key text PRIMARY KEY, backup text NOT NULL, safety text NOT NULL, kept text NOT NULL, rows_lost bigint NOT NULL,
  at bigint NOT NULL, snapshot text NOT NULL);`;

/** Our schema, made in the first transaction that needs it. */
async function ensureOwnSchema(connection: Connection): Promise<void> {
  const [there] = await connection.rows<{ is: boolean }>(
    `SELECT to_regclass('${ownSchema}.restored') IS NOT NULL AS is`,
  );
  if (there?.is === true) return;
  // Two that begin at once would both make it.
  await connection.run(`SELECT pg_advisory_xact_lock(hashtext('unship'), hashtext('schema')); ${madeOnce}`);
}
