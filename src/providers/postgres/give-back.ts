import type { Archive, ArchivedTable } from './archive.ts';
import { type Catalogue, type Column, findTable, storedColumns, type Table } from './catalogue.ts';
import { type Connection, identifier, literal } from './connection.ts';
import { ownSchema } from './names.ts';
import { texts } from './record.ts';
import { withoutTriggers } from './triggers.ts';

/** What was recorded in the opposite direction and is to be given back now. */
export interface Back {
  readonly archive: Archive;
  /** Also values that were rewritten and rows that were deleted; else only what was dropped. */
  readonly rewrites: boolean;
}

export interface GivenBack {
  readonly givenBack: number;
  readonly keptEdits: number;
  readonly withheld: number;
}

/** One table of the archive, with what was judged of its rows. */
interface Judged {
  readonly table: ArchivedTable;
  readonly rows: string;
  readonly judged: string;
}

const sum = (all: readonly GivenBack[], pick: keyof GivenBack): number =>
  all.reduce((total, one) => total + one[pick], 0);

async function count(connection: Connection, sql: string): Promise<number> {
  const [row] = await connection.rows<{ n: string | null }>(sql);
  return Number(row?.n ?? 0);
}

/**
 * Before the statements of the way back: which values are still the migration's own. `f` has for each mapped column 1
 * where one is, 2 where the application has changed it since, 0 where the migration had left it alone; `w` is true when
 * anything that the migration wrote in the row was changed; `gone` when the row is not there.
 */
export async function judge(
  connection: Connection,
  before: Catalogue,
  { archive }: Back,
  prefix: string,
): Promise<readonly Judged[]> {
  const all: Judged[] = [];
  for (const [at, table] of archive.record.tables.entries()) {
    if (table.rows === null || table.before === null || table.unmatched !== null) continue;
    const judged = `${prefix}_${at}`;
    const rows = `${ownSchema}.${table.rows}`;
    const live = table.after === null ? undefined : findTable(before, table.after.schema, table.after.name);
    await connection.run(
      `CREATE TEMP TABLE ${judged} ON COMMIT DROP AS ${judgement(table, rows, live)}; ANALYZE ${judged}`,
    );
    all.push({ table, rows, judged });
  }
  return all;
}

function judgement(table: ArchivedTable, rows: string, live: Table | undefined): string {
  const names = new Set(live === undefined ? [] : storedColumns(live).map((column) => column.name));
  const canMatch = table.keyAfter.length > 0 && table.keyAfter.every((column) => names.has(column));
  if (live === undefined || !canMatch) {
    const none = `array_fill(0::smallint, ARRAY[${Math.max(table.mapped.length, 1)}])`;
    return `SELECT g.n, ${none} AS f, true AS w, ${live === undefined} AS gone FROM ${rows} AS g`;
  }
  const flags = table.mapped.map(([, after], at) =>
    names.has(after)
      ? `CASE WHEN g.d <> 1 OR substr(g.m, ${at + 1}, 1) <> '1' THEN 0 WHEN t.a[${at + 1}] IS DISTINCT FROM g.a[${at + 1}] THEN 2 ELSE 1 END`
      : '0',
  );
  const value = (column: string): string => (names.has(column) ? `s.${identifier(column)}::text` : 'NULL');
  const now = `(SELECT ${texts('s', table.keyAfter)} AS k,
    ARRAY[${table.mapped.map(([, after]) => value(after)).join(', ')}]::text[] AS a,
    ARRAY[${table.added.map(value).join(', ')}]::text[] AS x FROM ${live.from} AS s)`;
  const edited = [
    ...table.added.flatMap((column, at) =>
      names.has(column) ? [`t.x[${at + 1}] IS DISTINCT FROM g.x[${at + 1}]`] : [],
    ),
    ...flags.map((flag) => `(${flag}) = 2`),
  ];
  return `SELECT g.n, ARRAY[${flags.join(', ')}]::smallint[] AS f, ${edited.length === 0 ? 'false' : edited.join(' OR ')} AS w,
    t.k IS NULL AS gone FROM ${rows} AS g LEFT JOIN ${now} AS t ON t.k = g.k`;
}

interface Assignment {
  readonly column: Column;
  readonly value: string;
  readonly when: string;
  /** Where the value that is there stays, because an edit of the application went into it. */
  readonly unless: string;
}

