import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Json } from '../../domain/json.ts';

/** Replaces the file whole and durably; others see the old content or the new one. */
export async function writeJson(path: string, value: Json): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(value)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Undefined when it isn't there or holds something else than JSON. */
export async function readJson(path: string): Promise<Json | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Json;
  } catch {
    return undefined;
  }
}

/** Makes a rename inside it durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A member of an object read from a file; undefined on anything else. */
export function member(value: Json | undefined, key: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, key)
    ? (value as { readonly [key: string]: Json | undefined })[key]
    : undefined;
}
