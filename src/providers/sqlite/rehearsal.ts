import { copyFileSync, existsSync, linkSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ensureFolder, requireSpace } from '../../databases/files.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { copyLive, requireWriteAheadLog } from './backups.ts';
import { openDatabase } from './connection.ts';
import { type Core, liveBytes } from './core.ts';

/** Files that are written once and replaced whole, so that a link shares them without being touched by the copy. */
function share(from: string, to: string): void {
  ensureFolder(to);
  if (!existsSync(from)) return;
  for (const name of readdirSync(from)) {
    if (name.endsWith('.partial') || name.startsWith('.')) continue;
    try {
      linkSync(join(from, name), join(to, name));
    } catch {
      // Another file system, or the name is there from an attempt before.
      copyFileSync(join(from, name), join(to, name));
    }
  }
}

/**
 * A copy of the live database in `folder`, with what is kept about it. Returns the copy's file and its state
 * folder: nothing that is done with them touches the live ones.
 */
export async function makeCopy(
  context: WorkContext,
  core: Core,
  folder: string,
): Promise<{ readonly file: string; readonly state: string; dispose(): void }> {
  // The release takes a backup first, and that needs the log: better said before anything is built on it.
  requireWriteAheadLog(core);
  ensureFolder(folder);
  requireSpace(folder, 3 * liveBytes(core), 'the copy to rehearse on');
  const place = join(folder, `${core.environment.surface}-database`);
  const dispose = (): void => rmSync(place, { recursive: true, force: true });
  dispose();
  ensureFolder(place);
  const file = join(place, basename(core.file));
  context.progress('copying');
  await copyLive(context, core, file);
  using copy = openDatabase(file, 'write');
  copy.exec('PRAGMA journal_mode = WAL');
  const state = join(place, 'state');
  for (const part of ['archives', 'backups', 'migrations']) share(join(core.folder, part), join(state, part));
  return { file, state, dispose };
}
