import type { Cleanup } from './support/cleanup.ts';
import type { Machine } from './support/machine.ts';

export interface BenchOptions {
  /** Fewer rounds, for a look: under 50 s. */
  readonly quick: boolean;
  readonly cleanup: Cleanup;
}

/** Milliseconds where a name ends in `Ms`, MB where it ends in `Mb`; counts otherwise. */
export interface Figures {
  readonly [name: string]: number | { readonly [name: string]: number };
}

/** A peer that could not be measured, and why. */
export type Unmeasured = { readonly missing: string } | { readonly failed: string };

export interface Target {
  readonly what: string;
  readonly limit: number;
  readonly measured: number;
  readonly unit: 'ms' | 'MB' | 'times' | 'requests' | 'violations' | 'kinds';
  readonly met: boolean;
}

/** What a benchmark found. */
export interface Findings {
  /** What was done and how it is to be read, a sentence each. */
  readonly method: readonly string[];
  readonly rounds: number;
  readonly ours: Figures;
  /** The same program under another condition. */
  readonly oursCold?: Figures;
  readonly peers: { readonly [peer: string]: Figures | Unmeasured };
  /** What the names in `peers` stand for. */
  readonly about: { readonly [name: string]: string };
  /** Ours divided by the peer's, of the benchmark's leading figure: below 1 we are faster. */
  readonly ratios: { readonly [peer: string]: number };
  readonly targets: readonly Target[];
}

/** The document of one benchmark. */
export interface Report extends Findings {
  readonly name: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly quick: boolean;
  readonly tookSeconds: number;
  readonly machine: Machine;
}

export function atMost(what: string, measured: number, limit: number, unit: Target['unit']): Target {
  return { what, limit, measured, unit, met: measured <= limit };
}

export function isMeasured(figures: Figures | Unmeasured): figures is Figures {
  return !('missing' in figures || 'failed' in figures);
}
