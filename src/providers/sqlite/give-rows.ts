import type { DatabaseSync } from 'node:sqlite';
import type { ArchivedTable } from './archive.ts';
import { numberOf } from './connection.ts';
import type { ReturnTable } from './loaded-archive.ts';
import { qualified, quoteName } from './names.ts';
import { sameKey, sameKeyInScratch } from './rows.ts';
import { storedColumns, type Table } from './schema.ts';

/** Puts back rows that the migration had deleted, where their key is free. */
export function giveRows(
  database: DatabaseSync,
  part: ReturnTable,
  live: Table,
): { readonly givenBack: number; readonly withheld: number } {
  const { table, keys } = part;
  const names = new Set(storedColumns(live).map((column) => column.name));
  const columns = [...table.mapped.map(([before]) => before), ...table.dropped];
  const kept = columns.map((name, at) => ({ name, at })).filter(({ name }) => names.has(name));
  const before = table.key?.before ?? [];
  const rowid = table.key?.rowid === true ? before[0] : undefined;
  const target = qualified('main', live.name);
  const taken = `EXISTS (SELECT 1 FROM ${target} AS t WHERE ${sameKey('t', before, 'g', keys)})`;
  const wasGone = `EXISTS (SELECT 1 FROM ${part.judged} AS e WHERE ${sameKeyInScratch('e', keys, 'g', keys)} AND e.gone = 1)`;
  // Without a primary key, a row whose rowid was given away since is still another row.
  const wanted = rowid !== undefined || before.length === 0 ? 'TRUE' : `NOT ${taken} AND ${wasGone}`;
  const returning = `${part.rows}_returning`;
  database.exec(
    `CREATE TABLE ${returning} AS SELECT g.*, ${taken} AS taken FROM ${part.rows} AS g WHERE g.d = 2 AND ${wanted}`,
  );
  const insert = (where: string, extra: readonly string[], values: readonly string[]): number => {
    const into = [...extra, ...kept.map(({ name }) => quoteName(name))];
    const selected = [...values, ...kept.map(({ at }) => `g.b${at}`)];
    if (into.length === 0) return 0;
    const from = `SELECT ${selected.join(', ')} FROM ${returning} AS g WHERE ${where} ORDER BY g.rowid`;
    return Number(
      database.prepare(`INSERT OR IGNORE INTO ${target} (${into.join(', ')}) ${from}`).run().changes,
    );
  };
  // Those that keep their rowid first: a fresh one must not take it from them.
  const givenBack =
    rowid === undefined
      ? insert('TRUE', [], [])
      : insert('g.taken = 0', [rowid], ['g.k0']) + insert('g.taken = 1', [], []);
  const wantedRows = numberOf(database, `SELECT count(*) FROM ${returning}`);
  // Their key was given to another row since.
  const replaced =
    rowid !== undefined || before.length === 0
      ? 0
      : numberOf(database, `SELECT count(*) FROM ${part.rows} AS g WHERE g.d = 2 AND NOT ${wasGone}`);
  return { givenBack, withheld: wantedRows - givenBack + replaced };
}

export function keepSequence(database: DatabaseSync, table: ArchivedTable, live: Table): void {
  if (table.sequence === null || !/\bautoincrement\b/i.test(live.sql)) return;
  const update = database.prepare('UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?');
  if (Number(update.run(table.sequence, live.name).changes) > 0) return;
  database
    .prepare('INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)')
    .run(live.name, table.sequence);
}

/** Deleted rows that are not there, also not after the way back has brought rows from elsewhere. */
export function countAbsent(database: DatabaseSync, part: ReturnTable, live: Table): number {
  const there = sameKey('t', part.table.key?.before ?? [], 'g', part.keys);
  return numberOf(
    database,
    `SELECT count(*) FROM ${part.rows} AS g
     WHERE g.d = 2 AND NOT EXISTS (SELECT 1 FROM ${qualified('main', live.name)} AS t WHERE ${there})`,
  );
}
