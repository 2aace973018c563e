import { UnshipError } from '../domain/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { RunResult } from '../domain/report.ts';
import { foldRun } from '../domain/run.ts';
import type { Parts } from './parts.ts';
import { runResult } from './run-result.ts';

/** Word of a run that what its end brings with it has been done, and left nothing to do. */
const followed = 'followed';

/** Whoever drove the run has done so by then, in ms after its end, or never will. */
const fromMs = 30_000;
/** Longer after its end, in ms, people have seen it, and what they leave as it is stays so. */
const untilMs = 3_600_000;

/** Nobody need look at this run again. */
export async function markFollowed({ store, runtime, request }: Parts, run: number): Promise<void> {
  const word = { run, name: followed, payload: request.user, at: runtime.clock.now() };
  // It is looked at once more where this could not be written.
  await store.signal(word).catch(() => false);
}

/**
 * The release that failed its watch last, where its process died between that and what follows it: nobody was told,
 * and the policy's rollback was not begun. Its run has ended, so that nobody resumes it. Undefined when there is none.
 */
export async function unfollowedRelease(
  parts: Parts,
): Promise<{ readonly plan: Plan; readonly result: RunResult } | undefined> {
  const { store, runtime } = parts;
  const [newest] = await store.runs(1);
  if (newest?.kind !== 'release' || newest.status !== 'failed' || newest.to === null) return undefined;
  const age = runtime.clock.now() - newest.updatedAt;
  if (age < fromMs || age > untilMs) return undefined;
  const signals = await store.signals(newest.id);
  if (signals.some(({ name }) => name === followed)) return undefined;
  const release = await store.release(newest.to);
  const plan = await store.plan(newest.id);
  if (plan === undefined || release?.deployment !== 'live' || release.health !== 'bad') return undefined;
  const entries = await store.journal(newest.id);
  const state = foldRun(plan, entries);
  const seen = Object.values(state.steps).find(({ error }) => error?.slug === 'guard-unhealthy')?.error;
  if (seen === undefined) return undefined;
  const error = new UnshipError('guard-unhealthy', {
    happened: seen.message,
    done: `${release.id} still serves`,
    next: 'unship plan shows the way back; unship rollback takes it',
  });
  const ms = Math.max(0, newest.updatedAt - newest.startedAt);
  const outcome = { run: newest.id, status: newest.status, error };
  return { plan, result: await runResult(parts, plan, state, outcome, ms) };
}
