import type { Command } from '../../domain/command.ts';
import type { SurfaceDefinition } from '../../domain/definition.ts';
import type { Duration } from '../../domain/duration.ts';

export interface FeedOptions {
  /** Folder of the desktop application inside the repository: its package.json has the version. Default `desktop`. */
  readonly root?: string;
  /** Folder that the static host serves and electron-updater's generic provider reads. */
  readonly folder: string;
  /**
   * Where the built artifacts of a release lie, with electron-builder's own `latest*.yml` or without,
   * relative to the configuration's folder (with `build`, to that folder in the clean checkout). `{version}` and
   * `{commit}` are filled in.
   */
  readonly artifacts: string;
  /**
   * Builds the artifacts in a clean checkout, started in `root`; without it they must lie in `artifacts` already.
   * It gets PATH, LANG, an empty HOME of its own, TMPDIR, UNSHIP_VERSION and UNSHIP_COMMIT.
   */
  readonly build?: Command;
  /** Default 15m. */
  readonly buildWithin?: Duration;
  /** Memory of the build, all its processes together, in MiB. Default 4096. */
  readonly buildMemory?: number;
  /** Files and folders that the build may read besides the checkout and the system's programs. */
  readonly buildReads?: readonly string[];
  /** Where the machine can't enclose builds, only commits of these local branches are built. Default main, master. */
  readonly protectedBranches?: readonly string[];
  /**
   * Where the last good code, built under a higher version, lies. `{commit}` stands for the commit whose code it
   * is; without it a `standby.json` beside the artifacts names it: `{"commit": "…"}`. Default none:
   * `desktop standby add` takes it.
   */
  readonly standby?: string;
  /** Address clients read, for verifying what they see; without it the folder itself is read. */
  readonly url?: string;
}

export function feed(options: FeedOptions): SurfaceDefinition<FeedOptions> {
  return { provider: 'feed', kind: 'desktop', options };
}
