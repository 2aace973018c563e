import { Worker } from 'node:worker_threads';
import { type ErrorDetails, UnshipError } from '../../domain/errors.ts';

/** What is known of a database file after every byte of it was read. */
export interface Inspection {
  /** What SQLite's integrity check says: `['ok']`, or up to five faults; nothing when the hash isn't the expected. */
  readonly integrity: readonly string[];
  readonly sha256: string;
  readonly bytes: number;
  /** Rows of each table; empty of a file that is not intact. */
  readonly rows: { readonly [table: string]: number };
}

export interface Written {
  readonly sha256: string;
  readonly bytes: number;
}

/** Work whose time grows with the database. Each kind names its files by absolute paths. */
export interface LongWork {
  /** A consistent copy of a live database as a single file without log. */
  readonly copy: { readonly input: { readonly from: string; readonly to: string }; readonly output: null };
  /** `expected`: the SHA-256 that the file must have to be opened at all; null while it is not known. */
  readonly inspect: {
    readonly input: { readonly file: string; readonly expected: string | null };
    readonly output: Inspection;
  };
  /** `recipient`: the public key of age, `age1…`. What is told of it is told of the encrypted file. */
  readonly encrypt: {
    readonly input: {
      readonly from: { readonly file: string } | { readonly text: string };
      readonly to: string;
      readonly recipient: string;
    };
    readonly output: Written;
  };
  /** Rejects when no identity fits, or a byte is changed or missing; what it has written by then is not whole. */
  readonly decrypt: {
    readonly input: { readonly from: string; readonly to: string; readonly identities: readonly string[] };
    readonly output: Written;
  };
}

export type LongWorkKind = keyof LongWork;

/** An error on its way between threads, where classes don't travel. */
export type SentError =
  | { readonly slug: string; readonly details: ErrorDetails }
  | {
      readonly message: string;
      readonly code?: string | undefined;
      /** SQLite's result code. */
      readonly errcode?: number | undefined;
    };

export type Reply = { readonly output: unknown } | { readonly error: SentError };

function received(error: SentError): Error {
  if ('slug' in error) return new UnshipError(error.slug, error.details);
  const { message, ...codes } = error;
  return Object.assign(new Error(message), codes);
}

/** Beside this file, as source and as published. */
function program(): URL {
  const here = import.meta.url;
  return new URL(here.endsWith('.ts') ? './backup-worker.ts' : './backup-worker.js', here);
}

/**
 * Does it in a thread of its own. SQLite's calls block, and a lease whose heartbeat waits for a gigabyte to be
 * hashed is lost to somebody else. Rejects with the signal's reason once the thread has ended: what it was
 * writing is nobody's then.
 */
export async function longWork<K extends LongWorkKind>(
  signal: AbortSignal,
  kind: K,
  input: LongWork[K]['input'],
): Promise<LongWork[K]['output']> {
  signal.throwIfAborted();
  const worker = new Worker(program(), {
    workerData: { kind, input },
    // A thread has a warning of its own that node:sqlite is experimental, and nobody asked.
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const end = (): void => void worker.terminate();
  signal.addEventListener('abort', end, { once: true });
  try {
    const reply = await new Promise<Reply | undefined>((resolve, reject) => {
      let sent: Reply | undefined;
      worker.once('message', (message: Reply) => {
        sent = message;
      });
      worker.once('error', reject);
      worker.once('exit', () => resolve(sent));
    });
    if (reply === undefined) {
      signal.throwIfAborted();
      throw new UnshipError('internal', { happened: `the thread for ${kind} ended without an answer` });
    }
    if ('error' in reply) throw received(reply.error);
    return reply.output as LongWork[K]['output'];
  } finally {
    signal.removeEventListener('abort', end);
  }
}
