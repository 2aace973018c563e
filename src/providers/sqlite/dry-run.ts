import type { DatabaseSync } from 'node:sqlite';
import { messageOf, UnshipError } from '../../domain/errors.ts';
import { identifier, keyword, type SqlStatement } from '../../domain/migrations/sql-statements.ts';
import { encodingOf, memoryDatabase, resultCode } from './connection.ts';
import { type Access, canWatch, shorten, unwatchStatements, watchStatements } from './guard-statements.ts';
import { qualified } from './names.ts';
import { readSchema, type Schema, type Table } from './schema.ts';

/** A column while a migration runs: where it came from, and whether a statement wrote it. */
interface ColumnTrace {
  /** Its name before the migration; null when the migration adds it. */
  readonly origin: string | null;
  written: boolean;
}

/** A table while a migration runs. */
export interface TableTrace {
  /** Its name before the migration; null when the migration makes it. */
  readonly origin: string | null;
  readonly columns: Map<string, ColumnTrace>;
  /** Tables, by their names before the migration, that rows were inserted from; through others between them, too. */
  readonly filledFrom: Set<string>;
}

/** One migration's statements, with the file that they stand in. */
export interface Script {
  readonly file: string;
  readonly statements: readonly SqlStatement[];
}

/** What a migration does to the structure, and which rows it can touch. */
export interface DryRun {
  readonly before: Schema;
  readonly after: Schema;
  /** Tables after the migration, by name. */
  readonly traces: ReadonlyMap<string, TableTrace>;
  /** Names, before the migration, of the tables whose rows its statements or triggers write. */
  readonly touched: ReadonlySet<string>;
}

const constraint = 19;

function traceOf(table: Table, isNew: boolean): TableTrace {
  const columns = table.columns.map((column): [string, ColumnTrace] => [
    column.name,
    { origin: isNew ? null : column.name, written: false },
  ]);
  return { origin: isNew ? null : table.name, columns: new Map(columns), filledFrom: new Set() };
}

/** Puts the objects of `schema` into an empty database: tables first, then what refers to them. */
function build(database: DatabaseSync, schema: Schema): void {
  const tables = [...schema.tables.values()].filter((table) => table.kind !== 'shadow');
  const order = { index: 0, view: 1, trigger: 2 } as const;
  const objects = [...schema.objects].sort((a, b) => order[a.type] - order[b.type]);
  const virtualLast = tables.sort((a, b) => Number(a.kind === 'virtual') - Number(b.kind === 'virtual'));
  for (const table of virtualLast) database.exec(table.sql);
  for (const object of objects) database.exec(object.sql);
}

/** After an ALTER: the same column count and one other name at a position is a renamed column. */
function carryColumns(trace: TableTrace, names: readonly string[]): Map<string, ColumnTrace> {
  const old = [...trace.columns.keys()];
  const differing = names.filter((name, at) => name !== old[at]);
  const renamed = names.length === old.length && differing.length === 1;
  return new Map(
    names.map((name, at) => {
      const known = trace.columns.get(name) ?? (renamed ? trace.columns.get(old[at] ?? '') : undefined);
      return [name, known ?? { origin: null, written: false }];
    }),
  );
}

/** Where rows that a statement reads came from, by names before the migration. */
function sourcesOf(
  accesses: readonly Access[],
  traces: ReadonlyMap<string, TableTrace>,
  target: string,
): readonly string[] {
  const read = new Set(accesses.filter((access) => access.kind === 'read').map((access) => access.table));
  read.delete(target);
  return [...read].flatMap((name) => {
    const trace = traces.get(name);
    if (trace === undefined) return [];
    return trace.origin === null ? [...trace.filledFrom] : [trace.origin];
  });
}

/** Follows tables and columns through one statement that has just run. */
function follow(
  statement: SqlStatement,
  before: ReadonlyMap<string, TableTrace>,
  schema: Schema,
  accesses: readonly Access[],
): Map<string, TableTrace> {
  const appeared = [...schema.tables.keys()].filter((name) => !before.has(name));
  const gone = [...before.keys()].filter((name) => !schema.tables.has(name));
  const renamed = keyword(statement.tokens[0]) === 'ALTER' && appeared.length === 1 && gone.length === 1;
  const after = new Map<string, TableTrace>();
  for (const table of schema.tables.values()) {
    const trace = before.get(table.name) ?? (renamed ? before.get(gone[0] ?? '') : undefined);
    if (trace === undefined) {
      const made = traceOf(table, true);
      // CREATE TABLE … AS fills what it makes.
      for (const source of sourcesOf(accesses, before, table.name)) made.filledFrom.add(source);
      after.set(table.name, made);
      continue;
    }
    const names = table.columns.map((column) => column.name);
    after.set(table.name, { ...trace, columns: carryColumns(trace, names) });
  }
  return after;
}

