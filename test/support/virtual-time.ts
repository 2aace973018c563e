import { createHash } from 'node:crypto';
import type { Clock, Runtime } from '../../src/domain/runtime.ts';

interface Sleeper {
  readonly at: number;
  readonly order: number;
  wake(): void;
}

/**
 * One time for everything in a test: when nobody has anything to do any more, it jumps to the moment at which
 * the next sleeper wakes. Hours pass at once, in the order in which they would.
 */
export class VirtualTime {
  #now = 1_700_000_000_000;
  #order = 0;
  #sleepers = new Set<Sleeper>();
  #ticking = false;
  #ended = false;
  readonly #afterAll: (tick: () => void) => void;

  /**
   * `afterAll` runs something when nobody has anything to do any more. By default that is an immediate, which waits
   * for files too; where there are none, a turn of the event loop each time would be most of the cost.
   */
  constructor(afterAll: (tick: () => void) => void = setImmediate) {
    this.#afterAll = afterAll;
  }

  now(): number {
    return this.#now;
  }

  /** Moves the clock as an operator or NTP does: nobody who sleeps notices. */
  step(ms: number): void {
    this.#now += ms;
    const moved = [...this.#sleepers].map((sleeper) => ({ ...sleeper, at: sleeper.at + ms }));
    this.#sleepers = new Set(moved);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const sleeper: Sleeper = {
        at: this.#now + ms,
        order: this.#order++,
        wake: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      const abort = (): void => {
        this.#sleepers.delete(sleeper);
        sleeper.wake();
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#sleepers.add(sleeper);
      this.#tick();
    });
  }

  /** Nobody wakes any more. */
  end(): void {
    this.#ended = true;
    this.#sleepers.clear();
  }

  #tick(): void {
    if (this.#ticking || this.#ended) return;
    this.#ticking = true;
    // Everything that can go on without time passing does so before it.
    this.#afterAll(() => {
      this.#ticking = false;
      if (this.#ended) return;
      let next: Sleeper | undefined;
      for (const one of this.#sleepers) {
        if (next === undefined || one.at < next.at || (one.at === next.at && one.order < next.order))
          next = one;
      }
      if (next === undefined) return;
      this.#sleepers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
      this.#tick();
    });
  }
}

export class Killed extends Error {
  constructor() {
    super('this process is dead');
    this.name = 'Killed';
  }
}

/**
 * A process that can be killed: from then on it neither wakes nor passes a fault point, and as every effect and
 * every write stands behind one, nothing more comes of it, however its code goes on.
 */
export class VirtualProcess {
  readonly runtime: Runtime;
  readonly points: string[] = [];
  #alive = true;
  #killAt = Number.POSITIVE_INFINITY;
  #whenKilled: () => void = () => {};
  readonly killed: Promise<void>;

  constructor(time: VirtualTime, random: string = '0'.repeat(32)) {
    this.killed = new Promise((resolve) => {
      this.#whenKilled = resolve;
    });
    const clock: Clock = {
      now: () => time.now(),
      monotonic: () => time.now(),
      sleep: async (ms, signal) => {
        await time.sleep(ms, signal);
        if (!this.#alive) await new Promise<void>(() => {});
      },
    };
    this.runtime = {
      clock,
      ids: { random: () => random },
      faults: { point: (name) => this.#pass(name) },
      digest: (text) => createHash('sha256').update(text).digest('hex'),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** It dies at the n-th place it passes, counted from 1. */
  killAt(place: number): void {
    this.#killAt = place;
  }

  kill(): void {
    this.#alive = false;
    this.#whenKilled();
  }

  #pass(name: string): void {
    if (!this.#alive) throw new Killed();
    this.points.push(name);
    if (this.points.length < this.#killAt) return;
    this.kill();
    throw new Killed();
  }
}
