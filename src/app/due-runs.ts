import type { RunOptions } from '../domain/application.ts';
import { isUnshipError, messageOf } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { RunResult } from '../domain/report.ts';
import type { RunSummary } from '../domain/run.ts';
import type { Lease } from '../store/store.port.ts';
import { proveRestores } from './backup-care.ts';
import type { Parts } from './parts.ts';
import { unfollowedRelease } from './unfollowed.ts';
import { keepUp } from './upkeep.ts';

/** How long an agent rests between two looks, in ms. */
const restMs = 3000;

/** What the application does with what is due. */
export interface DueWork {
  /** Whether somebody drives runs now. */
  isHeld(holder: Lease | undefined): Promise<boolean>;
  goOn(run: RunSummary): Promise<RunResult>;
  /** What a run's end brings with it, for one whose process died in between. */
  follow(plan: Plan, result: RunResult): Promise<RunResult>;
}

/**
 * Keeps up what serves, and goes on with the runs that wait for nobody and that no process drives, the oldest first.
 * What can't go on, such as a run whose journal is damaged, does not stand in the way of the others; then throws its
 * reason.
 */
export async function resumeDueRuns(
  parts: Parts,
  options: RunOptions,
  work: DueWork,
): Promise<readonly RunResult[]> {
  const { store } = parts;
  const results: RunResult[] = [];
  const failures: unknown[] = [];
  await keepUp(parts, options).catch((error: unknown) => failures.push(error));
  for (const run of (await store.runs(50)).toReversed()) {
    if (!['running', 'waiting', 'undoing'].includes(run.status)) continue;
    if (await work.isHeld(await store.lease())) continue;
    await work.goOn(run).then(
      (result) => results.push(result),
      (error: unknown) => {
        // Somebody there goes on with it; here it is not due.
        if (!isUnshipError(error) || error.slug !== 'other-host') failures.push(error);
      },
    );
  }
  const left = await unfollowedRelease(parts);
  if (left !== undefined) results.push(await work.follow(left.plan, left.result));
  if (failures.length > 0) throw failures[0];
  return results;
}

/** Goes on with what is due, every few seconds, until it is told to end; it may be killed at any time. */
export async function runAgent(parts: Parts, options: RunOptions, work: DueWork): Promise<void> {
  const { clock } = parts.runtime;
  const tell = (error: unknown): void => options.onEvent({ type: 'note', run: null, text: messageOf(error) });
  let proving: Promise<void> | undefined;
  while (!options.signal.aborted) {
    await resumeDueRuns(parts, options, work).catch(tell);
    // Beside it: a run that nobody drives does not wait for a test restore.
    proving ??= proveRestores(parts, options)
      .catch(tell)
      .finally(() => {
        proving = undefined;
      });
    await clock.sleep(restMs, options.signal);
  }
  await proving;
}
