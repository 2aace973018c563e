import { load } from '../../src/app/loaded-when-needed.ts';

/** What the program loads when it needs it must be there: in a story no time passes for reading files. */
export async function preload(): Promise<void> {
  await Promise.all(Object.values(load).map((one: () => Promise<unknown>) => one()));
}
