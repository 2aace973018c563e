import type { Command } from '../../domain/command.ts';
import type { SurfaceDefinition } from '../../domain/definition.ts';
import type { Duration } from '../../domain/duration.ts';

/** One's own server, this machine. */
export interface ServerOptions {
  /** Folder of this surface inside the repository. Default `.`. */
  readonly root?: string;
  /** Default: `npm ci` when there is a lockfile, else `npm install` when there is a package.json; `false` for none. */
  readonly install?: Command | false;
  /** Default: `npm run build` when package.json has that script; `false` for none. */
  readonly build?: Command | false;
  /**
   * Default `npm start` behind the gateway. The process must listen on 127.0.0.1 at the port given in `PORT`.
   * Not used with `symlink`; with `commands` a process is run only when this is set.
   */
  readonly start?: Command;
  /**
   * Variables for install, build and start, besides PATH, HOME, LANG and NODE_ENV. Install and build get an
   * empty home folder of their own: what a build needs from yours (a registry token) is named here.
   */
  readonly environment?: { readonly [name: string]: string };
  /** Path asked of the target before it gets traffic; 200–399 passes. Default `/`. */
  readonly health?: string;
  /** How long a start may take until `health` passes. Default 30s. */
  readonly startWithin?: Duration;
  /** How long requests under way may take to end when traffic leaves. Default 10s. */
  readonly drain?: Duration;
  /** Default 15m. */
  readonly buildWithin?: Duration;
  /** Memory of a build, all its processes together, in MiB. Default 4096. */
  readonly buildMemory?: number;
  /** Files and folders that builds may read besides the checkout and the system's programs. */
  readonly buildReads?: readonly string[];
  /** Where the machine can't enclose builds, only commits of these local branches are built. Default main, master. */
  readonly protectedBranches?: readonly string[];
  /**
   * What becomes of the release that no longer serves: `keep` it running for the bake time (the way back is
   * then a pointer), `stop` it, or send it a signal with which it goes to standby.
   */
  readonly previous?: 'keep' | 'stop' | { readonly standby: NodeJS.Signals; readonly wake: NodeJS.Signals };
  /** Staged releases kept on disk. Default 5. */
  readonly keepOnDisk?: number;
  readonly switch: /**
   * The built-in gateway listens here; put the TLS proxy in front of it. `trustProxy`: that proxy is the only
   * one who can reach the port, and its `X-Forwarded-*` are passed on. Default: they are replaced. Host default
   * 127.0.0.1.
   */
    | { readonly gateway: { readonly port: number; readonly host?: string; readonly trustProxy?: boolean } }
    /**
     * For static sites: this symbolic link points at the live release's folder (or `folder` inside it), flipped
     * atomically. Releases lie beside it in `<symlink>.releases`, readable for the web server.
     */
    | { readonly symlink: string; readonly folder?: string; readonly url?: string }
    /**
     * Commands of your own; UNSHIP_RELEASE, UNSHIP_COMMIT, UNSHIP_FOLDER and, with `start`, UNSHIP_PORT are set.
     * `live` prints the live release (`r41`) or nothing. A rehearsal never runs them: it switches on a copy.
     */
    | { readonly commands: { readonly activate: Command; readonly live: Command }; readonly url?: string };
}

export function server(options: ServerOptions): SurfaceDefinition<ServerOptions> {
  return { provider: 'server', kind: 'web', options };
}
