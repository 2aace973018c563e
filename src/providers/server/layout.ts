import { join, posix } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import { isCommit, shortCommit } from '../../domain/names.ts';
import { isReleaseId, type ReleaseId } from '../../domain/release.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { WebTarget } from '../../surfaces/web/web.port.ts';
import { member } from './files.ts';
import type { ServerOptions } from './options.ts';

/** Where this surface keeps what. */
export interface Layout {
  /** Private folder of the surface. */
  readonly folder: string;
  /** One folder a staged release: `r41-1a2b3c4/tree` and `staged.json`. */
  readonly releases: string;
  readonly logs: string;
  /** Empty homes of installs and builds, each there while it runs. */
  readonly home: string;
  readonly gateway: string;
  readonly measurements: string;
  /** Others than the owner must be able to read staged releases: a web server serves them. */
  readonly readable: boolean;
}

export function layoutOf(
  options: ServerOptions,
  environment: ProviderEnvironment,
  link: string | null,
  shared?: string,
): Layout {
  const { folder } = environment;
  return {
    folder,
    releases: shared ?? (link === null ? join(folder, 'releases') : `${link}.releases`),
    logs: join(folder, 'logs'),
    home: join(folder, 'home'),
    gateway: join(folder, 'gateway'),
    measurements: join(folder, 'measurements.json'),
    readable: 'symlink' in options.switch,
  };
}

const stagedRule = /^(r[1-9][0-9]{0,8})-([0-9a-f]{7})$/;

/**
 * Folder name of a target. An artifact of the same commit wins: a release that carried this surface over runs
 * from the folder of the release that made it. Throws `target-gone` on a release without a commit.
 */
export function stagedName({ release, commit, artifact }: WebTarget): string {
  if (!isReleaseId(release))
    throw new UnshipError('name-invalid', { happened: `${String(release)} is no release` });
  if (!isCommit(commit)) {
    throw new UnshipError('target-gone', {
      happened: `the commit of ${release} is not known: it was live before unship was`,
    });
  }
  const named = member(artifact, 'folder');
  const found = typeof named === 'string' ? stagedRule.exec(named) : null;
  return found?.[2] === shortCommit(commit) ? (named as string) : `${release}-${shortCommit(commit)}`;
}

/** The release a staged folder was made for; null for anything else that lies there. */
export function releaseOf(name: string): ReleaseId | null {
  const release = stagedRule.exec(name)?.[1];
  return release !== undefined && isReleaseId(release) ? release : null;
}

/** Folder of the surface inside a staged release: where install, build and start run. */
export function surfaceFolder(layout: Layout, name: string, options: ServerOptions): string {
  return join(layout.releases, name, 'tree', insideRepository(options.root ?? '.'));
}

/** Throws `config-invalid` on a path that leaves the repository. */
export function insideRepository(path: string): string {
  const clean = posix.normalize(path);
  if (posix.isAbsolute(clean) || clean === '..' || clean.startsWith('../')) {
    throw new UnshipError('config-invalid', { happened: `\`${path}\` leaves the repository` });
  }
  return clean;
}
