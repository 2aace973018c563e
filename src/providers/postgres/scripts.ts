import { UnshipError } from '../../domain/errors.ts';
import { fileOf, type Migration } from '../../domain/migrations/migration-files.ts';
import {
  controlsTransaction,
  keyword,
  identifier as nameIn,
  type SqlStatement,
  splitStatements,
} from '../../domain/migrations/sql-statements.ts';
import type { Catalogue, Table } from './catalogue.ts';
import type { Connection } from './connection.ts';
import { ownSchema } from './names.ts';
import { serverError } from './session.ts';

/** One direction of a migration, ready to run inside a transaction of ours. */
export interface Script {
  readonly file: string;
  /** The whole text: the server splits it itself, and it does so better than anybody else. */
  readonly sql: string;
  readonly statements: readonly SqlStatement[];
}

export function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}

function forbidden(file: string, statement: SqlStatement, why: string, next?: string): never {
  throw new UnshipError('migration-forbidden', {
    happened: `${file}, line ${statement.line}: ${why}: ${shorten(statement.text)}`,
    done: 'nothing was changed',
    ...(next === undefined ? {} : { next }),
  });
}

/** What no transaction takes, by its first words. */
const outside: readonly (readonly string[])[] = [
  ['VACUUM'],
  ['CREATE', 'DATABASE'],
  ['DROP', 'DATABASE'],
  ['CREATE', 'TABLESPACE'],
  ['DROP', 'TABLESPACE'],
  ['CREATE', 'SUBSCRIPTION'],
  ['DROP', 'SUBSCRIPTION'],
];
/** What reaches beyond the database: the server's settings, files and programs. */
const beyond: readonly (readonly string[])[] = [
  ['ALTER', 'SYSTEM'],
  ['CREATE', 'ROLE'],
  ['ALTER', 'DATABASE'],
  ['LOAD'],
];
const reachesOut =
  /^(lo_import|lo_export|pg_read_file|pg_read_binary_file|pg_ls_dir|dblink_exec|pg_reload_conf)$/i;

function begins(statement: SqlStatement, words: readonly string[]): boolean {
  return words.every((word, at) => keyword(statement.tokens[at]) === word);
}

function check(file: string, statement: SqlStatement): void {
  const { tokens } = statement;
  if (
    controlsTransaction(statement) ||
    begins(statement, ['START', 'TRANSACTION']) ||
    begins(statement, ['ABORT'])
  ) {
    forbidden(
      file,
      statement,
      'it begins or ends a transaction in the middle, so it could not be taken back',
    );
  }
  if (begins(statement, ['PREPARE', 'TRANSACTION']))
    forbidden(file, statement, 'a prepared transaction could not be taken back');
  const concurrently =
    tokens.some((token) => keyword(token) === 'CONCURRENTLY') && !begins(statement, ['REFRESH']);
  if (concurrently || outside.some((words) => begins(statement, words))) {
    const next = concurrently
      ? 'leave CONCURRENTLY out where writers may wait for the index; else make the index by hand, and have `IF NOT EXISTS` in the migration'
      : undefined;
    forbidden(file, statement, 'it can not run inside a transaction, so it could not be taken back', next);
  }
  if (beyond.some((words) => begins(statement, words)))
    forbidden(file, statement, 'it reaches beyond the database');
  if (
    begins(statement, ['COPY']) &&
    tokens.some((token) => /^(PROGRAM|STDIN|STDOUT)$/.test(keyword(token) ?? ''))
  )
    forbidden(file, statement, 'COPY runs no programs in a migration, and reads nothing from outside');
  if (tokens.some((token) => token.kind !== 'string' && reachesOut.test(nameIn(token) ?? '')))
    forbidden(file, statement, 'it reaches files or settings of the server');
  if (tokens[0]?.text === '\\') forbidden(file, statement, 'a command of psql is no statement');
  if (
    tokens.some(
      (token, at) => tokens[at + 1]?.text === '.' && token.kind !== 'string' && nameIn(token) === ownSchema,
    )
  )
    forbidden(file, statement, `the schema ${ownSchema} is not for migrations`);
}

function blank(sql: string, { text }: SqlStatement, from: number): string {
  const at = sql.indexOf(text, from);
  return `${sql.slice(0, at)}${text.replaceAll(/[^\n]/g, ' ')}${sql.slice(at + text.length)}`;
}

