import { faultKinds } from '../test/simulation/faults.ts';
import { runSideBySide } from '../test/simulation/side-by-side.ts';
import { atMost, type BenchOptions, type Findings } from './report.ts';
import { log } from './support/log.ts';

async function measured(
  from: number,
  schedules: number,
  workers?: number,
): Promise<{
  readonly perSecond: number;
  readonly faults: number;
  readonly kinds: number;
  readonly violations: number;
}> {
  const began = performance.now();
  const { fired, violations } = await runSideBySide(
    from,
    schedules,
    workers === undefined ? {} : { workers },
  );
  const seconds = (performance.now() - began) / 1000;
  const counts = faultKinds.map((kind) => fired[kind]);
  return {
    perSecond: Math.round(schedules / seconds),
    faults: counts.reduce((sum, count) => sum + count, 0),
    kinds: counts.filter((count) => count > 0).length,
    violations: violations.length,
  };
}

/** How many schedules the real planner and engine go through in a second, with everything that goes wrong in them. */
export async function simulation({ quick }: BenchOptions): Promise<Findings> {
  const schedules = quick ? 2_000 : 10_000;
  const from = Math.floor(Math.random() * 2 ** 30);
  log(`${schedules} schedules from ${from} on`);
  const all = await measured(from, schedules);
  const alone = await measured(from, Math.round(schedules / 4), 1);
  return {
    method: [
      `${schedules} schedules of seeds that nobody has seen before, from ${from} on: a release, mostly a rollback, sometimes an undo, others in between, and from none to six faults in each.`,
      'The start of the threads, each of which loads the program, is counted.',
      `${all.faults} faults happened.`,
    ],
    rounds: schedules,
    ours: { schedulesPerSecond: all.perSecond, faultKinds: all.kinds, violations: all.violations },
    peers: { 'one-thread': { schedulesPerSecond: alone.perSecond } },
    about: {
      ours: 'the real planner, engine, actions and records; time, state, surfaces and network are simulated; a thread on each core',
      'one-thread': 'the same in one thread',
    },
    ratios: { 'one-thread': all.perSecond / alone.perSecond },
    targets: [
      atMost('violations', all.violations, 0, 'violations'),
      atMost('kinds of fault that never happened', faultKinds.length - all.kinds, 0, 'kinds'),
    ],
  };
}
