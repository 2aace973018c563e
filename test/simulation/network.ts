import { UnshipError } from '../../src/domain/errors.ts';
import type { VirtualTime } from '../support/virtual-time.ts';
import type { Faults } from './faults.ts';
import type { SimulatedProcess } from './process.ts';
import type { Random } from './random.ts';

/** A caller's patience for a reply that does not come, in ms. */
const patienceMs = 10_000;

function unreachable(happened: string): UnshipError {
  return new UnshipError('gateway-unreachable', { happened });
}

/**
 * What stands between a process and the servers it works with. A server does what reached it, whether or not its
 * answer comes back.
 */
export class Network {
  readonly #time: VirtualTime;
  readonly #faults: Faults;
  readonly #random: Random;
  readonly #looking: () => () => void;
  readonly #earlier = new Map<string, unknown>();
  #downUntil = 0;
  /** Somebody was told how things were, not how they are: nobody can know better. */
  lied = false;
  /** Told of every order as it leaves its sender; where it answers a promise, the order is on its way until then. */
  onSent: (process: SimulatedProcess) => Promise<void> | undefined = () => undefined;

  /** `looking` is told before each effect; what it answers is told after it. */
  constructor(time: VirtualTime, faults: Faults, random: Random, looking: () => () => void) {
    this.#time = time;
    this.#faults = faults;
    this.#random = random;
    this.#looking = looking;
  }

  /** Asks a server. `question` names what is asked, so that a stale answer is one to the same. */
  async ask<T>(
    process: SimulatedProcess,
    signal: AbortSignal,
    question: string,
    answer: () => T,
  ): Promise<T> {
    return await this.#call(process, signal, answer, question);
  }

  /**
   * Has a server do something, between the two places where its caller may be killed. `outlivesMs` is how long after
   * the death of its caller it may still begin.
   */
  async command<T>(
    process: SimulatedProcess,
    signal: AbortSignal,
    name: string,
    effect: () => T,
    outlivesMs: number = Number.POSITIVE_INFINITY,
  ): Promise<T> {
    const { faults } = process.runtime;
    faults.point(`${name}.before`);
    await process.gate();
    const watched = (): T => {
      // Whoever sent it does not hear of it.
      if (this.#time.now() - process.diedAt > outlivesMs) return undefined as T;
      const looked = this.#looking();
      const answer = effect();
      looked();
      return answer;
    };
    const onItsWay = this.onSent(process);
    const result = await this.#call(process, signal, watched, undefined, mayPretend.has(name), onItsWay);
    faults.point(`${name}.after`);
    await process.gate();
    return result;
  }

  async #call<T>(
    process: SimulatedProcess,
    signal: AbortSignal,
    work: () => T,
    question: string | undefined,
    mayPretend = false,
    onItsWay: Promise<void> | undefined = undefined,
  ): Promise<T> {
    const { clock } = process.runtime;
    if (onItsWay === undefined) await process.gate();
    signal.throwIfAborted();
    if (!this.#faults.over && this.#time.now() < this.#downUntil) {
      await clock.sleep(this.#random.between(1, 20), signal);
      throw unreachable('the connection was killed');
    }
    const fault = this.#faults.at(
      'call',
      (kind) => kind !== 'reply-stale' || question !== undefined || mayPretend,
    );
    const isLateOnItsWay = fault === 'reply-late' && question === undefined && this.#random.chance(0.5);
    // What was sent arrives, whether or not its sender still lives or waits.
    await this.#time.sleep(
      isLateOnItsWay ? this.#random.between(1_000, 90_000) : this.#random.between(1, 20),
    );
    if (onItsWay !== undefined) await onItsWay;
    const before = question === undefined ? undefined : this.#earlier.get(question);
    // It is not one call's: for a while nobody gets through.
    if (fault === 'connection-killed') this.#downUntil = this.#time.now() + this.#random.between(100, 60_000);
    const reached =
      fault !== 'connection-reset' &&
      fault !== 'connection-killed' &&
      !(fault === 'reply-hanging' && this.#random.chance(0.5)) &&
      !(fault === 'reply-stale' && question === undefined);
    const result = reached ? work() : undefined;
    await process.gate();
    signal.throwIfAborted();
    if (reached && question !== undefined) this.#earlier.set(question, result);
    switch (fault) {
      case undefined:
        return result as T;
      case 'reply-duplicated':
        // What sends again by itself after a lost reply has its request carried out twice.
        return work();
      case 'reply-late':
        await clock.sleep(this.#random.between(1_000, 90_000), signal);
        signal.throwIfAborted();
        return result as T;
      case 'reply-stale':
        if (question !== undefined) this.lied = true;
        return (before ?? result) as T;
      case 'reply-lost':
        await clock.sleep(patienceMs, signal);
        throw unreachable('no answer within 10 s');
      case 'reply-hanging':
        await clock.sleep(Number.MAX_SAFE_INTEGER, signal);
        signal.throwIfAborted();
        throw unreachable('the connection was closed');
      case 'reply-truncated':
        throw unreachable('the answer ended in its middle');
      case 'error-that-succeeded':
        throw unreachable('503 Service Unavailable');
      default:
        throw unreachable('the connection was reset');
    }
  }
}

/** Orders to which something in between may answer from its memory that all is done, and nothing is. */
const mayPretend: ReadonlySet<string> = new Set([
  'web.switch',
  'web.hold',
  'web.retire',
  'desktop.publish',
  'desktop.halt',
  'desktop.pull',
  'desktop.unpull',
  'desktop.publish-standby',
]);
