import { globSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a text would look like under the encodings that are met in the wild. Made here and not by the program: its own
 * masking is what is judged.
 */
export function formsOf(canary: string): readonly string[] {
  const bytes = Buffer.from(canary);
  // Without the digits that its neighbours would share.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, 20),
  );
  const hex = bytes.toString('hex');
  return [canary, hex, hex.toUpperCase(), encodeURIComponent(canary), ...base64];
}

export function findLeak(text: string, canary: string): string | undefined {
  return formsOf(canary).find((form) => text.includes(form));
}

/** Files below this folder, links not followed; `dot` files too. */
export function filesBelow(folder: string): readonly string[] {
  return globSync(['**/*', '**/.*', '**/.*/**/*'], { cwd: folder })
    .map((name) => join(folder, name))
    .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isFile() === true);
}

/** Files that hold this text, however it is written. */
export function filesWith(folder: string, canary: string): readonly string[] {
  const forms = formsOf(canary);
  return filesBelow(folder).filter((file) => {
    const text = readOrNone(file);
    return forms.some((form) => text.includes(form));
  });
}

/** A process that still runs may take its file away. */
function readOrNone(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** Files, folders and sockets below this folder, itself too, that anybody but their owner can reach by their mode. */
export function openToOthers(folder: string): readonly string[] {
  const names = ['.', ...globSync(['**/*', '**/.*', '**/.*/**/*'], { cwd: folder })];
  return [...new Set(names)].flatMap((name) => {
    const stats = lstatSync(join(folder, name), { throwIfNoEntry: false });
    if (stats === undefined || stats.isSymbolicLink() || (stats.mode & 0o077) === 0) return [];
    return [`${(stats.mode & 0o7777).toString(8)} ${name}`];
  });
}
