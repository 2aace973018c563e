import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Faults } from '../domain/runtime.ts';

/** Where incident drafts lie for people to read and edit. */
export interface DraftFolder {
  /** Writes a draft whole, in place of an earlier one, and returns where it lies. */
  save(incident: number, text: string): Promise<string>;
}

/** `incident-N.md` in this folder, readable by its owner alone. */
export function createDraftFolder(
  folder: string,
  faults: Faults,
  mask: (text: string) => string = (text) => text,
): DraftFolder {
  return {
    save: async (incident, text) => {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const file = join(folder, `incident-${incident}.md`);
      faults.point('incident.file.before');
      await replaceFile(file, mask(text));
      await removeLeft(folder);
      faults.point('incident.file.after');
      return file;
    },
  };
}

async function replaceFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  // What a killed process left, or a link that somebody put there: it is removed, never written through.
  await rm(temporary, { force: true });
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

/** What processes that were killed while they wrote a draft have left. */
async function removeLeft(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /^incident-\d+\.md\.(\d+)\.new$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
