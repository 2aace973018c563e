import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { isCommit } from '../../domain/names.ts';
import type { Release } from '../../domain/release.ts';
import { compareVersions } from '../../domain/version.ts';
import { type ArtifactFolder, lookInto } from './artifacts.ts';
import { type FeedState, highestVersion } from './offer.ts';

/** Good code under a higher version, found in a folder of the configuration. */
export interface StandbyFolder extends ArtifactFolder {
  /** Empty when the folder does not say. */
  readonly commit: string;
}

/** `standby.json` beside the artifacts, for a folder whose path has no `{commit}`: `{"commit": "…"}`. */
async function commitNoted(folder: string): Promise<string> {
  try {
    const noted = JSON.parse(await readFile(join(folder, 'standby.json'), 'utf8')) as { commit?: unknown };
    return typeof noted.commit === 'string' && isCommit(noted.commit) ? noted.commit : '';
  } catch {
    return '';
  }
}

async function candidateFolders(
  root: string,
  option: string,
): Promise<readonly { readonly folder: string; readonly commit: string }[]> {
  const path = isAbsolute(option) ? option : join(root, option);
  if (!path.includes('{commit}')) return [{ folder: path, commit: await commitNoted(path) }];
  // One standby a commit: whatever commits have one are told by the folders that are there.
  let level = path;
  while (dirname(level).includes('{commit}')) level = dirname(level);
  const [before = '', after = ''] = basename(level).split('{commit}');
  const names = await readdir(dirname(level)).catch(() => []);
  return names.flatMap((name) => {
    if (!name.startsWith(before) || !name.endsWith(after)) return [];
    const commit = name.slice(before.length, name.length - after.length);
    return isCommit(commit) ? [{ folder: path.replaceAll('{commit}', commit), commit }] : [];
  });
}

/** Every folder that holds a readable standby, and what is wrong with the others. */
export async function findStandbyFolders(
  root: string,
  option: string | undefined,
): Promise<{ readonly found: readonly StandbyFolder[]; readonly problems: readonly string[] }> {
  if (option === undefined) return { found: [], problems: [] };
  const found: StandbyFolder[] = [];
  const problems: string[] = [];
  for (const { folder, commit } of await candidateFolders(root, option)) {
    try {
      found.push({ ...(await lookInto(folder, null)), commit });
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  return { found, problems };
}

/** Clients move on only to what is higher than anything they can have. */
function isAboveAll(state: FeedState, version: string): boolean {
  const highest = highestVersion(Object.keys(state.versions));
  return highest === undefined || compareVersions(version, highest) > 0;
}

/**
 * The standby that a rollback would want: of the newest proven release that is not live; else of any; else the
 * highest. One whose version clients can already have is none.
 */
export function chooseStandby<S extends { readonly version: string; readonly commit: string }>(
  state: FeedState,
  candidates: readonly S[],
  releases: readonly Release[],
  surface: string,
): S | null {
  const ready = candidates
    .filter(({ version }) => isAboveAll(state, version))
    .sort((a, b) => compareVersions(b.version, a.version));
  const wanted = [
    ...releases.filter(({ health, deployment }) => health === 'good' && deployment !== 'live'),
    ...releases.filter(({ health }) => health !== 'bad'),
  ].map((release) => release.surfaces[surface]?.commit ?? '');
  for (const commit of wanted) {
    const match = commit === '' ? undefined : ready.find((standby) => standby.commit === commit);
    if (match !== undefined) return match;
  }
  return ready[0] ?? null;
}
