import { constants, type DatabaseSync } from 'node:sqlite';
import { UnshipError } from '../../domain/errors.ts';
import {
  controlsTransaction,
  identifier,
  keyword,
  type SqlStatement,
  splitStatements,
} from '../../domain/migrations/sql-statements.ts';
import { isOwnName } from './names.ts';

/** What reaches beyond the schema, or only works outside a transaction, may not stand in a migration. */
const allowedPragmas: ReadonlySet<string> = new Set([
  ...[
    'foreign_keys',
    'defer_foreign_keys',
    'ignore_check_constraints',
    'legacy_alter_table',
    'recursive_triggers',
  ],
  ...[
    'user_version',
    'application_id',
    'foreign_key_check',
    'foreign_key_list',
    'integrity_check',
    'quick_check',
  ],
  ...['table_info', 'table_xinfo', 'table_list', 'index_list', 'index_info', 'index_xinfo', 'optimize'],
  // What modules such as FTS5 ask for themselves.
  'data_version',
]);
const forbiddenStarts: ReadonlySet<string> = new Set(['ATTACH', 'DETACH', 'VACUUM']);

function forbidden(file: string, statement: SqlStatement, why: string): never {
  throw new UnshipError('migration-forbidden', {
    happened: `${file}, line ${statement.line}: ${why}: ${shorten(statement.text)}`,
    done: 'nothing was changed',
  });
}

export function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}

function checkStatement(file: string, statement: SqlStatement): void {
  const first = keyword(statement.tokens[0]) ?? '';
  if (controlsTransaction(statement)) {
    forbidden(
      file,
      statement,
      'it begins or ends a transaction in the middle, so it could not be taken back',
    );
  }
  if (forbiddenStarts.has(first)) forbidden(file, statement, `${first} can not run in a migration`);
  if (first === 'PRAGMA') {
    const name = identifier(statement.tokens[statement.tokens[2]?.text === '.' ? 3 : 1])?.toLowerCase() ?? '';
    if (!allowedPragmas.has(name)) forbidden(file, statement, `PRAGMA ${name} is not allowed in a migration`);
  }
  if (statement.tokens.some((token) => keyword(token) === 'LOAD_EXTENSION')) {
    forbidden(file, statement, 'extensions are not loaded in a migration');
  }
  if (
    statement.tokens.some(
      (token) => identifier(token)?.toLowerCase().startsWith('_unship') && token.kind !== 'string',
    )
  ) {
    forbidden(file, statement, 'tables of unship are not for migrations');
  }
}

/**
 * The statements that a migration runs, a BEGIN and COMMIT around all of them left out: it always runs in a
 * transaction. Throws `migration-forbidden` for what may not or can not run in one.
 */
export function migrationStatements(file: string, sql: string): readonly SqlStatement[] {
  let statements = splitStatements(sql);
  const first = keyword(statements[0]?.tokens[0]);
  const last = keyword(statements.at(-1)?.tokens[0]);
  if (first === 'BEGIN' && (last === 'COMMIT' || last === 'END')) statements = statements.slice(1, -1);
  for (const statement of statements) checkStatement(file, statement);
  return statements;
}

/** What a statement did, as SQLite's own compiler tells while preparing it. */
export interface Access {
  readonly kind: 'insert' | 'update' | 'delete' | 'read';
  readonly table: string;
  /** Column of an update or read. */
  readonly column: string | null;
}

const accessKinds: ReadonlyMap<number, Access['kind']> = new Map([
  [constants.SQLITE_INSERT, 'insert'],
  [constants.SQLITE_UPDATE, 'update'],
  [constants.SQLITE_DELETE, 'delete'],
  [constants.SQLITE_READ, 'read'],
]);

/** Whether this version of Node can tell what a statement touches; before, everything counts as touched. */
export function canWatch(database: DatabaseSync): boolean {
  return typeof database.setAuthorizer === 'function';
}

/**
 * From now on, statements of `database` are refused what migrations may not do, whatever their text hides, and
 * what they touch is told to `see`. Ends with `unwatch`.
 */
export function watchStatements(database: DatabaseSync, see: (access: Access) => void): void {
  if (!canWatch(database)) return;
  database.setAuthorizer((action, first, second, schema) => {
    if (action === constants.SQLITE_ATTACH || action === constants.SQLITE_DETACH)
      return constants.SQLITE_DENY;
    if (action === constants.SQLITE_PRAGMA && !allowedPragmas.has(first?.toLowerCase() ?? '')) {
      return constants.SQLITE_DENY;
    }
    if (action === constants.SQLITE_FUNCTION && second?.toLowerCase() === 'load_extension') {
      return constants.SQLITE_DENY;
    }
    // Scratch space and archives are attached to the same connection.
    if (schema?.startsWith('_unship') === true) return constants.SQLITE_DENY;
    const kind = accessKinds.get(action);
    if (
      kind !== undefined &&
      first !== null &&
      first !== undefined &&
      schema === 'main' &&
      !isOwnName(first)
    ) {
      see({ kind, table: first, column: second ?? null });
    }
    return constants.SQLITE_OK;
  });
}

export function unwatchStatements(database: DatabaseSync): void {
  if (canWatch(database)) database.setAuthorizer(null);
}