function assignments({ table }: Judged, rewrites: boolean, live: Table): readonly Assignment[] {
  const columns = new Map(storedColumns(live).map((column) => [column.name, column]));
  const result: Assignment[] = [];
  const cast = (at: number, column: Column): string => `(g.b[${at}])::${column.type}`;
  for (const [at, [before]] of table.mapped.entries()) {
    const column = columns.get(before);
    if (!rewrites || column === undefined) continue;
    result.push({ column, value: cast(at + 1, column), when: `e.f[${at + 1}] = 1`, unless: 'false' });
  }
  for (const [at, name] of table.dropped.entries()) {
    const column = columns.get(name);
    if (column === undefined) continue;
    // What the way back itself computes from something that the application has edited is the newer truth.
    const missing = column.missing === null ? 'NULL::text' : literal(column.missing);
    const fresh = `t.${identifier(name)}::text IS NOT DISTINCT FROM ${missing}`;
    result.push({
      column,
      value: cast(table.mapped.length + at + 1, column),
      when: `g.d IN (0, 1) AND (NOT e.w OR ${fresh})`,
      unless: `g.d IN (0, 1) AND e.w AND NOT ${fresh}`,
    });
  }
  return result;
}

const differs = ({ column, value }: Assignment): string =>
  `t.${identifier(column.name)}::text IS DISTINCT FROM (${value})::text`;

async function giveValues(
  connection: Connection,
  part: Judged,
  live: Table,
  sets: readonly Assignment[],
  apart: boolean,
): Promise<GivenBack | null> {
  const { rows, judged, table } = part;
  if (sets.length === 0 || table.keyBefore.length === 0) return { givenBack: 0, keptEdits: 0, withheld: 0 };
  const from = `${rows} AS g JOIN ${judged} AS e ON e.n = g.n`;
  const match = `${texts('t', table.keyBefore)} = g.k`;
  const counted = (which: 'when' | 'unless', some: readonly Assignment[]): Promise<number> => {
    const tests = some.map((set) => `count(*) FILTER (WHERE ${set[which]} AND ${differs(set)})`);
    return count(
      connection,
      `SELECT ${tests.join(' + ')} AS n FROM ${live.from} AS t JOIN (${from}) ON ${match}`,
    );
  };
  const keptEdits = await counted('unless', sets);
  let withheld = 0;
  let givenBack = 0;
  const give = async (some: readonly Assignment[]): Promise<boolean> => {
    const open = some.map((set) => `((${set.when}) AND ${differs(set)})`).join(' OR ');
    const set = some.map(({ column, value, when }) => {
      const name = identifier(column.name);
      return `${name} = CASE WHEN ${when} THEN ${value} ELSE t.${name} END`;
    });
    return await attempt(connection, async () => {
      const wanted = await counted('when', some);
      if (wanted === 0) return;
      await connection.run(
        `UPDATE ${live.from} AS t SET ${set.join(', ')} FROM ${from} WHERE ${match} AND (${open})`,
      );
      const left = await counted('when', some);
      givenBack += wanted - left;
      withheld += left;
    });
  };
  const isGiven = await give(sets);
  if (!isGiven && !apart) return null;
  if (!isGiven) {
    // One of them does not fit any more: a rule stands against it, or its type is another one. The others do.
    for (const set of sets) {
      if (await give([set])) continue;
      withheld += await count(
        connection,
        `SELECT count(*) AS n FROM ${live.from} AS t JOIN (${from}) ON ${match} WHERE ${set.when}`,
      );
    }
  }
  return { givenBack, keptEdits, withheld };
}

/** Puts back rows that the migration had deleted, where their key is free. */
async function giveRows(
  connection: Connection,
  { table, rows, judged }: Judged,
  live: Table,
  isLast: boolean,
): Promise<GivenBack | null> {
  const columns = new Map(storedColumns(live).map((column) => [column.name, column]));
  const names = [...table.mapped.map(([before]) => before), ...table.dropped];
  const kept = names.flatMap((name, at) => {
    const column = columns.get(name);
    return column === undefined ? [] : [{ name, value: `(g.b[${at + 1}])::${column.type}` }];
  });
  const all = await count(connection, `SELECT count(*) AS n FROM ${rows} WHERE d = 2`);
  if (all === 0 || kept.length === 0) return { givenBack: 0, keptEdits: 0, withheld: all };
  let given = 0;
  const isGiven = await attempt(connection, async () => {
    const result = await connection.client.query(
      `INSERT INTO ${live.sql} (${kept.map(({ name }) => identifier(name)).join(', ')}) OVERRIDING SYSTEM VALUE
       SELECT ${kept.map(({ value }) => value).join(', ')} FROM ${rows} AS g JOIN ${judged} AS e ON e.n = g.n
       WHERE g.d = 2 AND e.gone ORDER BY g.n ON CONFLICT DO NOTHING`,
    );
    given = result.rowCount ?? 0;
  });
  return isGiven || isLast ? { givenBack: given, keptEdits: 0, withheld: all - given } : null;
}

