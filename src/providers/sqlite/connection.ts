import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { quoteText } from './names.ts';

export type Access = 'read' | 'write';

/** SQLite's primary result code of an error; 0 when it is none of SQLite's. */
export function resultCode(error: unknown): number {
  const code = (error as { readonly errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' ? code & 0xff : 0;
}

const busy = 5;
const locked = 6;
const denied = 8;
const full = 13;
const notOpened = 14;

export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === busy || code === locked;
}

/** SQLite's errors that a person must act on, as errors of the catalogue; everything else as it is. */
export function explainError(error: unknown, file: string): unknown {
  if (isUnshipError(error)) return error;
  const happened = `${file}: ${messageOf(error)}`;
  const cause = error;
  switch (resultCode(error)) {
    case busy:
    case locked:
      return new UnshipError('database-locked', { happened, done: 'nothing was changed', cause });
    case full:
      return new UnshipError('disk-full', { happened, done: 'nothing was changed', cause });
    case 11:
    case 26:
      return new UnshipError('database-corrupt', { happened, done: 'nothing was changed', cause });
    case denied:
    case notOpened:
      return new UnshipError('database-denied', { happened, done: 'nothing was changed', cause });
    default:
      return error;
  }
}

export function requireFile(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory() === false) return;
  throw new UnshipError('database-missing', {
    happened: found === undefined ? `there is no file ${file}` : `${file} is a folder, not a file`,
    done: 'no file was made',
  });
}

/** Damage shows itself in any statement, not only when the file is opened. */
export async function withErrorsExplained<T>(file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explainError(error, file);
  }
}

/** A file as an URI that never makes one. `immutable`: nobody else writes it, so no lock is taken. */
function address(file: string, access: Access, immutable: boolean): URL {
  const url = pathToFileURL(file);
  url.searchParams.set('mode', access === 'read' ? 'ro' : 'rw');
  if (immutable) url.searchParams.set('immutable', '1');
  return url;
}

/** Foreign keys are off, as in the migration tools: a rebuild must not cascade. They are checked afterwards. */
const settings = {
  enableForeignKeyConstraints: false,
  enableDoubleQuotedStringLiterals: true,
  allowExtension: false,
} as const;

/**
 * Opens an existing database file. Throws `database-missing`, `database-corrupt`. Close it: `using` does.
 */
export function openDatabase(
  file: string,
  access: Access,
  options: { readonly immutable?: boolean } = {},
): DatabaseSync {
  requireFile(file);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(address(file, access, options.immutable ?? false), {
      ...settings,
      readOnly: access === 'read',
    });
    // Short, because it blocks this process's event loop: longer waits are made of many of these.
    database.exec('PRAGMA busy_timeout = 100');
    database.prepare('PRAGMA schema_version').get();
    if (access === 'write') database.exec('PRAGMA synchronous = FULL');
    // Not there in every supported version of Node; the statements themselves are checked too.
    database.enableDefensive?.(true);
    return database;
  } catch (error) {
    database?.close();
    throw explainError(error, file);
  }
}

/** A file of our own that may not exist yet: archives and scratch space. */
export function createDatabase(file: string): DatabaseSync {
  return new DatabaseSync(file, settings);
}

export function memoryDatabase(): DatabaseSync {
  return new DatabaseSync(':memory:', settings);
}

/** Makes another file visible under `name` in this connection. */
export function attach(database: DatabaseSync, file: string, name: string, access: Access): void {
  const target = access === 'read' ? address(file, 'read', true).href : file;
  database.exec(`ATTACH ${quoteText(target)} AS ${name}`);
}

/** The text encoding of a file; those attached to each other must have the same. */
export function encodingOf(database: DatabaseSync): string {
  return String(database.prepare('PRAGMA encoding').get()?.encoding ?? 'UTF-8');
}

export function isWriteAheadLog(database: DatabaseSync): boolean {
  return database.prepare('PRAGMA journal_mode').get()?.journal_mode === 'wal';
}

/** One number of the first row. */
export function numberOf(
  database: DatabaseSync,
  sql: string,
  ...values: readonly (string | number)[]
): number {
  const row = database.prepare(sql).get(...values);
  return Number(row === undefined ? 0 : (Object.values(row)[0] ?? 0));
}

/** Lets timers and other work of this process go on: SQLite's calls block. Throws when the work was ended. */
export async function breathe(context: LookContext): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  context.signal.throwIfAborted();
}

/**
 * Tries until it isn't locked, at most `lockMs`; between tries the event loop is free. Throws `database-locked`.
 */
export async function whileBusy<T>(
  context: LookContext,
  file: string,
  lockMs: number,
  attempt: () => T | Promise<T>,
): Promise<T> {
  const { clock } = context.runtime;
  const deadline = clock.monotonic() + lockMs;
  for (;;) {
    context.signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!isBusy(error)) throw explainError(error, file);
      if (clock.monotonic() >= deadline) {
        throw new UnshipError('database-locked', {
          happened: `${file} was still locked by another process after ${lockMs} ms`,
          done: 'nothing was changed',
          next: `end the program or the long transaction that writes ${file} (\`fuser ${file}\` names it), then repeat`,
          cause: error,
        });
      }
    }
    await clock.sleep(20, context.signal);
  }
}

/** Takes the write lock. Writers wait from here on, readers do not. */
export function beginWrite(
  context: LookContext,
  database: DatabaseSync,
  file: string,
  lockMs: number,
): Promise<void> {
  return whileBusy(context, file, lockMs, () => {
    database.exec('BEGIN IMMEDIATE');
  });
}

export function rollBack(database: DatabaseSync): void {
  if (!database.isOpen) return;
  // An error such as a full disk has ended the transaction already.
  if (database.isTransaction) database.exec('ROLLBACK');
}
