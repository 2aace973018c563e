import { errorCatalogue } from '../domain/error-catalogue.ts';
import { type ErrorEntry, exitCodes, isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import { labelled } from './output/layout.ts';

/** An error as the `--json` document and as the screen's block. */
export interface ErrorReport {
  readonly schema: 'unship.error/1';
  readonly slug: string;
  readonly title: string;
  readonly happened: string;
  readonly done?: string;
  readonly next?: string;
  readonly explain: string;
  readonly exit: number;
}

const internal: ErrorEntry = {
  exit: exitCodes.failed,
  title: 'a defect in unship',
  next: 'repeat with --debug and report what it prints',
  explain: '',
};

/** A file that could not be written for want of room is no defect, wherever it was. */
function withoutRoom(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new UnshipError('state-failed', {
    happened: messageOf(error),
    done: 'what was recorded before it is there: unship runs',
    next: 'free some space, then unship resume; without a run to resume, repeat the command',
    cause: error,
  });
}

export function reportOf(thrown: unknown): ErrorReport {
  const error = withoutRoom(thrown);
  const slug = isUnshipError(error) ? error.slug : 'internal';
  const entry = errorCatalogue[slug] ?? errorCatalogue.internal ?? internal;
  const details = isUnshipError(error) ? error.details : { happened: messageOf(error) };
  const next = details.next ?? entry.next;
  // Exit codes 2 and 3 promise that nothing was done, so silence about it means nothing.
  const harmless = entry.exit === exitCodes.usage || entry.exit === exitCodes.refused;
  const done = details.done ?? (harmless ? 'nothing' : undefined);
  return {
    schema: 'unship.error/1',
    slug,
    title: entry.title,
    happened: details.happened,
    ...(done === undefined ? {} : { done }),
    ...(next === '' ? {} : { next }),
    explain: `unship explain ${slug}`,
    exit: entry.exit,
  };
}

export function errorScreen(report: ErrorReport): readonly string[] {
  return [
    `FAIL  ${report.slug}: ${report.title}`,
    ...labelled('Happened', report.happened),
    ...(report.done === undefined ? [] : labelled('Done', report.done)),
    ...(report.next === undefined ? [] : labelled('Next', report.next)),
    ...labelled('More', report.explain),
    `Exit ${report.exit}`,
  ];
}