/** False, and nothing of it remains, when the server refuses it. */
async function attempt(connection: Connection, work: () => Promise<void>): Promise<boolean> {
  await connection.run('SAVEPOINT give_back');
  try {
    await work();
    await connection.run('RELEASE SAVEPOINT give_back');
    return true;
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    // Broken rules, and values that are none of the type: all else ends the whole.
    if (typeof code !== 'string' || !/^(22|23|42804|42846|428C9)/.test(code)) throw error;
    await connection.run('ROLLBACK TO SAVEPOINT give_back; RELEASE SAVEPOINT give_back');
    return false;
  }
}

async function keepSequences(connection: Connection, table: ArchivedTable, live: Table): Promise<void> {
  for (const [column, last] of table.sequences) {
    const sequence = live.sequences.find(([name]) => name === column)?.[1];
    if (sequence === undefined) continue;
    await connection.rows(
      'SELECT setval($1::regclass, greatest($2::bigint, coalesce(pg_sequence_last_value($1::regclass), 0)))',
      [sequence, last],
    );
  }
}

/** One thing to give back; null when the server refuses it, and it is not the last time that it is tried. */
interface Gift {
  readonly live: Table;
  give(isLast: boolean): Promise<GivenBack | null>;
}

/** What refers to rows that are given back later is refused at first: again and again, as long as that helps. */
async function giveAll(connection: Connection, gifts: readonly Gift[]): Promise<readonly GivenBack[]> {
  const given: GivenBack[] = [];
  let open = gifts;
  for (let isLast = false; open.length > 0; ) {
    const refused: Gift[] = [];
    for (const gift of open) {
      await withoutTriggers(connection, gift.live, async () => {
        const result = await gift.give(isLast);
        if (result === null) refused.push(gift);
        else given.push(result);
      });
    }
    isLast = refused.length === open.length;
    open = refused;
  }
  return given;
}

/**
 * After the statements of the way back: values that are still the migration's get the ones from before it, dropped
 * columns and tables that are there again get their content, deleted rows come back where their key is free.
 */
export async function giveBack(
  connection: Connection,
  after: Catalogue,
  { archive, rewrites }: Back,
  judged: readonly Judged[],
): Promise<GivenBack> {
  const all: GivenBack[] = [];
  const rowsFirst: Gift[] = [];
  const valuesThen: Gift[] = [];
  const parts = new Map(judged.map((part) => [part.table, part]));
  for (const table of archive.record.tables) {
    if (table.rows === null || table.before === null) continue;
    const rows = `${ownSchema}.${table.rows}`;
    const part = parts.get(table);
    const live = findTable(after, table.before.schema, table.before.name);
    if (part === undefined || live === undefined) {
      const withheld = await count(connection, `SELECT count(*) AS n FROM ${rows} WHERE d IN (1, 2, 4)`);
      all.push({ givenBack: 0, keptEdits: 0, withheld: rewrites ? withheld : 0 });
      continue;
    }
    const edits = rewrites
      ? await count(
          connection,
          `SELECT sum(cardinality(array_positions(f, 2::smallint))) AS n FROM ${part.judged}`,
        )
      : 0;
    all.push({ givenBack: 0, keptEdits: edits, withheld: 0 });
    const rewritesRows = rewrites || table.after === null;
    if (rewritesRows) rowsFirst.push({ live, give: (isLast) => giveRows(connection, part, live, isLast) });
    const sets = assignments(part, rewrites, live);
    valuesThen.push({ live, give: (isLast) => giveValues(connection, part, live, sets, isLast) });
    await keepSequences(connection, table, live);
  }
  all.push(...(await giveAll(connection, [...rowsFirst, ...valuesThen])));
  return {
    givenBack: sum(all, 'givenBack'),
    keptEdits: sum(all, 'keptEdits'),
    withheld: sum(all, 'withheld'),
  };
}
