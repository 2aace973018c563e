import type { ReleaseId } from '../domain/release.ts';

/** A request (or an upgraded connection) that a release is answering. */
export interface Exchange {
  /** Ends it now, finished or not: its time to drain is over. */
  cut(): void;
}

/** A request that wants a release. Exactly one of `go` and `refuse` is called, unless `cancel` came first. */
export interface Arrival {
  go(release: ReleaseId): void;
  /** Nothing was sent to any release. */
  refuse(reason: 'no-release' | 'too-many-waiting' | 'waited-too-long'): void;
}

export interface Limits {
  readonly maxWaiting: number;
  readonly maxWaitMs: number;
}

interface Active {
  readonly requests: Set<Exchange>;
  readonly upgraded: Set<Exchange>;
}

/**
 * Who goes where: the weights between releases, the hold, and what is under way. Knows nothing of HTTP.
 * Its methods change everything in one turn of the event loop, so no request sees a half-made switch.
 */
export class Traffic {
  #weights: readonly (readonly [ReleaseId, number])[] = [];
  #held = false;
  readonly #waiting = new Map<Arrival, NodeJS.Timeout>();
  readonly #active = new Map<ReleaseId, Active>();
  readonly #departures = new Set<() => void>();
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get held(): boolean {
    return this.#held;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** New requests follow these weights from now on; a hold goes on until `resume`. */
  route(weights: { readonly [release: ReleaseId]: number }): void {
    this.#weights = (Object.entries(weights) as [ReleaseId, number][]).filter(([, weight]) => weight > 0);
  }

  hold(): void {
    this.#held = true;
  }

  /** Everyone who waits goes on, in the order of arrival. */
  resume(): void {
    this.#held = false;
    for (const [arrival, timer] of [...this.#waiting]) {
      clearTimeout(timer);
      this.#waiting.delete(arrival);
      this.#dispatch(arrival);
    }
  }

  arrive(arrival: Arrival): void {
    if (!this.#held) {
      this.#dispatch(arrival);
      return;
    }
    if (this.#waiting.size >= this.#limits.maxWaiting) {
      arrival.refuse('too-many-waiting');
      return;
    }
    const timer = setTimeout(() => {
      this.#waiting.delete(arrival);
      arrival.refuse('waited-too-long');
    }, this.#limits.maxWaitMs);
    this.#waiting.set(arrival, timer);
  }

  /** Its client went away while it waited. */
  cancel(arrival: Arrival): void {
    clearTimeout(this.#waiting.get(arrival));
    this.#waiting.delete(arrival);
  }

  /** Returns the function to call, once, when the exchange is over. */
  enter(release: ReleaseId, kind: keyof Active, exchange: Exchange): () => void {
    let active = this.#active.get(release);
    if (active === undefined) {
      active = { requests: new Set(), upgraded: new Set() };
      this.#active.set(release, active);
    }
    const set = active[kind];
    set.add(exchange);
    return () => {
      if (!set.delete(exchange)) return;
      for (const heard of [...this.#departures]) heard();
    };
  }

  inFlight(release?: ReleaseId): number {
    if (release !== undefined) return this.#active.get(release)?.requests.size ?? 0;
    let sum = 0;
    for (const active of this.#active.values()) sum += active.requests.size;
    return sum;
  }

  /** Resolves when nothing is under way (on `release`, or at all), or after `withinMs`. Upgraded ones don't count. */
  idle(withinMs: number, release?: ReleaseId): Promise<void> {
    if (this.inFlight(release) === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#departures.delete(heard);
        resolve();
      };
      const heard = (): void => {
        if (this.inFlight(release) === 0) done();
      };
      const timer = setTimeout(done, withinMs);
      this.#departures.add(heard);
    });
  }

  /** Upgraded connections never end by themselves: their clients connect again, and get the release that serves. */
  cutUpgraded(release?: ReleaseId): void {
    for (const [name, active] of this.#active) {
      if (release !== undefined && name !== release) continue;
      for (const exchange of [...active.upgraded]) exchange.cut();
    }
  }

  cut(release: ReleaseId): void {
    for (const exchange of [...(this.#active.get(release)?.requests ?? [])]) exchange.cut();
    this.cutUpgraded(release);
  }

  /** Releases that answer something although no new request is sent to them. */
  leaving(): readonly ReleaseId[] {
    const routed = new Set(this.#weights.map(([release]) => release));
    return [...this.#active]
      .filter(([name, active]) => !routed.has(name) && active.requests.size + active.upgraded.size > 0)
      .map(([name]) => name);
  }

  isRouted(release: ReleaseId): boolean {
    return this.#weights.some(([name]) => name === release);
  }

  #dispatch(arrival: Arrival): void {
    const release = this.#choose();
    if (release === undefined) arrival.refuse('no-release');
    else arrival.go(release);
  }

  #choose(): ReleaseId | undefined {
    if (this.#weights.length <= 1) return this.#weights[0]?.[0];
    const sum = this.#weights.reduce((total, [, weight]) => total + weight, 0);
    let rest = Math.random() * sum;
    for (const [release, weight] of this.#weights) {
      rest -= weight;
      if (rest < 0) return release;
    }
    return this.#weights.at(-1)?.[0];
  }
}
