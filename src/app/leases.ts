import type { RunOptions } from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import { isBeyondBelief, isSilent } from '../engine/lease-watch.ts';
import { leaseTtlMs, Session, type SessionAnswer } from '../engine/session.ts';
import type { Lease, LeaseMode, Store } from '../store/store.port.ts';
import type { Parts } from './parts.ts';

/** Takes the lease of this environment for this process. */
export class Leases {
  readonly #parts: Parts;
  /** The last holder that was watched in vain. */
  #silent: Lease | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Gives signs of life from then on. Throws `busy`. */
  async session(mode: LeaseMode, plan: Plan | null, options?: RunOptions): Promise<Session> {
    const { store } = this.#parts;
    let answer = await this.#ask(store, mode, plan);
    if (!answer.granted && (await this.#isSilent(answer.holder, options))) {
      answer = await this.#ask(store, mode, plan);
    }
    const session = this.#granted(answer);
    session.keep();
    return session;
  }

  /**
   * In `within`, a transaction with what follows: it waits for nobody, and the session is to be kept once that is
   * committed. Throws `busy`.
   */
  async take(within: Store, mode: LeaseMode, plan: Plan): Promise<Session> {
    return this.#granted(await this.#ask(within, mode, plan));
  }

  /** Whether somebody drives runs here now, as far as can be told from here. */
  async isHeld(holder: Lease | undefined, options: RunOptions): Promise<boolean> {
    return holder !== undefined && counts(this.#parts, holder) && !(await this.#isSilent(holder, options));
  }

  async #ask(within: Store, mode: LeaseMode, plan: Plan | null): Promise<SessionAnswer> {
    const { store, runtime, owner, isOwnerAlive } = this.#parts;
    const kind = plan?.kind ?? null;
    const request = { store, runtime, owner, mode, kind, silent: this.#silent, isAlive: isOwnerAlive };
    return await Session.open(request, within);
  }

  /**
   * Of a process elsewhere nobody can tell whether it lives, and where its clock is ahead of ours its lease would not
   * run out before ours gets there: then what counts is whether it gives signs of life.
   */
  async #isSilent(holder: Lease, options?: RunOptions): Promise<boolean> {
    const { store, runtime, isOwnerAlive } = this.#parts;
    if (!isBeyondBelief(holder, runtime.clock.now()) || isOwnerAlive(holder.owner) !== null) return false;
    if (this.#silent?.fence === holder.fence && this.#silent.expiresAt === holder.expiresAt) return true;
    const { user, host } = holder.owner;
    const watching = `the clock of ${host} is ahead of this one`;
    const text = `${watching}: waiting ${leaseTtlMs / 1000} s for a sign of life of ${user}'s process there`;
    options?.onEvent({ type: 'note', run: null, text });
    if (!(await isSilent(store, runtime.clock, holder, options?.signal))) return false;
    this.#silent = holder;
    return true;
  }

  #granted(answer: SessionAnswer): Session {
    if (answer.granted) return answer.session;
    throw busy(this.#parts, answer.holder);
  }
}

/** It has not run out, and its holder is not known to be dead. */
export function counts({ runtime, isOwnerAlive }: Parts, { owner, expiresAt }: Lease): boolean {
  return expiresAt > runtime.clock.now() && isOwnerAlive(owner) !== false;
}

/** Who is at work, since when, and what to do about it. */
export function busy({ runtime, request }: Parts, { owner, kind, since, run }: Lease): UnshipError {
  const seconds = Math.round((runtime.clock.now() - since) / 1000);
  // A clock that is ahead says that it has yet to begin.
  const known = seconds < 0 ? '' : `, for ${seconds} s`;
  return new UnshipError('busy', {
    happened: `${owner.user} on ${owner.host} holds ${request.environment} with \`${owner.command}\`${run === null ? '' : ` (run ${run})`}, process ${owner.pid}${known}`,
    done: 'nothing',
    next:
      kind === 'release'
        ? 'wait, or unship rollback, which goes before a release'
        : 'wait for it (unship status --watch), or --take-over if it hangs',
  });
}
