import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { isPublished, programVersion } from './package-root.ts';

/**
 * Remembers by hash which configurations this version has found valid: the checker takes a tenth of a rollback's
 * start, and the same data is as valid as it was. The folder is the user's own, beside the compile cache; without
 * one, and in development, where the rules change under the same version, everything is checked each time.
 */
function markOf(hash: string): string | null {
  const base = process.env.XDG_CACHE_HOME ?? join(process.env.HOME ?? '', '.cache');
  if (!isPublished() || !isAbsolute(base)) return null;
  return join(base, 'unship', 'valid', `${programVersion()}-${hash}`);
}

export function isKnownValid(hash: string): boolean {
  const mark = markOf(hash);
  return mark !== null && existsSync(mark);
}

/** A cache that can't be written costs time, nothing else. */
export function rememberValid(hash: string): void {
  const mark = markOf(hash);
  if (mark === null) return;
  try {
    mkdirSync(dirname(mark), { recursive: true, mode: 0o700 });
    writeFileSync(mark, '', { mode: 0o600 });
  } catch {
    // A read-only home, or a full disk: neither is a reason to stop a rollback.
  }
}
