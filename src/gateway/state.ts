import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';
import type { ReleaseId } from '../domain/release.ts';
import type { Listen, ReleaseSpec } from './protocol.ts';

/** A process as it must be found again after the gateway's own death. */
export interface SupervisedRelease {
  readonly spec: ReleaseSpec;
  readonly port: number;
  /** Null between the decision to spawn and the record of the spawn. */
  readonly pid: number | null;
  /** See `identityOf`. */
  readonly identity: string | null;
  /** In the process's environment: finds it when `pid` was never recorded. */
  readonly token: string;
  readonly startMs: number;
  readonly standby: boolean;
  /** Its health check has passed once; one that has not is no candidate for a restart. */
  readonly proven: boolean;
}

export interface HoldState {
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly ownerPid: number;
  readonly ownerIdentity: string | null;
}

export interface GatewayState {
  readonly schema: 'unship.gateway/1';
  readonly fence: number;
  readonly live: ReleaseId | null;
  readonly weights: { readonly [release: ReleaseId]: number };
  readonly listen: Listen | null;
  readonly hold: HoldState | null;
  /** Path of the control socket. */
  readonly socket: string | null;
  readonly releases: { readonly [release: ReleaseId]: SupervisedRelease };
  /** It was told to end: nobody brings it up again unasked. */
  readonly stopped?: boolean;
}

const empty: GatewayState = {
  schema: 'unship.gateway/1',
  fence: 0,
  live: null,
  weights: {},
  listen: null,
  hold: null,
  socket: null,
  releases: {},
};

/**
 * The gateway's memory. A change is durable before the promise of `update` resolves, so what was acknowledged
 * is what a restarted gateway serves. Changes happen one after another, in the order they were asked for.
 */
export class StateFile {
  #current: GatewayState;
  #last: Promise<unknown> = Promise.resolve();
  readonly #path: string;

  private constructor(path: string, current: GatewayState) {
    this.#path = path;
    this.#current = current;
  }

  /** An unreadable file is set aside, and `report` told: traffic to nothing is better than to a guess. */
  static async open(folder: string, report: (text: string) => void): Promise<StateFile> {
    const path = join(folder, 'state.json');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (text === null) return new StateFile(path, empty);
    try {
      const found = JSON.parse(text) as GatewayState;
      if (found.schema !== 'unship.gateway/1') throw new Error(`schema ${String(found.schema)}`);
      return new StateFile(path, found);
    } catch (error) {
      await rename(path, `${path}.unreadable-${Date.now()}`);
      report(`state file set aside: ${String(error)}`);
      return new StateFile(path, empty);
    }
  }

  get current(): GatewayState {
    return this.#current;
  }

  /** `change` sees the newest state; when it throws, or the disk fails, nothing has changed. */
  update(change: (state: GatewayState) => GatewayState): Promise<GatewayState> {
    const next = this.#last.then(async () => {
      const changed = change(this.#current);
      if (changed === this.#current) return changed;
      await writeDurably(this.#path, `${JSON.stringify(changed)}\n`);
      this.#current = changed;
      return changed;
    });
    this.#last = next.catch(() => undefined);
    return next;
  }

  updateRelease(
    release: ReleaseId,
    change: (entry: SupervisedRelease | undefined) => SupervisedRelease | undefined,
  ): Promise<GatewayState> {
    return this.update((state) => {
      const { [release]: before, ...others } = state.releases;
      const after = change(before);
      if (after === before) return state;
      return { ...state, releases: after === undefined ? others : { ...others, [release]: after } };
    });
  }
}

/** The state with this fence taken note of. Throws `fenced-out` when a higher one has been seen. */
export function fenced(state: GatewayState, fence: number): GatewayState {
  if (!Number.isSafeInteger(fence) || fence < 0) {
    throw new UnshipError('internal', { happened: `the fence ${String(fence)} is no number` });
  }
  if (fence < state.fence) {
    throw new UnshipError('fenced-out', {
      happened: `the gateway has seen fence ${state.fence}, and this run has ${fence}`,
      done: 'nothing was changed',
    });
  }
  return fence === state.fence ? state : { ...state, fence };
}

async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  // A link that lies there is removed, never written through.
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
