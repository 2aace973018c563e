import { errorCatalogue } from '../domain/error-catalogue.ts';
import { exitCodes, isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Step } from '../domain/plan.ts';
import type { StepState } from '../domain/run.ts';
import type { ActionHandler, WorkContext } from '../surfaces/surface.port.ts';
import type { Journal } from './journal.ts';

/** Waits between attempts, in ms. A release is undone at the first failure; what takes back is stubborn. */
const retryDelays = {
  block: [300, 1500, 4000],
  bestEffort: [300, 1500],
  once: [],
} as const;

export type StepOutcome =
  | { readonly outcome: 'verified' }
  | { readonly outcome: 'failed'; readonly error: unknown }
  /** The run was paused or superseded meanwhile: nothing is concluded, the step is looked at again on resume. */
  | { readonly outcome: 'interrupted' };

/** Refusals and wrong usage stay wrong however often one tries. */
export function isFinal(error: unknown): boolean {
  if (!isUnshipError(error)) return false;
  const exit = errorCatalogue[error.slug]?.exit;
  return exit === exitCodes.refused || exit === exitCodes.usage;
}

function delaysFor(step: Step): readonly number[] {
  if (step.importance === 'best-effort') return retryDelays.bestEffort;
  return step.onFailure === 'block' ? retryDelays.block : retryDelays.once;
}

/**
 * Applies and verifies one step, journaling before and after, with its retries and its time limit; that it was
 * verified becomes durable with the journal's next entry, or its flush. Only a `context.signal` that has aborted
 * makes it `interrupted`; the step's own time limit is a failure. Throws `fenced-out` when the journal no longer
 * takes its entries.
 */
export async function runStep(
  step: Step,
  handler: ActionHandler,
  before: StepState,
  context: WorkContext,
  journal: Journal,
): Promise<StepOutcome> {
  const delays = delaysFor(step);
  let attempt = before.attempt;
  let applied: Json | undefined = before.status === 'applied' ? (before.output ?? null) : undefined;
  for (let tries = 0; ; tries += 1) {
    try {
      if (applied === undefined) {
        if (context.signal.aborted) return { outcome: 'interrupted' };
        // What could not be put down as begun was not.
        await journal.append({ type: 'step', step: step.id, status: 'applying', attempt: attempt + 1 });
        attempt += 1;
        if (context.signal.aborted) return { outcome: 'interrupted' };
        await limited(step, context, (signal) => handler.validate({ ...context, signal }, step.input));
        applied = await limited(step, context, (signal) => handler.apply({ ...context, signal }, step.input));
        await journal.append({ type: 'step', step: step.id, status: 'applied', attempt, output: applied });
      }
      const output = applied;
      const seen = await limited(step, context, (signal) =>
        handler.verify({ ...context, signal }, step.input, output),
      );
      // Whatever comes next is written together with it, and one sync before a rollback's switch is saved.
      journal.defer({
        type: 'step',
        step: step.id,
        status: 'verified',
        attempt,
        observed: seen.observed,
      });
      return { outcome: 'verified' };
    } catch (error) {
      if (context.signal.aborted) return { outcome: 'interrupted' };
      // Applied but not so: the world is looked at again from the start.
      applied = undefined;
      const delay = isFinal(error) ? undefined : delays[tries];
      if (delay === undefined) {
        await journal.append({
          type: 'step',
          step: step.id,
          status: 'failed',
          attempt,
          error: errorRecord(error),
        });
        return { outcome: 'failed', error };
      }
      await journal.append({
        type: 'note',
        step: step.id,
        text: messageOf(error),
        attempt,
      });
      await context.runtime.clock.sleep(delay, context.signal);
    }
  }
}

export function errorRecord(error: unknown): { readonly slug: string; readonly message: string } {
  return isUnshipError(error)
    ? { slug: error.slug, message: error.details.happened }
    : { slug: 'internal', message: messageOf(error) };
}

/** How long work may take to end after it was told that its time is up, in ms. */
const endingMs = 5000;

/**
 * Ends with `step-timeout` at the step's limit. The work is told by its signal and has a moment to end, so that
 * the next attempt does not meet it still under way; what it answers by then is too late.
 */
async function limited<T>(
  step: Step,
  context: WorkContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock } = context.runtime;
  const ended = new AbortController();
  const late = new AbortController();
  const running = work(AbortSignal.any([context.signal, late.signal]));
  try {
    const first = await Promise.race([
      running.then((value) => ({ value })),
      clock.sleep(step.timeoutMs, ended.signal),
    ]);
    if (first !== undefined) return first.value;
    late.abort();
    // What it answers by now, or rejects with, is not news.
    await Promise.race([running.catch(() => undefined), clock.sleep(endingMs, ended.signal)]);
    throw new UnshipError('step-timeout', {
      happened: `${step.id} did not end within ${Math.round(step.timeoutMs / 1000)} s`,
    });
  } finally {
    ended.abort('ended');
  }
}

const undoDelays: readonly number[] = [300, 1500, 4000];

/**
 * Takes one step back; the handler looks at the world first, for the step may never have had its effect. An attempt
 * that was given up must not come after the next one: `fenceOff` sees to that, and returns the fence from then on.
 */
export async function undoStep(
  step: Step,
  handler: ActionHandler,
  state: StepState,
  given: WorkContext,
  journal: Journal,
  fenceOff: () => Promise<number>,
): Promise<StepOutcome> {
  const undo = handler.undo?.bind(handler);
  if (undo === undefined) return { outcome: 'verified' };
  const note = { type: 'step', step: step.id, attempt: state.attempt } as const;
  let context = given;
  let isGivenUp = false;
  for (let tries = 0; ; tries += 1) {
    await journal.append({ ...note, status: 'undoing' });
    try {
      if (isGivenUp) context = { ...context, fence: await fenceOff() };
      isGivenUp = false;
      await limited(step, context, (signal) => undo({ ...context, signal }, step.input, state.output));
    } catch (error) {
      if (context.signal.aborted) return { outcome: 'interrupted' };
      isGivenUp ||= isUnshipError(error) && error.slug === 'step-timeout';
      const delay = undoDelays[tries];
      if (delay === undefined) {
        await journal.append({ ...note, status: 'undo-failed', error: errorRecord(error) });
        return { outcome: 'failed', error };
      }
      await context.runtime.clock.sleep(delay, context.signal);
      if (context.signal.aborted) return { outcome: 'interrupted' };
      continue;
    }
    await journal.append({ ...note, status: 'undone' });
    return { outcome: 'verified' };
  }
}
