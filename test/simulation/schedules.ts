import { type FaultKind, faultKinds } from './faults.ts';
import { Story } from './story.ts';

export interface Violation {
  readonly seed: number;
  readonly text: string;
}

/** What came of some schedules. */
export interface Tally {
  readonly schedules: number;
  /** How often each kind of fault happened. */
  readonly fired: { readonly [kind in FaultKind]: number };
  readonly violations: readonly Violation[];
}

const none = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as { [kind in FaultKind]: number };

export const nothingRun: Tally = { schedules: 0, fired: none, violations: [] };

/** Runs the schedules of `count` seeds from `from` on, one after another. */
export async function runSchedules(from: number, count: number): Promise<Tally> {
  const fired = { ...none };
  const violations: Violation[] = [];
  for (let seed = from; seed < from + count; seed += 1) {
    const verdict = await new Story(seed).run();
    for (const kind of verdict.fired) fired[kind] += 1;
    violations.push(...verdict.violations.map((text) => ({ seed, text })));
  }
  return { schedules: count, fired, violations };
}

export function sum(one: Tally, other: Tally): Tally {
  const fired = { ...one.fired };
  for (const kind of faultKinds) fired[kind] += other.fired[kind];
  return {
    schedules: one.schedules + other.schedules,
    fired,
    violations: [...one.violations, ...other.violations],
  };
}
