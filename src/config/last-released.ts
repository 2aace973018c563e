import { createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ApplicationDefinition } from '../domain/definition.ts';
import type { Configuration } from './load.ts';
import { problemsOf } from './schema.ts';

/** The configuration that the last release from a checkout was made with; secrets only by reference. */
interface Remembered {
  readonly hash: string;
  readonly definition: ApplicationDefinition;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * Kept beside the state, by the checkout's folder, because the store itself can only be found with a name
 * that stands in the configuration: a bad commit that breaks the file must not lock anybody out of the way back.
 */
export function rememberConfiguration(base: string, configuration: Configuration, at: number): void {
  const file = rememberedFile(base, configuration.root);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const { hash, definition } = configuration;
  const remembered: Remembered = { hash, definition, at };
  const temporary = `${file}.${process.pid}.tmp`;
  writeDurably(temporary, `${JSON.stringify(remembered)}\n`);
  renameSync(temporary, file);
  const folder = openSync(dirname(file), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

/** Undefined when nothing was released from this checkout, or the record is not readable as one. */
export function recallConfiguration(
  base: string,
  root: string,
): (Configuration & { readonly at: number }) | undefined {
  const file = rememberedFile(base, root);
  let remembered: Remembered;
  try {
    remembered = JSON.parse(readFileSync(file, 'utf8')) as Remembered;
  } catch {
    return undefined;
  }
  if (problemsOf(remembered.definition).length > 0) return undefined;
  return { file, root, definition: remembered.definition, hash: remembered.hash, at: remembered.at };
}

function rememberedFile(base: string, root: string): string {
  return join(base, '.checkouts', `${createHash('sha256').update(root).digest('hex').slice(0, 32)}.json`);
}

function writeDurably(file: string, text: string): void {
  // A link that lies there is removed, never written through.
  rmSync(file, { force: true });
  const handle = openSync(file, 'wx', 0o600);
  try {
    writeFileSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
