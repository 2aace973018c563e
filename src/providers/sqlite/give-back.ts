import type { DatabaseSync } from 'node:sqlite';
import { identifier, tokenize } from '../../domain/migrations/sql-statements.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { Archive, ArchivedTable } from './archive.ts';
import { attach, breathe, numberOf } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import { qualified, quoteName, quoteText } from './names.ts';
import { differs, numbered, sameKey, sameKeyInScratch, scratch } from './rows.ts';
import { findTable, type Schema, type SchemaObject, storedColumns, type Table } from './schema.ts';

/** An archive whose rows have been copied into scratch space, ready to be given back. */
export interface LoadedArchive {
  readonly archive: Archive;
  /** Prefix of its tables in scratch space. */
  readonly prefix: string;
  /** False for a migration whose text has changed since: then only what it dropped comes back. */
  readonly rewrites: boolean;
}

interface ReturnTable {
  readonly table: ArchivedTable;
  /** Rows of the archive, and the judgement made on them before the statements ran. */
  readonly rows: string;
  readonly judged: string;
  readonly keys: readonly string[];
}

export interface GivenBack {
  readonly givenBack: number;
  readonly keptEdits: number;
}

function keyNames(table: ArchivedTable): readonly string[] {
  return numbered('k', Math.max(table.key?.before.length ?? 0, table.key?.after.length ?? 0));
}

/** Copies an archive's rows into scratch space. Before the transaction: it may take long, and locks nothing. */
export function loadArchive(
  database: DatabaseSync,
  archive: Archive,
  prefix: string,
  rewrites: boolean,
): LoadedArchive {
  attach(database, archive.file, '_unship_archive', 'read');
  try {
    for (const table of archive.record.tables) {
      if (table.rows === null) continue;
      const target = `${prefix}_rows_${table.rows}`;
      database.exec(`CREATE TABLE ${scratch}.${target} AS SELECT * FROM _unship_archive.rows_${table.rows}`);
      const keys = keyNames(table);
      if (keys.length > 0) {
        database.exec(`CREATE INDEX ${scratch}.${target}_key ON ${target} (${keys.join(', ')})`);
      }
    }
  } finally {
    database.exec('DETACH _unship_archive');
  }
  return { archive, prefix, rewrites };
}

function returnTables(loaded: LoadedArchive, epoch: string | null): readonly ReturnTable[] {
  const { record } = loaded.archive;
  return record.tables
    .filter((table) => table.rows !== null && table.before !== null && table.unmatched === null)
    .filter((table) => table.key?.rowid !== true || (record.epoch !== null && record.epoch === epoch))
    .map((table) => ({
      table,
      rows: `${scratch}.${loaded.prefix}_rows_${table.rows}`,
      judged: `${scratch}.${loaded.prefix}_judged_${table.rows}`,
      keys: keyNames(table),
    }));
}

/** Tables that giving back will write, by their names before the statements of the way back run. */
export function tablesToWrite(loaded: LoadedArchive): ReadonlySet<string> {
  return new Set(
    loaded.archive.record.tables
      .filter((table) => table.rows !== null)
      .flatMap((table) => table.before ?? []),
  );
}

/**
 * Before the statements of the way back: which values are still the migration's own. `f0…` is 1 where one is,
 * 2 where the application has changed it since, 0 where the migration had left it alone; `w` is 1 when
 * anything that the migration wrote in the row was changed; `gone` when the row is not there.
 */
export function judge(
  database: DatabaseSync,
  schema: Schema,
  loaded: LoadedArchive,
  epoch: string | null,
): void {
  for (const { table, rows, judged, keys } of returnTables(loaded, epoch)) {
    const live = table.after === null ? undefined : findTable(schema, table.after);
    const names = new Set(live === undefined ? [] : storedColumns(live).map((column) => column.name));
    const after = table.key?.after ?? [];
    const recognisable =
      after.length > 0 && (table.key?.rowid === true || after.every((name) => names.has(name)));
    const columns =
      live === undefined
        ? ['0 AS w', '1 AS gone']
        : recognisable
          ? judgements(table, names)
          : ['1 AS w', '0 AS gone', ...table.mapped.map((_, at) => `0 AS f${at}`)];
    const join =
      live !== undefined && recognisable
        ? `LEFT JOIN ${qualified('main', live.name)} AS t ON ${sameKey('t', after, 'g', keys)}`
        : '';
    const select = [...keys.map((key) => `g.${key} AS ${key}`), ...columns].join(', ');
    database.exec(`CREATE TABLE ${judged} AS SELECT ${select} FROM ${rows} AS g ${join}`);
    if (keys.length > 0) {
      const [schemaName, name] = judged.split('.');
      database.exec(`CREATE INDEX ${schemaName}.${name}_key ON ${name} (${keys.join(', ')})`);
    }
  }
}

function judgements(table: ArchivedTable, names: ReadonlySet<string>): readonly string[] {
  const flags = table.mapped.map(([, after], at) => {
    if (!names.has(after)) return '0';
    const edited = differs(`g.a${at}`, `t.${quoteName(after)}`);
    return `CASE WHEN g.d <> 1 OR substr(g.m, ${at + 1}, 1) <> '1' THEN 0 WHEN ${edited} THEN 2 ELSE 1 END`;
  });
  const touched = [
    ...table.added.map((column, at) =>
      names.has(column.name) ? differs(`g.x${at}`, `t.${quoteName(column.name)}`) : '0',
    ),
    ...flags.map((flag) => `(${flag}) = 2`),
  ];
  return [
    `${touched.length === 0 ? '0' : `(${touched.join(' OR ')})`} AS w`,
    `t.${quoteName(table.key?.after[0] ?? '')} IS NULL AS gone`,
    ...flags.map((flag, at) => `${flag} AS f${at}`),
  ];
}

