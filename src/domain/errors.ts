/** Exit codes of the command line; see `unship explain exit-codes`. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  busy: 4,
  paused: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/**
 * Every error has one entry here: its exit code, the one-line message, what to do next, and the page that
 * `unship explain` prints. A slug is never renamed once published: people search for it.
 */
export interface ErrorEntry {
  readonly exit: ExitCode;
  readonly title: string;
  readonly next: string;
  readonly explain: string;
}

export interface ErrorDetails {
  /** What happened, with the observed values. */
  readonly happened: string;
  /** What was done before it, and what was not. */
  readonly done?: string;
  /** Overrides the catalogue's next step where a better one is known. */
  readonly next?: string;
  readonly cause?: unknown;
}

/** An error that a person is shown: a slug of the catalogue plus what was observed. */
export class UnshipError extends Error {
  readonly slug: string;
  readonly details: ErrorDetails;

  constructor(slug: string, details: ErrorDetails) {
    super(`${slug}: ${details.happened}`, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'UnshipError';
    this.slug = slug;
    this.details = details;
  }
}

export function isUnshipError(error: unknown): error is UnshipError {
  return error instanceof UnshipError;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
