/**
 * What the outside world gives the program: time, ids, and the places where a fault may be injected.
 * They come in through a context, so that a test owns them.
 */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds that never go back, for durations. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when `signal` aborts (it does not reject). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Ids {
  /** A fresh random identifier of 16 bytes as 32 hexadecimal digits. */
  random(): string;
}

/**
 * Named places before and after every effect and every journal write. In production they do nothing; the
 * torture test kills the process there, the simulation throws.
 */
export interface Faults {
  point(name: string): void;
}

export interface Runtime {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly faults: Faults;
  /** SHA-256 as 64 hexadecimal digits. */
  digest(text: string): string;
}
