import type { Cleanup } from '../support/cleanup.ts';
import type { Command } from '../support/processes.ts';

/** One way of taking a release back. */
export interface Contender {
  readonly name: string;
  /** What is run, for the reader of the results. */
  readonly what: string;
  /** Brings it up. Throws `PeerMissing` when it is not to be had here. */
  prepare(cleanup: Cleanup): Promise<Prepared>;
}

export interface Prepared {
  /** Where its users' requests arrive. */
  readonly port: number;
  /** Puts the bad release live, one step after the good one; returns when the bad one answers. */
  release(): Promise<void>;
  /** What a person runs to take it back, one after the other. */
  readonly rollback: readonly Command[];
}
