import type { DatabaseSync } from 'node:sqlite';
import { isUnshipError } from '../../domain/errors.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { encodingOf, memoryDatabase, numberOf } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import { runStatements, type Script } from './dry-run.ts';
import { type LoadedArchive, type ReturnTable, returnTables } from './loaded-archive.ts';
import { qualified, quoteName } from './names.ts';
import { copyRows, differs, numbered, sameKey, sameKeyInScratch } from './rows.ts';
import { findTable, readSchema, type Schema, storedColumns, type Table } from './schema.ts';
import { withoutTriggers } from './suspended-triggers.ts';

/**
 * For each dropped column that the way back computes, the value it would have computed, had the application left
 * the row as the migration made it. Where the computed value is this one, no edit has gone into it, and the
 * recorded value is the better one.
 */
export interface Foresight {
  /** Condition, over `g` (archive) and `t` (live): the value of `column` owes nothing to the application. */
  owesNothing(part: ReturnTable, column: string): string | null;
}

interface Computed {
  readonly part: ReturnTable;
  readonly live: Table;
  readonly columns: readonly string[];
}

/** Dropped columns that the way back computes, of tables in which the application has edited something. */
function computedColumns(
  database: DatabaseSync,
  schema: Schema,
  parts: readonly ReturnTable[],
  changes: readonly TableChange[],
): readonly Computed[] {
  return parts.flatMap((part) => {
    const { table, judged } = part;
    const live = table.after === null ? undefined : findTable(schema, table.after);
    const change = changes.find((candidate) => candidate.after === table.before);
    const columns = table.dropped.filter((column) => change?.written.includes(column) === true);
    const names = new Set(live?.columns.map((column) => column.name));
    const isFound =
      table.key?.rowid === true || table.key?.after.every((column) => names.has(column)) === true;
    if (live === undefined || columns.length === 0 || !isFound) return [];
    const edited = numberOf(database, `SELECT count(*) FROM ${judged} WHERE w = 1 AND gone = 0`);
    return edited === 0 ? [] : [{ part, live, columns }];
  });
}

/** Makes the edited rows what the migration had made of them. */
function withdrawEdits(database: DatabaseSync, schema: Schema, { part, live }: Computed): void {
  const { table, rows, judged, keys } = part;
  const names = new Set(storedColumns(live).map((column) => column.name));
  const sets = [
    ...table.mapped.flatMap(([, after], at) =>
      names.has(after)
        ? [
            {
              column: after,
              value: `CASE WHEN substr(g.m, ${at + 1}, 1) = '1' THEN g.a${at} ELSE t.${quoteName(after)} END`,
            },
          ]
        : [],
    ),
    ...table.added.flatMap(({ name }, at) => (names.has(name) ? [{ column: name, value: `g.x${at}` }] : [])),
  ].map(({ column, value }) => `${quoteName(column)} = ${value}`);
  if (sets.length === 0) return;
  withoutTriggers(database, schema, live, () =>
    database.exec(
      `UPDATE OR IGNORE ${qualified('main', live.name)} AS t SET ${sets.join(', ')}
       FROM ${rows} AS g JOIN ${judged} AS e ON ${sameKey('e', keys, 'g', keys)}
       WHERE ${sameKey('t', table.key?.after ?? [], 'g', keys)} AND e.w = 1 AND g.d IN (0, 1)`,
    ),
  );
}

function columnsOf({ part, columns }: Computed): readonly string[] {
  return [...numbered('k', part.table.key?.before.length ?? 0), ...numbered('v', columns.length)];
}

/** Reads what the way back has computed for the edited rows. */
async function readComputed(
  context: LookContext,
  database: DatabaseSync,
  computed: Computed,
  memory: DatabaseSync,
  target: string,
): Promise<void> {
  const { part, columns } = computed;
  const before = part.table.key?.before ?? [];
  const live = findTable(readSchema(database), part.table.before ?? '');
  const names = new Set(live?.columns.map((column) => column.name));
  const isThere = part.table.key?.rowid === true || before.every((column) => names.has(column));
  if (live === undefined || !isThere || columns.some((column) => !names.has(column))) return;
  const to = columnsOf(computed);
  const read = [...before, ...columns].map((column, at) => `t.${quoteName(column)} AS ${to[at]}`);
  const edited = `SELECT 1 FROM ${part.judged} AS e WHERE ${sameKeyInScratch('e', part.keys, 't', before)} AND e.w = 1`;
  const source = `(SELECT ${read.join(', ')} FROM ${qualified('main', live.name)} AS t WHERE EXISTS (${edited}))`;
  await copyRows(context, database, source, memory, target, to);
}

function placeOf(part: ReturnTable): string {
  return `${part.rows}_foreseen`;
}

function foresightOf(all: readonly Computed[]): Foresight {
  return {
    owesNothing(part, column) {
      const found = all.find((computed) => computed.part.rows === part.rows);
      const at = found?.columns.indexOf(column) ?? -1;
      if (at === -1) return null;
      const keys = numbered('k', part.table.key?.before.length ?? 0);
      return `EXISTS (SELECT 1 FROM ${placeOf(part)} AS o
        WHERE ${sameKey('o', keys, 'g', keys)} AND NOT ${differs(`o.v${at}`, `t.${quoteName(column)}`)})`;
    },
  };
}

/**
 * Tries the statements once without the application's edits, in the caller's transaction, and takes that back.
 * Costs nothing where no edited row has a value to be computed.
 */
export async function foresee(
  context: LookContext,
  database: DatabaseSync,
  schema: Schema,
  script: Script,
  loaded: LoadedArchive,
  changes: readonly TableChange[],
  epoch: string | null,
): Promise<Foresight> {
  const parts = returnTables(loaded, epoch).filter(({ table }) => {
    const change = changes.find((candidate) => candidate.after === table.before);
    return change !== undefined && !(table.key?.rowid === true && change.rebuilt);
  });
  const all = computedColumns(database, schema, parts, changes);
  if (all.length === 0) return foresightOf([]);
  const memory = memoryDatabase();
  try {
    memory.exec(`PRAGMA encoding = '${encodingOf(database)}'`);
    for (const [at, computed] of all.entries())
      memory.exec(`CREATE TABLE seen_${at} (${columnsOf(computed).join(', ')})`);
    // Kept outside of the database: scratch space is part of the transaction that is taken back.
    database.exec('SAVEPOINT foresight');
    try {
      for (const computed of all) withdrawEdits(database, schema, computed);
      runStatements(database, script);
      for (const [at, computed] of all.entries())
        await readComputed(context, database, computed, memory, `seen_${at}`);
    } catch (error) {
      // Statements that do not run on unedited rows tell nothing: then the computed values stay.
      if (!isUnshipError(error) || !database.isTransaction) throw error;
    }
    database.exec('ROLLBACK TO foresight; RELEASE foresight');
    for (const [at, computed] of all.entries()) {
      const columns = columnsOf(computed);
      const place = placeOf(computed.part);
      database.exec(`CREATE TABLE ${place} (${columns.join(', ')})`);
      await copyRows(context, memory, `seen_${at}`, database, place, columns);
      const [space, name] = place.split('.');
      const keys = numbered('k', computed.part.table.key?.before.length ?? 0);
      if (keys.length > 0) database.exec(`CREATE INDEX ${space}.${name}_key ON ${name} (${keys.join(', ')})`);
    }
    return foresightOf(all);
  } finally {
    memory.close();
  }
}
