import type { PlanKind } from '../domain/plan.ts';
import type { Runtime } from '../domain/runtime.ts';
import type { Lease, LeaseMode, LeaseOwner, Store } from '../store/store.port.ts';

/** How long a lease lives without a sign of life, and how often one is given. */
export const leaseTtlMs = 10_000;
const heartbeatMs = 3_000;

export type SessionAnswer =
  | { readonly granted: true; readonly session: Session; readonly superseded: number | null }
  | { readonly granted: false; readonly holder: Lease };

export interface SessionRequest {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly owner: LeaseOwner;
  readonly mode: LeaseMode;
  readonly kind: PlanKind | null;
  /** A holder that was watched and gave no sign of life. */
  readonly silent?: Lease | undefined;
  isAlive(owner: LeaseOwner): boolean | null;
}

/**
 * The time in which this process holds the environment. A heartbeat renews the lease; `lost` aborts as soon
 * as another holder is seen, and every write with the old fence is refused from then on.
 */
export class Session {
  #fence: number;
  readonly #store: Store;
  readonly #runtime: Runtime;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  #run: number | null = null;
  #kind: PlanKind | null;
  /** One at a time: a sign of life under a fence that is just being raised would look like another holder's. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(store: Store, runtime: Runtime, lease: Lease) {
    this.#store = store;
    this.#runtime = runtime;
    this.#fence = lease.fence;
    this.#kind = lease.kind;
  }

  /**
   * Takes the lease, if it may be had. `within` is a transaction of the same state that takes it together with
   * other writes; `keep` follows once that is committed.
   */
  static async open(request: SessionRequest, within: Store = request.store): Promise<SessionAnswer> {
    const { store, runtime } = request;
    const answer = await within.acquireLease({
      owner: request.owner,
      mode: request.mode,
      run: null,
      kind: request.kind,
      now: runtime.clock.now(),
      ttlMs: leaseTtlMs,
      ...(request.silent === undefined ? {} : { silent: request.silent }),
      isAlive: request.isAlive,
    });
    if (!answer.granted) return answer;
    const session = new Session(store, runtime, answer.lease);
    return { granted: true, session, superseded: answer.superseded };
  }

  /** What it is now: it is asked for whenever something is sent or written. */
  get fence(): number {
    return this.#fence;
  }

  /**
   * Takes a higher fence. What was sent under the old one, and may still be on its way, counts from now on as an
   * earlier holder's. Throws `fenced-out` when the lease is no longer ours.
   */
  async raiseFence(): Promise<void> {
    await this.#inTurn(async () => {
      this.#fence = await this.#store.raiseFence(this.#fence);
    });
  }

  /** Gives signs of life until it is closed or lost. */
  keep(): void {
    void this.#beat();
  }

  /** Aborts when the lease is no longer ours. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Says which run the lease is held for, so that others see it. */
  async hold(run: number, kind: PlanKind): Promise<void> {
    this.carry(run, kind);
    await this.#renew();
  }

  /** The same where making the run has written it into the lease already; the next heartbeat repeats it. */
  carry(run: number, kind: PlanKind): void {
    this.#run = run;
    this.#kind = kind;
  }

  async close(): Promise<void> {
    this.#ended.abort('ended');
    if (this.#lost.signal.aborted) return;
    await this.#inTurn(async () => await this.#store.releaseLease(this.#fence));
  }

  async #renew(): Promise<void> {
    await this.#inTurn(async () => {
      const expiresAt = this.#runtime.clock.now() + leaseTtlMs;
      const ours = await this.#store.renewLease(this.#fence, this.#run, this.#kind, expiresAt);
      if (!ours) this.#lost.abort();
    });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    await mine;
  }

  async #beat(): Promise<void> {
    while (!this.#lost.signal.aborted) {
      await this.#runtime.clock.sleep(heartbeatMs, this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      // A renewal that fails once (a locked store) is tried again; the lease outlives three beats.
      await this.#renew().catch(() => undefined);
    }
  }
}
