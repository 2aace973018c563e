import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { PlantedBug } from './bugs.ts';

const repository = new URL('../../', import.meta.url);

/** The file with the bug in it. Throws when the text is not there exactly once: then the list is out of date. */
export function withBug({ name, file, find, replace }: PlantedBug): string {
  const source = readFileSync(fileURLToPath(new URL(file, repository)), 'utf8');
  const parts = source.split(find);
  if (parts.length !== 2) throw new Error(`${name}: its place is in ${file} ${parts.length - 1} times`);
  return parts.join(replace);
}

/** From now on this thread loads the program with the bug in it; no file changes. */
export function plant(bug: PlantedBug): void {
  const source = withBug(bug);
  const url = new URL(bug.file, repository).href;
  registerHooks({
    load: (asked, context, nextLoad) =>
      asked === url ? { format: 'module-typescript', source, shortCircuit: true } : nextLoad(asked, context),
  });
}