/** Columns that an INSERT names; undefined when it names none, and so fills all of them. */
function insertColumns(statement: SqlStatement): ReadonlySet<string> | undefined {
  const { tokens } = statement;
  let at = tokens.findIndex((token) => keyword(token) === 'INTO') + 1;
  if (at === 0) return undefined;
  if (tokens[at + 1]?.text === '.') at += 2;
  if (keyword(tokens[at + 1]) === 'AS') at += 2;
  if (tokens[at + 1]?.text !== '(') return undefined;
  const end = tokens.findIndex((token, index) => index > at && token.text === ')');
  return new Set(tokens.slice(at + 2, end).flatMap((token) => identifier(token)?.toLowerCase() ?? []));
}

function note(
  statement: SqlStatement,
  traces: ReadonlyMap<string, TableTrace>,
  accesses: readonly Access[],
  touched: Set<string>,
): void {
  const named = insertColumns(statement);
  for (const access of accesses) {
    const trace = traces.get(access.table);
    if (trace === undefined || access.kind === 'read') continue;
    if (trace.origin !== null) touched.add(trace.origin);
    if (access.kind === 'insert') {
      for (const [name, column] of trace.columns) {
        if (named === undefined || named.has(name.toLowerCase())) column.written = true;
      }
      for (const source of sourcesOf(accesses, traces, access.table)) trace.filledFrom.add(source);
    }
    const updated = access.kind === 'update' ? trace.columns.get(access.column ?? '') : undefined;
    if (updated !== undefined) updated.written = true;
  }
}

function fail(file: string, statement: SqlStatement, error: unknown): never {
  throw new UnshipError('migration-failed', {
    happened: `${file}, line ${statement.line}: ${messageOf(error)}: ${shorten(statement.text)}`,
    done: 'it was tried on an empty copy of the schema; the database was not touched',
    cause: error,
  });
}

/**
 * Runs the statements on an empty copy of the live schema. Finds errors before anything live is touched, and
 * tells what they do. What depends on rows (a violated constraint) can't be told here and is no error.
 */
export function dryRun(live: DatabaseSync, scripts: readonly Script[]): DryRun {
  const before = readSchema(live);
  const copy = memoryDatabase();
  try {
    copy.exec(`PRAGMA encoding = '${encodingOf(live)}'`);
    copy.enableDefensive?.(true);
    build(copy, before);
    let traces = new Map([...before.tables.values()].map((table) => [table.name, traceOf(table, false)]));
    const touched = new Set<string>();
    const all = scripts.flatMap(({ file, statements }) =>
      statements.map((statement) => ({ file, statement })),
    );
    for (const { file, statement } of all) {
      const accesses: Access[] = [];
      watchStatements(copy, (access) => accesses.push(access));
      try {
        copy.exec(statement.text);
      } catch (error) {
        if (resultCode(error) !== constraint) fail(file, statement, error);
      } finally {
        unwatchStatements(copy);
      }
      note(statement, traces, accesses, touched);
      if (['CREATE', 'ALTER', 'DROP'].includes(keyword(statement.tokens[0]) ?? '')) {
        traces = follow(statement, traces, readSchema(copy), accesses);
      }
    }
    if (!canWatch(copy)) for (const name of before.tables.keys()) touched.add(name);
    return { before, after: readSchema(copy), traces, touched };
  } finally {
    copy.close();
  }
}

/** Runs the statements for real, in the caller's transaction. Throws `migration-failed` with the line. */
export function runStatements(database: DatabaseSync, { file, statements }: Script): void {
  watchStatements(database, () => undefined);
  try {
    for (const statement of statements) {
      try {
        database.exec(statement.text);
      } catch (error) {
        throw new UnshipError('migration-failed', {
          happened: `${file}, line ${statement.line}: ${messageOf(error)}: ${shorten(statement.text)}`,
          done: 'its transaction was taken back: nothing of it remains',
          cause: error,
        });
      }
    }
  } finally {
    unwatchStatements(database);
  }
}

/** Rows that refer to a parent that is not there. */
export function danglingReferences(database: DatabaseSync): number {
  const declared = database.prepare(
    `SELECT 1 FROM ${qualified('main', 'sqlite_schema')} WHERE sql LIKE '%references%' LIMIT 1`,
  );
  if (declared.get() === undefined) return 0;
  let count = 0;
  for (const _row of database.prepare('PRAGMA main.foreign_key_check').iterate()) count += 1;
  return count;
}
