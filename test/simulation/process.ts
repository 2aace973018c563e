import { hash } from 'node:crypto';
import type { Clock, Runtime } from '../../src/domain/runtime.ts';
import type { LeaseOwner } from '../../src/store/store.port.ts';
import { Killed, type VirtualTime } from '../support/virtual-time.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';

/**
 * One process of the simulation. It can be killed and frozen: everything it does passes `gate`, behind which a dead
 * one never comes, and a frozen one only when it thaws. Its wall clock may be wrong.
 */
export class SimulatedProcess {
  readonly owner: LeaseOwner;
  readonly runtime: Runtime;
  readonly ended: Promise<void>;
  readonly #time: VirtualTime;
  readonly #whenKilled: (() => void)[] = [];
  #alive = true;
  /** When it died, in ms. */
  #diedAt = Number.POSITIVE_INFINITY;
  #frozenUntil = 0;
  #offset = 0;
  #stopped: number | undefined;

  constructor(
    time: VirtualTime,
    owner: LeaseOwner,
    chance: { readonly faults: Faults; readonly random: Random; kill(): void; passed(point: string): void },
  ) {
    this.#time = time;
    this.owner = owner;
    this.ended = new Promise((resolve) => this.#whenKilled.push(resolve));
    const clock: Clock = {
      now: () => this.#stopped ?? Math.max(0, time.now() + this.#offset),
      monotonic: () => time.now(),
      sleep: async (ms, signal) => {
        await time.sleep(ms, signal);
        await this.gate();
      },
    };
    this.runtime = {
      clock,
      ids: {
        random: () =>
          Array.from({ length: 4 }, () => Math.floor(chance.random.next() * 2 ** 32))
            .map((part) => part.toString(16).padStart(8, '0'))
            .join(''),
      },
      faults: {
        point: (name) => {
          if (this.#alive) chance.passed(name);
          if (!this.#alive) throw new Killed();
          const before = name.endsWith('.before');
          const fault = chance.faults.at('point', (kind) =>
            kind === 'kill-before-effect' ? before : kind === 'kill-after-effect' ? !before : true,
          );
          if (fault === undefined) return;
          if (fault === 'freeze') {
            this.freeze(chance.random.between(200, 40_000));
            return;
          }
          chance.kill();
          throw new Killed();
        },
      },
      digest: (text) => hash('sha256', text),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  get diedAt(): number {
    return this.#diedAt;
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#diedAt = this.#time.now();
    for (const heard of this.#whenKilled.splice(0)) heard();
  }

  onKilled(heard: () => void): void {
    if (this.#alive) this.#whenKilled.push(heard);
    else heard();
  }

  freeze(ms: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, this.#time.now() + ms);
  }

  /** Its wall clock is off by so much from now on. */
  shiftClock(ms: number): void {
    this.#offset += ms;
  }

  stopClock(ms: number): void {
    this.#stopped = this.runtime.clock.now();
    void this.#time.sleep(ms).then(() => {
      this.#stopped = undefined;
    });
  }

  /** Passed before and after everything that it does. */
  async gate(): Promise<void> {
    while (this.#alive && this.#time.now() < this.#frozenUntil) {
      await this.#time.sleep(this.#frozenUntil - this.#time.now());
    }
    // A promise of its own: what waits on it for ever is forgotten with it.
    if (!this.#alive) await new Promise<never>(() => {});
  }
}
