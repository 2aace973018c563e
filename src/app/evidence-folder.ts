import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Runtime } from '../domain/runtime.ts';

/**
 * Where copies of damaged journals lie: `run-N-HASH.json`, never overwritten and never deleted. Named by what they
 * hold, so that a screen that looks every 2 seconds keeps one of each. Gives the file, or null when it could not be
 * written: a full disk must not hide that the journal is damaged.
 */
export function createEvidenceFolder(
  folder: string,
  { digest }: Pick<Runtime, 'digest'>,
): (run: number, evidence: string) => string | null {
  return (run, evidence) => {
    const file = join(folder, `run-${run}-${digest(evidence).slice(0, 16)}.json`);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      if (!existsSync(file)) writeNew(file, `${evidence}\n`);
      return file;
    } catch {
      return null;
    }
  };
}

function writeNew(file: string, text: string): void {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const handle = openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeFileSync(handle, text);
    fsyncSync(handle);
  } catch (error) {
    // Half a copy would be taken for a whole one the next time.
    rmSync(file);
    throw error;
  } finally {
    closeSync(handle);
  }
}
