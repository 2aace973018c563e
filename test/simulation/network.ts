import { UnshipError } from '../../src/domain/errors.ts';
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
  readonly #faults: Faults;
  readonly #random: Random;
  readonly #earlier = new Map<string, unknown>();

  constructor(faults: Faults, random: Random) {
    this.#faults = faults;
    this.#random = random;
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

  /** Has a server do something, between the two places where its caller may be killed. */
  async command<T>(
    process: SimulatedProcess,
    signal: AbortSignal,
    name: string,
    effect: () => T,
  ): Promise<T> {
    const { faults } = process.runtime;
    faults.point(`${name}.before`);
    await process.gate();
    const result = await this.#call(process, signal, effect, undefined);
    faults.point(`${name}.after`);
    await process.gate();
    return result;
  }

  async #call<T>(
    process: SimulatedProcess,
    signal: AbortSignal,
    work: () => T,
    question: string | undefined,
  ): Promise<T> {
    const { clock } = process.runtime;
    await process.gate();
    signal.throwIfAborted();
    await clock.sleep(this.#random.between(1, 20), signal);
    signal.throwIfAborted();
    const fault = this.#faults.at('call', (kind) => kind !== 'reply-stale' || question !== undefined);
    const before = question === undefined ? undefined : this.#earlier.get(question);
    const reached = fault !== 'connection-reset' && !(fault === 'reply-hanging' && this.#random.chance(0.5));
    const result = reached ? work() : undefined;
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
