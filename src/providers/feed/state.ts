import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { clearTemporary, isMissing, writeWhole } from './files.ts';
import { readFeeds } from './folder.ts';
import { exclusively } from './lock.ts';
import { type FeedContent, isManifest, type Manifest } from './manifest.ts';
import { emptyState, type FeedState, highestVersion, type VersionRecord } from './offer.ts';
import { filesOf } from './yml.ts';

/** The copy of the state beside the feeds, from which it is rebuilt when the private folder is lost. */
export const publicStateName = 'unship.json';

const statuses: readonly unknown[] = ['published', 'halted', 'pulled'] satisfies VersionRecord['status'][];

function isRecord(version: string, value: unknown): value is VersionRecord {
  const record = value as VersionRecord | null;
  return (
    typeof record === 'object' &&
    record !== null &&
    statuses.includes(record.status) &&
    (record.before === null || typeof record.before === 'string') &&
    isManifest(record.manifest) &&
    record.manifest.version === version
  );
}

function isState(value: unknown): value is FeedState {
  const state = value as FeedState | null;
  return (
    typeof state === 'object' &&
    state !== null &&
    state.schema === emptyState.schema &&
    Number.isSafeInteger(state.fence) &&
    typeof state.versions === 'object' &&
    state.versions !== null &&
    Object.entries(state.versions).every(([version, record]) => isRecord(version, record)) &&
    (state.offered === null || Object.hasOwn(state.versions, state.offered))
  );
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    return isMissing(error) ? undefined : null;
  }
}

/**
 * The feed as it was before unship came: each version that a platform's file names is known from then on, so
 * that there is something to go back to after the first release.
 */
function adopt(feeds: { readonly [name: string]: FeedContent }): FeedState {
  const versions: { [version: string]: VersionRecord } = {};
  for (const [name, content] of Object.entries(feeds)) {
    const files = filesOf(content).filter((file) => file.size !== undefined) as Manifest['files'];
    const known = versions[content.version]?.manifest;
    const merged = new Map([...(known?.files ?? []), ...files].map((file) => [file.name, file]));
    versions[content.version] = {
      status: 'published',
      before: null,
      manifest: {
        version: content.version,
        commit: '',
        files: [...merged.values()],
        feeds: { ...known?.feeds, [name]: content },
      },
    };
  }
  const open = Object.values(feeds).filter((content) => content.stagingPercentage !== 0);
  return { ...emptyState, versions, offered: highestVersion(open.map(({ version }) => version)) ?? null };
}

/** The state of one feed: in the private folder, else from its copy in the feed, else from the feed itself. */
export class FeedStore {
  readonly #private: string;
  readonly #folder: string;

  constructor(privateFolder: string, folder: string) {
    this.#private = privateFolder;
    this.#folder = folder;
  }

  async read(): Promise<FeedState> {
    const path = join(this.#private, 'state.json');
    const own = await readJson(path);
    if (own !== undefined) {
      if (isState(own)) return own;
      throw new UnshipError('state-version', {
        happened: `${path} is not what this version of unship writes`,
        next: `use the version that wrote it; if it is damaged, move it away: it is rebuilt from ${join(this.#folder, publicStateName)}`,
      });
    }
    const copy = await readJson(join(this.#folder, publicStateName));
    // Its fence belonged to a lease that is lost with the private state: keeping it could lock everyone out.
    if (isState(copy)) return { ...copy, fence: 0 };
    return adopt(await readFeeds(this.#folder));
  }

  /**
   * Reads, checks the fence, changes and saves, while no other process does. `follow` makes the world follow
   * the new state, still under the lock; it runs even when nothing changed, for a predecessor may have been
   * killed before it did. Throws `fenced-out`, `busy`.
   */
  async change(
    context: WorkContext,
    transition: (state: FeedState) => FeedState,
    follow: (state: FeedState) => Promise<void> = async () => {},
  ): Promise<FeedState> {
    await mkdir(this.#private, { recursive: true, mode: 0o700 });
    return await exclusively(this.#private, context, async () => {
      const before = await this.read();
      if (context.fence < before.fence) {
        throw new UnshipError('fenced-out', {
          happened: `the desktop feed has been worked on with fence ${before.fence}; this run has ${context.fence}`,
          done: 'the feed was not changed by this step',
        });
      }
      await clearTemporary(this.#private, context.fence);
      const next = transition({ ...before, fence: context.fence });
      const path = join(this.#private, 'state.json');
      const text = `${JSON.stringify(next, null, 2)}\n`;
      if (text !== (await readFile(path, 'utf8').catch(() => ''))) {
        context.runtime.faults.point('feed.state.before');
        await writeWhole(path, text, 0o600, context.fence);
        context.runtime.faults.point('feed.state.after');
      }
      await follow(next);
      return next;
    });
  }
}
