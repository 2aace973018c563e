import { UnshipError } from '../../domain/errors.ts';

/** The one place where a name becomes SQL. NUL is refused: SQLite would read the name only up to it. */
export function quoteName(name: string): string {
  if (name.includes('\0')) {
    throw new UnshipError('migration-forbidden', {
      happened: `the name ${JSON.stringify(name)} has a NUL character in it`,
      done: 'nothing was changed',
    });
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** `schema.name`, both quoted. */
export function qualified(schema: string, name: string): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

/** A text as an SQL literal, for statements that take no parameters. */
export function quoteText(text: string): string {
  if (text.includes('\0')) throw new TypeError('a text with NUL can not be a literal');
  return `'${text.replaceAll("'", "''")}'`;
}

/** unship's own tables: no part of a fingerprint, of a count or of an archive. */
export const ownPrefix = '_unship';
export const fenceTable = '_unship_fence';
export const restoredTable = '_unship_restored';
export const appliedTable = '_unship_applied';
export const ledgerTable = 'schema_migrations';

/** Tables that belong to SQLite, to unship or to the migration tool, not to the application. */
export function isOwnName(name: string): boolean {
  const lower = name.toLowerCase();
  return lower.startsWith('sqlite_') || lower.startsWith(ownPrefix) || lower === ledgerTable;
}
