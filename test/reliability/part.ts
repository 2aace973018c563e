import type { Program } from '../support/program.ts';
import type { Opinions } from './judge.ts';

/** What a part of the programme is asked for. */
export interface PartRequest {
  readonly program: Program;
  readonly seed: number;
  /** How often; undefined where only the time counts. */
  readonly count: number;
  readonly minutes: number;
  /** Told at once: what failed, and the command that repeats it. */
  tell(text: string): void;
}

/** What it has reached. */
export interface PartResult {
  readonly part: string;
  readonly seed: number;
  readonly seconds: number;
  readonly counts: { readonly [what: string]: number };
  readonly opinions: Opinions;
  /** Empty is what one wants. */
  readonly violations: readonly string[];
}

export function addOpinions(sum: Opinions, more: Opinions): void {
  sum.agrees += more.agrees;
  sum.unknowable += more.unknowable;
  sum.contradicts += more.contradicts;
}
