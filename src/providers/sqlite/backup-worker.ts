import { statSync } from 'node:fs';
import { backup as onlineBackup } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { removeDatabase, sha256OfFile } from '../../databases/files.ts';
import { isUnshipError, messageOf } from '../../domain/errors.ts';
import { openDatabase, requireFile } from './connection.ts';
import type { Inspection, LongWork, LongWorkKind, Reply, SentError } from './long-work.ts';
import { countRows, readSchema } from './schema.ts';
import { singleFile } from './single-file.ts';

/** The thread behind `longWork`: does one piece of work, answers and ends. */
type Workers = {
  readonly [K in LongWorkKind]: (input: LongWork[K]['input']) => Promise<LongWork[K]['output']>;
};

/** All pages in one step: one consistent state, and no restart whenever somebody writes. */
const allPages = 0x7fff_ffff;

async function copy({ from, to }: LongWork['copy']['input']): Promise<null> {
  removeDatabase(to);
  using live = openDatabase(from, 'read');
  await onlineBackup(live, to, { rate: allPages });
  singleFile(to);
  return null;
}

async function inspect({ file, expected }: LongWork['inspect']['input']): Promise<Inspection> {
  requireFile(file);
  const sha256 = await sha256OfFile(file, new AbortController().signal);
  const bytes = statSync(file).size;
  // Changed bytes are not given to SQLite.
  if (expected !== null && sha256 !== expected) return { integrity: [], sha256, bytes, rows: {} };
  using database = openDatabase(file, 'read', { immutable: true });
  const integrity = database
    .prepare('PRAGMA integrity_check(5)')
    .all()
    .map((row) => String(row.integrity_check));
  const isIntact = integrity.length === 1 && integrity[0] === 'ok';
  return { integrity, sha256, bytes, rows: isIntact ? countRows(database, readSchema(database)) : {} };
}

const workers: Workers = {
  copy,
  inspect,
  encrypt: async (input) => (await import('./age-files.ts')).encrypt(input),
  decrypt: async (input) => (await import('./age-files.ts')).decrypt(input),
};

function toSend(error: unknown): SentError {
  if (isUnshipError(error)) {
    const { happened, done, next } = error.details;
    const rest = { ...(done === undefined ? {} : { done }), ...(next === undefined ? {} : { next }) };
    return { slug: error.slug, details: { happened, ...rest } };
  }
  const { code, errcode } = error as { readonly code?: string; readonly errcode?: number };
  return { message: messageOf(error), code, errcode };
}

async function reply(): Promise<Reply> {
  const { kind, input } = workerData as { readonly kind: LongWorkKind; readonly input: never };
  try {
    return { output: await workers[kind](input) };
  } catch (error) {
    return { error: toSend(error) };
  }
}

parentPort?.postMessage(await reply());
