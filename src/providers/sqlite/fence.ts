import { randomInt } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { UnshipError } from '../../domain/errors.ts';
import { fenceTable, qualified } from './names.ts';

function hasFence(database: DatabaseSync, schema: string): boolean {
  const sql = `SELECT 1 FROM ${qualified(schema, 'sqlite_schema')} WHERE type = 'table' AND name = ?`;
  return database.prepare(sql).get(fenceTable) !== undefined;
}

/** Throws `fenced-out` when a newer holder has changed this database before. */
export function checkFence(database: DatabaseSync, fence: number, schema = 'main'): void {
  if (!hasFence(database, schema)) return;
  const row = database.prepare(`SELECT max(fence) AS fence FROM ${qualified(schema, fenceTable)}`).get();
  const seen = Number(row?.fence ?? 0);
  if (seen <= fence) return;
  throw new UnshipError('fenced-out', {
    happened: `the database was changed by a newer holder (fence ${seen}, ours is ${fence})`,
    done: 'nothing was changed',
  });
}

/** Checks and raises the fence; in the transaction whose effect it protects. */
export function raiseFence(database: DatabaseSync, fence: number): void {
  checkFence(database, fence);
  database.exec(`CREATE TABLE IF NOT EXISTS main.${fenceTable} (fence integer)`);
  const updated = database.prepare(`UPDATE main.${fenceTable} SET fence = ?`).run(fence);
  if (Number(updated.changes) === 0) {
    database.prepare(`INSERT INTO main.${fenceTable} (rowid, fence) VALUES (?, ?)`).run(freshCanary(), fence);
  }
}

// VACUUM numbers the rows of a table without any index anew, from 1. The fence's table is such a table: while
// its row still has the odd rowid it was given, rowids recorded since then still mean the same rows.
function freshCanary(): number {
  return randomInt(2 ** 40, 2 ** 47);
}

/** Says whether rowids still mean what they meant: equal texts, no VACUUM in between. Null when unknown. */
export function rowidEpoch(database: DatabaseSync, schema = 'main'): string | null {
  if (!hasFence(database, schema)) return null;
  const row = database.prepare(`SELECT rowid AS epoch FROM ${qualified(schema, fenceTable)} LIMIT 1`).get();
  const epoch = Number(row?.epoch ?? 0);
  return epoch < 2 ** 40 ? null : String(epoch);
}

/** Begins a new epoch after a VACUUM has ended the last one. */
export function ensureEpoch(database: DatabaseSync): void {
  if (rowidEpoch(database) !== null) return;
  database.prepare(`UPDATE main.${fenceTable} SET rowid = ?`).run(freshCanary());
}