/** A BEGIN and COMMIT around all of it are left out: it always runs in a transaction. Throws `migration-forbidden`. */
export function scriptOf(migration: Migration, direction: 'up' | 'down'): Script {
  const file = fileOf(migration, direction);
  const text = direction === 'up' ? migration.up : migration.down;
  if (text === null || (direction === 'down' && migration.declared.has('restore-only'))) {
    throw new UnshipError('no-down-migration', {
      happened:
        text === null
          ? `${migration.name} has no down migration`
          : `${migration.name} is marked restore-only`,
      done: 'nothing was changed',
    });
  }
  let statements = splitStatements(text);
  let sql = text;
  const first = statements[0];
  const last = statements.at(-1);
  const isWrapped =
    keyword(first?.tokens[0]) === 'BEGIN' && /^(COMMIT|END)$/.test(keyword(last?.tokens[0]) ?? '');
  if (isWrapped && first !== undefined && last !== undefined && first !== last) {
    const semicolon = /^(\s*);/;
    sql = blank(text, first, 0).replace(semicolon, '$1 ');
    sql = blank(sql, last, sql.lastIndexOf(last.text));
    statements = statements.slice(1, -1);
  }
  for (const statement of statements) check(file, statement);
  return { file, sql, statements };
}

/** Runs it in the caller's transaction. Throws `migration-failed` with the line, unless a lock was the reason. */
export async function runScript(connection: Connection, { file, sql }: Script): Promise<void> {
  try {
    await connection.run(sql);
  } catch (error) {
    const told = serverError(error);
    if (told === undefined || /^(40P01|55P03|40001|57|08|53100)/.test(told.code)) throw error;
    const at = Number(told.position ?? 0);
    const line = at > 0 ? `, line ${sql.slice(0, at).split('\n').length}` : '';
    throw new UnshipError('migration-failed', {
      happened: `${file}${line}: ${told.message}${told.where === undefined ? '' : ` (${shorten(told.where)})`}`,
      done: 'its transaction was taken back: nothing of it remains',
      cause: error,
    });
  }
}

/** Names that follow one of these words, with what may stand between. */
const writing = /^(UPDATE|INTO|FROM|TRUNCATE|TABLE|ONLY|,)$/;

/**
 * Tables whose rows a script may change or drop, as far as its text tells. Only a guess: what it leaves out is found out
 * when the script has run, and then it runs once more.
 */
export function likelyTouched({ statements }: Script, catalogue: Catalogue): ReadonlySet<string> {
  const touched = new Set<string>();
  for (const statement of statements) {
    const words = new Set(statement.tokens.map((token) => keyword(token)));
    const first = keyword(statement.tokens[0]) ?? '';
    const changes =
      words.has('UPDATE') ||
      words.has('DELETE') ||
      words.has('MERGE') ||
      first === 'TRUNCATE' ||
      (first === 'DROP' && words.has('TABLE')) ||
      (first === 'ALTER' && words.has('TABLE') && (words.has('TYPE') || dropsColumn(statement)));
    if (!changes || first === 'CREATE') continue;
    for (const table of catalogue.values()) if (names(statement, table)) touched.add(table.oid);
  }
  return touched;
}

function dropsColumn({ tokens }: SqlStatement): boolean {
  return tokens.some(
    (token, at) =>
      keyword(token) === 'DROP' &&
      !/^(CONSTRAINT|DEFAULT|NOT|IDENTITY|EXPRESSION)$/.test(keyword(tokens[at + 1]) ?? ''),
  );
}

/** Whether a statement writes a name that may be this table's, where such a name can stand. */
function names({ tokens }: SqlStatement, table: Table): boolean {
  return tokens.some((token, at) => {
    if (token.kind === 'string' || !sameName(token, table.name)) return false;
    const before = tokens[at - 1]?.text === '.' ? tokens[at - 3] : tokens[at - 1];
    const word = keyword(before) ?? before?.text ?? '';
    return writing.test(word) || word === 'EXISTS';
  });
}

function sameName(token: SqlStatement['tokens'][number], name: string): boolean {
  return token.kind === 'name' ? token.text.toLowerCase() === name : nameIn(token) === name;
}

/** True where a statement asks for more of this table than to write its rows. */
export function alters({ statements }: Script, table: Table): boolean {
  return statements.some(
    (statement) =>
      /^(ALTER|DROP|TRUNCATE)$/.test(keyword(statement.tokens[0]) ?? '') && names(statement, table),
  );
}
