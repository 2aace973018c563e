import { randomBytes } from 'node:crypto';
import { readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import type { WebTarget } from '../../surfaces/web/web.port.ts';
import { passFence } from './fence.ts';
import { syncFolder } from './files.ts';
import { insideRepository, type Layout, releaseOf, stagedName, surfaceFolder } from './layout.ts';
import { askLive, assertAnswers, wrongRelease } from './live.ts';
import type { ServerOptions } from './options.ts';
import type { TrafficSwitch } from './switch.ts';

export interface SymlinkParts {
  readonly options: ServerOptions;
  readonly layout: Layout;
  /** Absolute path of the link. */
  readonly link: string;
  /** Folder inside the release that is served. */
  readonly folder: string | undefined;
  readonly url: string | null;
}

/** A web server serves what the link points at; no process is ours. */
export function createSymlinkSwitch({ options, layout, link, folder, url }: SymlinkParts): TrafficSwitch {
  const placeOf = (target: WebTarget): string =>
    join(surfaceFolder(layout, stagedName(target), options), insideRepository(folder ?? '.'));
  const liveName = async (): Promise<string | null> => stagedNameIn(layout, await pointsAt(link));
  const unsupported = (): Promise<never> =>
    Promise.reject(
      new UnshipError('hold-unsupported', {
        happened: 'static files are served by a web server of your own',
      }),
    );
  return {
    address: url,
    canHold: false,
    look: async () => {
      const name = await liveName();
      return {
        live: name === null ? null : releaseOf(name),
        warm: new Set(),
        inUse: new Set(name ? [name] : []),
        holding: false,
      };
    },
    raiseFence: ({ fence }) => passFence(layout, fence),
    start: async (_context, target) => {
      await assertFolder(placeOf(target), target);
      return { startMs: 0, cold: false };
    },
    switchTo: async ({ fence }, target) => {
      const place = placeOf(target);
      await passFence(layout, fence);
      if ((await pointsAt(link)) === place) return;
      await assertFolder(place, target);
      await flip(link, place);
    },
    verifyLive: async ({ signal }, target) => {
      const seen = await pointsAt(link);
      if (seen !== placeOf(target))
        throw wrongRelease(`${link} points at ${seen ?? 'nothing'}`, target.release);
      if (url === null) return { observed: `${link} points at ${target.release}` };
      const answer = await askLive(`${url}${options.health ?? '/'}`, signal);
      assertAnswers(url, answer);
      return { observed: `${link} points at ${target.release}; GET ${url}: ${answer.status}` };
    },
    hold: unsupported,
    resume: unsupported,
    retire: () => Promise.resolve(),
    keepUp: async () => false,
    dispose: () => Promise.resolve(),
  };
}

/** Absolute target of the link; null when there is none. Throws `config-invalid` on a real folder in its place. */
async function pointsAt(link: string): Promise<string | null> {
  try {
    return resolve(dirname(link), await readlink(link));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code !== 'EINVAL') throw error;
    throw new UnshipError('config-invalid', {
      happened: `${link} is no symbolic link`,
      done: 'nothing was changed',
      next: 'move it away, or name another path in `switch.symlink`',
    });
  }
}

/** A reader sees the old target or the new one, and never none. Relative, so that the whole may be moved. */
export async function flip(link: string, place: string): Promise<void> {
  const temporary = `${link}.${randomBytes(6).toString('hex')}`;
  try {
    await symlink(relative(dirname(link), place), temporary);
    await rename(temporary, link);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(link));
}

function stagedNameIn(layout: Layout, place: string | null): string | null {
  const name = place === null ? undefined : relative(layout.releases, place).split(sep)[0];
  return name !== undefined && releaseOf(name) !== null ? name : null;
}

async function assertFolder(place: string, { release }: WebTarget): Promise<void> {
  const found = await stat(place).catch(() => null);
  if (found?.isDirectory()) return;
  throw new UnshipError('target-unhealthy', {
    happened: `${release} has no folder ${place}`,
    done: 'the link was not touched',
  });
}
