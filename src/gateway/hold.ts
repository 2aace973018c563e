import { identityOf } from './process-identity.ts';
import type { HoldState, StateFile } from './state.ts';
import type { Traffic } from './traffic.ts';

/** A hold whose owner has died goes on for so long: another process may take the run up. */
const orphanedMs = 5_000;
/** An owner that can't be seen from here (another pid namespace) gets no longer than this. */
const unseenOwnerMs = 60_000;
const lookEveryMs = 100;

/** The state of a hold that begins now. */
export function newHold(ownerPid: number, maxMs: number): HoldState {
  const ownerIdentity = identityOf(ownerPid);
  const longest = ownerIdentity === null ? Math.min(maxMs, unseenOwnerMs) : maxMs;
  return { until: Date.now() + longest, ownerPid, ownerIdentity };
}

/** The hold of somebody who is no longer in office: like one whose owner has died, though this one may be frozen. */
export function leftBehind(hold: HoldState): HoldState {
  return { ...hold, until: Math.min(hold.until, Date.now() + orphanedMs) };
}

/** Ends a hold by itself when its time is over or its owner has died: a dead run leaves nobody waiting. */
export class HoldWatch {
  readonly #state: StateFile;
  readonly #traffic: Traffic;
  readonly #report: (text: string) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(state: StateFile, traffic: Traffic, report: (text: string) => void) {
    this.#state = state;
    this.#traffic = traffic;
    this.#report = report;
  }

  /** Watches the hold of the state; nothing when there is none. */
  begin(): void {
    this.#look(undefined);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(orphanedSince: number | undefined): void {
    clearTimeout(this.#timer);
    const { hold } = this.#state.current;
    if (hold === null) return;
    const now = Date.now();
    const orphaned = hold.ownerIdentity !== null && identityOf(hold.ownerPid) !== hold.ownerIdentity;
    const since = orphaned ? (orphanedSince ?? now) : undefined;
    if (now >= hold.until || (since !== undefined && now - since >= orphanedMs)) {
      void this.#end(hold, orphaned ? 'its owner has died' : 'it lasted too long');
    } else {
      this.#timer = setTimeout(() => this.#look(since), lookEveryMs);
    }
  }

  async #end(ended: HoldState, reason: string): Promise<void> {
    this.#report(`the hold was ended: ${reason}`);
    try {
      await this.#state.update((state) => (state.hold === ended ? { ...state, hold: null } : state));
    } catch (error) {
      this.#report(`and could not be written down: ${String(error)}`);
    }
    // A new hold may have begun meanwhile; it has a watch of its own.
    if (this.#state.current.hold === null || this.#state.current.hold === ended) this.#traffic.resume();
  }
}
