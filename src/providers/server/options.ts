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
  /** Default `npm start`. The process must listen on 127.0.0.1 at the port given in `PORT`. Not used by `static`. */
  readonly start?: Command;
  /** Variables for install, build and start, besides PATH, HOME, LANG and NODE_ENV. */
  readonly environment?: { readonly [name: string]: string };
  /** Path asked of the target before it gets traffic; 200–399 passes. Default `/`. */
  readonly health?: string;
  /** How long a start may take until `health` passes. Default 30s. */
  readonly startWithin?: Duration;
  /** How long requests under way may take to end when traffic leaves. Default 10s. */
  readonly drain?: Duration;
  /** Default 15m. */
  readonly buildWithin?: Duration;
  /**
   * What becomes of the release that no longer serves: `keep` it running for the bake time (the way back is
   * then a pointer), `stop` it, or send it a signal with which it goes to standby.
   */
  readonly previous?: 'keep' | 'stop' | { readonly standby: NodeJS.Signals; readonly wake: NodeJS.Signals };
  /** Staged releases kept on disk. Default 5. */
  readonly keepOnDisk?: number;
  readonly switch: /** The built-in gateway listens here; put the TLS proxy in front of it. */
    | { readonly gateway: { readonly port: number; readonly host?: string } }
    /** For static sites: this symbolic link points at the live release's folder, flipped atomically. */
    | { readonly symlink: string; readonly folder?: string; readonly url?: string }
    /** Commands of your own; UNSHIP_RELEASE, UNSHIP_COMMIT, UNSHIP_FOLDER and UNSHIP_PORT are set. */
    | { readonly commands: { readonly activate: Command; readonly live: Command }; readonly url?: string };
}

export function server(options: ServerOptions): SurfaceDefinition<ServerOptions> {
  return { provider: 'server', kind: 'web', options };
}
