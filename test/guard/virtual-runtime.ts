import type { Runtime } from '../../src/domain/runtime.ts';

/** Time that passes only while somebody sleeps, and at once. */
export interface VirtualRuntime extends Runtime {
  /** Moves the wall clock alone, as an operator or NTP does. */
  stepWallClock(ms: number): void;
  /** Time that passes without a sleep: slow work. */
  pass(ms: number): void;
}

export function virtualRuntime(startsAt = 1_700_000_000_000): VirtualRuntime {
  let elapsed = 0;
  let offset = 0;
  return {
    clock: {
      now: () => startsAt + elapsed + offset,
      monotonic: () => elapsed,
      sleep: async (ms, signal) => {
        if (signal?.aborted !== true) elapsed += ms;
      },
    },
    ids: { random: () => '0'.repeat(32) },
    faults: { point: () => {} },
    digest: (text) => text,
    stepWallClock: (ms) => {
      offset += ms;
    },
    pass: (ms) => {
      elapsed += ms;
    },
  };
}
