import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';

/** SQLite's errors that come from the disk, as errors of the catalogue; everything else as it is. */
export function explainSqliteError(error: unknown): unknown {
  if (isUnshipError(error)) return error;
  const code = (error as { readonly errcode?: unknown } | null)?.errcode;
  if (typeof code !== 'number') return error;
  const details = {
    happened: `the state: ${messageOf(error)}`,
    done: 'what was to be recorded just now may be missing; everything recorded before it is there',
    cause: error,
  };
  const primary = code & 0xff;
  if (primary === locked) {
    return new UnshipError('busy', {
      ...details,
      happened: 'another process is writing the state and does not end: it may be frozen',
      next: 'unship status tells who it may be; let it go on or end it, then unship resume; without a run, repeat the command',
    });
  }
  // Not `disk-full`: that one promises by its exit code that nothing was begun.
  if (primary === full) {
    const next = 'free some space, then unship resume; without a run to resume, repeat the command';
    return new UnshipError('state-failed', { ...details, next });
  }
  return ofTheDisk.has(primary) ? new UnshipError('state-failed', details) : error;
}

/** The same while the state is opened: nothing has been begun, and the file may be none of ours. */
export function explainOpeningError(error: unknown, file: string): unknown {
  const primary = Number((error as { readonly errcode?: unknown } | null)?.errcode ?? 0) & 0xff;
  const details = { happened: `${file}: ${messageOf(error)}`, done: 'nothing', cause: error };
  if (primary === full) return new UnshipError('disk-full', details);
  if (unreadable.has(primary)) return new UnshipError('state-corrupt', details);
  return explainSqliteError(error);
}

const locked = 5;
const full = 13;

/** Damaged, not to be opened as a file, no database. */
const unreadable: ReadonlySet<number> = new Set([11, 14, 26]);

/** Read-only, I/O error, corrupt, can't open, not a database. */
const ofTheDisk: ReadonlySet<number> = new Set([8, 10, 11, 14, 26]);
