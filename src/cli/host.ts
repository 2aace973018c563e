import type { Readable } from 'node:stream';
import type { OpenApplication } from '../domain/application.ts';
import type { OutputStream } from './output/terminal.ts';

/** What the process is given from outside; a test gives its own. */
export interface Host {
  /** What was typed after the program's name. */
  readonly argv: readonly string[];
  readonly environment: { readonly [name: string]: string | undefined };
  readonly cwd: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream & NodeJS.WritableStream;
  /** Absent on Windows. */
  readonly uid: number | undefined;
  readonly user: string;
  readonly home: string;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Calls `look` every `ms` until the returned function is called. */
  every(ms: number, look: () => void): () => void;
  /** Calls `heard` for SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onSignal(heard: (signal: NodeJS.Signals) => void): () => void;
  /** Ends the process at once. */
  exit(code: number): never;
  /** Hands over what other code writes to the streams, until the returned function is called. */
  divert?(foreign: (text: string) => void): () => void;
  readonly openApplication: OpenApplication;
}
