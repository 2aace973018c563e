import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { linkOrCopy } from './files.ts';
import { isFeedName } from './manifest.ts';
import type { FeedState } from './offer.ts';

/** Where a copy of the feed and of its state lives while a way back is rehearsed. */
export interface RehearsalFolders {
  readonly feed: string;
  readonly state: string;
}

/**
 * Lays the copy out. Artifacts are linked, not copied: nobody writes into one, they are replaced whole. The
 * small files are made anew by the first work on the copy.
 */
export async function layOutRehearsal(
  folder: string,
  live: { readonly folder: string; readonly state: FeedState },
): Promise<RehearsalFolders> {
  const folders = { feed: join(folder, 'feed'), state: join(folder, 'feed-state') };
  await rm(folders.feed, { recursive: true, force: true });
  await rm(folders.state, { recursive: true, force: true });
  await mkdir(folders.feed, { recursive: true, mode: 0o700 });
  await mkdir(folders.state, { recursive: true, mode: 0o700 });
  const known = new Set(
    Object.values(live.state.versions).flatMap(({ manifest }) => manifest.files.map(({ name }) => name)),
  );
  for (const name of await readdir(live.folder).catch(() => [])) {
    if (known.has(name) || isFeedName(name))
      await linkOrCopy(join(live.folder, name), join(folders.feed, name));
  }
  await writeFile(join(folders.state, 'state.json'), `${JSON.stringify(live.state, null, 2)}\n`, {
    mode: 0o600,
  });
  return folders;
}

export async function disposeRehearsal(folders: RehearsalFolders): Promise<void> {
  await rm(folders.feed, { recursive: true, force: true });
  await rm(folders.state, { recursive: true, force: true });
}