/** Triggers would change the values that are given back. Those that keep a search index up to date must run. */
function suspendedTriggers(schema: Schema, table: Table): readonly SchemaObject[] {
  const virtual = new Set(
    [...schema.tables.values()]
      .filter((other) => other.kind === 'virtual')
      .map((other) => other.name.toLowerCase()),
  );
  return schema.objects.filter(
    (object) =>
      object.type === 'trigger' &&
      object.table === table.name &&
      !tokenize(object.sql).some((token) => virtual.has(identifier(token)?.toLowerCase() ?? '')),
  );
}

/** One value to set: column of the live table, where it comes from, and for which rows. */
interface Assignment {
  readonly column: string;
  readonly value: string;
  readonly when: string;
}

function assignments(
  loaded: LoadedArchive,
  table: ArchivedTable,
  live: Table,
  change: TableChange | undefined,
): readonly Assignment[] {
  const names = new Set(storedColumns(live).map((column) => column.name));
  const result: Assignment[] = [];
  for (const [at, [before]] of table.mapped.entries()) {
    if (loaded.rewrites && names.has(before))
      result.push({ column: before, value: `g.b${at}`, when: `e.f${at} = 1` });
  }
  for (const [at, column] of table.dropped.entries()) {
    if (!names.has(column)) continue;
    // What the way back itself computes, from a row that the application has changed, is the newer truth.
    const computed = table.added.length > 0 && change?.written.includes(column) === true;
    const when = computed ? 'g.d IN (0, 1) AND e.w = 0' : 'g.d IN (0, 1)';
    result.push({ column, value: `g.b${table.mapped.length + at}`, when });
  }
  return result;
}

/** Sets values back where they are the migration's; returns how many are back and how many could not be. */
function giveValues(
  database: DatabaseSync,
  part: ReturnTable,
  live: Table,
  sets: readonly Assignment[],
): GivenBack {
  const before = part.table.key?.before ?? [];
  if (sets.length === 0 || before.length === 0) return { givenBack: 0, keptEdits: 0 };
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
  return { givenBack: atFirst - left, keptEdits: left };
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

/** Puts back rows that the migration had deleted, where their key is free. */
function giveRows(database: DatabaseSync, part: ReturnTable, live: Table): GivenBack {
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
  return { givenBack, keptEdits: numberOf(database, `SELECT count(*) FROM ${returning}`) - givenBack };
}

function keepSequence(database: DatabaseSync, table: ArchivedTable, live: Table): void {
  if (table.sequence === null || !/\bautoincrement\b/i.test(live.sql)) return;
  const update = database.prepare('UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?');
  if (Number(update.run(table.sequence, live.name).changes) > 0) return;
  database
    .prepare('INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)')
    .run(live.name, table.sequence);
}

/** Values that the application has changed since, each counted once however many migrations had rewritten it. */
function countEdits(database: DatabaseSync, part: ReturnTable): number {
  const { table, keys, judged } = part;
  if (table.after === null || keys.length === 0) return 0;
  let count = 0;
  for (const [at, [, after]] of table.mapped.entries()) {
    const place = `${quoteText(JSON.stringify([table.after, after]))} || ${keys.map((key) => `quote(e.${key})`).join(" || ',' || ")}`;
    const insert = `INSERT OR IGNORE INTO ${scratch}.kept_edits SELECT ${place} FROM ${judged} AS e WHERE e.f${at} = 2`;
    count += Number(database.prepare(insert).run().changes);
  }
  return count;
}

/**
 * After the statements of the way back: values that are still the migration's get the ones from before it,
 * dropped columns and tables that are there again get their content, deleted rows come back where their key is
 * free. What the application has written since stays. `changes` tells what the statements themselves filled.
 */
export async function giveBack(
  context: LookContext,
  database: DatabaseSync,
  schema: Schema,
  loaded: LoadedArchive,
  changes: readonly TableChange[],
  epoch: string | null,
): Promise<GivenBack> {
  let givenBack = 0;
  let keptEdits = 0;
  for (const part of returnTables(loaded, epoch)) {
    await breathe(context);
    const { table } = part;
    if (loaded.rewrites) keptEdits += countEdits(database, part);
    const live = table.before === null ? undefined : findTable(schema, table.before);
    const change = changes.find((candidate) => candidate.after === live?.name);
    if (live === undefined || live.kind !== 'table') continue;
    if (table.key?.rowid === true && change?.rebuilt === true) continue;
    const names = new Set(live.columns.map((column) => column.name));
    if (table.key?.rowid !== true && table.key?.before.some((column) => !names.has(column)) === true)
      continue;
    const triggers = suspendedTriggers(schema, live);
    for (const trigger of triggers) database.exec(`DROP TRIGGER ${qualified('main', trigger.name)}`);
    const values = giveValues(database, part, live, assignments(loaded, table, live, change));
    // Rows that the way back brings from another table are the newer truth: some may have been deleted since.
    const refill = (loaded.rewrites || table.after === null) && change?.filled !== true;
    const rows = refill ? giveRows(database, part, live) : { givenBack: 0, keptEdits: 0 };
    keepSequence(database, table, live);
    for (const trigger of triggers) database.exec(trigger.sql);
    givenBack += values.givenBack + rows.givenBack;
    keptEdits += values.keptEdits + rows.keptEdits;
  }
  return { givenBack, keptEdits };
}
