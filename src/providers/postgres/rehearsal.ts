import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensureFolder, requireSpace } from '../../databases/files.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { dumpInto, remove } from './backups.ts';
import { type Core, coreOn, nameOf, open } from './core.ts';
import { besides } from './names.ts';
import { serverFacts } from './server.ts';
import { dropSide, restoreBeside, sidesOf } from './side.ts';

export interface Copy {
  /** The copy's address, with its password. */
  readonly url: string;
  /** Its own state folder. */
  readonly state: string;
  dispose(): Promise<void>;
}

/**
 * A copy of the live database on the same server, with what is kept about it in a folder: nothing that is done with it
 * touches the live one. What a rehearsal that was killed has left goes first.
 */
export async function makeCopy(context: WorkContext, core: Core, folder: string): Promise<Copy> {
  const side = besides(nameOf(core), 'rehearsal');
  const place = join(folder, `${core.environment.surface}-database`);
  const dispose = async (): Promise<void> => {
    remove(place);
    // On the copy, too, databases are made beside it.
    for (const other of await sidesOf(core, besides(side, ''))) await dropSide(core, other);
    await dropSide(core, side);
  };
  await dispose();
  ensureFolder(place);
  try {
    await using connection = await open(core, 'look');
    requireSpace(place, (await serverFacts(connection)).bytes, 'the copy to rehearse on');
    context.progress('copying');
    const dump = join(place, 'dump');
    const content = await dumpInto(context, core, dump);
    context.runtime.faults.point('postgres.rehearsal.copied');
    await restoreBeside(context, core, side, dump, content);
    remove(dump);
    const state = join(place, 'state');
    for (const part of ['backups', 'migrations']) {
      const from = join(core.folder, part);
      ensureFolder(join(state, part));
      if (existsSync(from)) cpSync(from, join(state, part), { recursive: true });
    }
    return { url: coreOn(core, side).url(), state, dispose };
  } catch (error) {
    await dispose().catch(() => {});
    throw error;
  }
}
