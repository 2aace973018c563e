import type { DatabaseSync } from 'node:sqlite';
import { numberOf } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import type { Foresight } from './foresight.ts';
import type { LoadedArchive, ReturnTable } from './loaded-archive.ts';
import { qualified, quoteName } from './names.ts';
import { differs, numbered, sameKey } from './rows.ts';
import { storedColumns, type Table } from './schema.ts';

/** One value to set: column of the live table, where it comes from, and for which rows. */
export interface Assignment {
  readonly column: string;
  readonly value: string;
  readonly when: string;
  /** Rows for which the value that is there stays, because an edit of the application went into it. */
  readonly unless: string;
}

/** Values: put back, left because the application has edited them, and recorded ones that found no place. */
export interface ValueCounts {
  readonly givenBack: number;
  readonly keptEdits: number;
  readonly withheld: number;
}

export function assignments(
  loaded: LoadedArchive,
  part: ReturnTable,
  live: Table,
  change: TableChange | undefined,
  foresight: Foresight,
): readonly Assignment[] {
  const { table } = part;
  const names = new Set(storedColumns(live).map((column) => column.name));
  const result: Assignment[] = [];
  for (const [at, [before]] of table.mapped.entries()) {
    if (loaded.rewrites && names.has(before))
      result.push({ column: before, value: `g.b${at}`, when: `e.f${at} = 1`, unless: 'FALSE' });
  }
  for (const [at, column] of table.dropped.entries()) {
    if (!names.has(column)) continue;
    const value = `g.b${table.mapped.length + at}`;
    if (change?.written.includes(column) !== true) {
      result.push({ column, value, when: 'g.d IN (0, 1)', unless: 'FALSE' });
      continue;
    }
    // What the way back itself computes from something that the application has edited is the newer truth.
    const owesNothing = foresight.owesNothing(part, column) ?? 'FALSE';
    const when = `g.d IN (0, 1) AND (e.w = 0 OR ${owesNothing})`;
    result.push({ column, value, when, unless: `g.d IN (0, 1) AND NOT (e.w = 0 OR ${owesNothing})` });
  }
  return result;
}

/** Sets values back where they are the migration's; returns how many are back and how many could not be. */
export function giveValues(
  database: DatabaseSync,
  part: ReturnTable,
  live: Table,
  sets: readonly Assignment[],
): ValueCounts {
  const before = part.table.key?.before ?? [];
  if (sets.length === 0 || before.length === 0) return { givenBack: 0, keptEdits: 0, withheld: 0 };
  const joined = `${part.rows} AS g JOIN ${part.judged} AS e ON ${sameKey('e', part.keys, 'g', part.keys)}`;
  const match = sameKey('t', before, 'g', part.keys);
  const open = (set: Assignment): string =>
    `(${set.when} AND ${differs(set.value, `t.${quoteName(set.column)}`)})`;
  const target = qualified('main', live.name);
  const remaining = sets.map((set) => `count(CASE WHEN ${open(set)} THEN 1 END)`).join(' + ');
  const count = (): number =>
    numberOf(database, `SELECT ${remaining} FROM ${target} AS t JOIN (${joined}) ON ${match}`);
  const assign = sets.map((set) => {
    const column = quoteName(set.column);
    return `${column} = CASE WHEN ${set.when} THEN ${set.value} ELSE t.${column} END`;
  });
  const update = `UPDATE OR IGNORE ${target} AS t SET ${assign.join(', ')} FROM ${joined}
    WHERE ${match} AND (${sets.map(open).join(' OR ')})`;
  const kept = sets.map(
    (set) =>
      `count(CASE WHEN ${set.unless} AND ${differs(set.value, `t.${quoteName(set.column)}`)} THEN 1 END)`,
  );
  const keptEdits = numberOf(
    database,
    `SELECT ${kept.join(' + ')} FROM ${target} AS t JOIN (${joined}) ON ${match}`,
  );
  const atFirst = count();
  let left = atFirst;
  // Values under a unique index may have to make room for each other first.
  for (let round = 0; round < 4 && left > 0; round += 1) {
    database.exec(update);
    const now = count();
    if (now >= left) break;
    left = now;
  }
  if (left > 0) {
    exchange(database, part, live, { joined, match, where: sets.map(open).join(' OR '), sets });
    left = count();
  }
  return { givenBack: atFirst - left, keptEdits, withheld: left };
}

interface Exchange {
  readonly joined: string;
  readonly match: string;
  readonly where: string;
  readonly sets: readonly Assignment[];
}

/**
 * Values under a unique index that had changed places with each other: their rows are taken out together and
 * put in again. When not every row finds its place, none is moved.
 */
function exchange(
  database: DatabaseSync,
  part: ReturnTable,
  live: Table,
  { joined, match, where, sets }: Exchange,
): void {
  const target = qualified('main', live.name);
  const held = `${part.rows}_held`;
  const rowid = part.table.key?.rowid === true ? part.table.key.before : [];
  const columns = [...rowid, ...storedColumns(live).map((column) => column.name)].map(quoteName);
  const before = (part.table.key?.before ?? []).map(quoteName);
  const next = columns.map((column) => {
    const set = sets.find((candidate) => quoteName(candidate.column) === column);
    return set === undefined ? `t.${column}` : `CASE WHEN ${set.when} THEN ${set.value} ELSE t.${column} END`;
  });
  const selected = [
    ...columns.map((column, at) => `t.${column} AS o${at}`),
    ...next.map((value, at) => `${value} AS n${at}`),
  ];
  const keyAt = before.map((key) => columns.indexOf(key));
  const held2live = (prefix: string): string =>
    before.map((key, at) => `t.${key} = h.${prefix}${keyAt[at]}`).join(' AND ');
  const insert = (prefix: string, rest: string): string =>
    `INSERT OR IGNORE INTO ${target} (${columns.join(', ')}) SELECT ${numbered(prefix, columns.length).join(', ')} FROM ${held} AS h ${rest}`;
  database.exec('SAVEPOINT exchange');
  database.exec(
    `CREATE TABLE ${held} AS SELECT ${selected.join(', ')} FROM ${target} AS t JOIN (${joined}) ON ${match} WHERE ${where}`,
  );
  const rows = (): number => numberOf(database, `SELECT count(*) FROM ${target}`);
  const atFirst = rows();
  database.exec(
    `DELETE FROM ${target} AS t WHERE EXISTS (SELECT 1 FROM ${held} AS h WHERE ${held2live('o')})`,
  );
  database.exec(insert('n', ''));
  database.exec(insert('o', `WHERE NOT EXISTS (SELECT 1 FROM ${target} AS t WHERE ${held2live('n')})`));
  if (rows() !== atFirst) database.exec('ROLLBACK TO exchange');
  database.exec('RELEASE exchange');
}
