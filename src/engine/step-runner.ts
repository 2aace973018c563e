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

/** Applies and verifies one step, journaling before and after, with its retries and its time limit. */
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
        attempt += 1;
        await journal.append({ type: 'step', step: step.id, status: 'applying', attempt });
        await handler.validate(context, step.input);
        applied = await limited(step, context, (signal) => handler.apply({ ...context, signal }, step.input));
        await journal.append({ type: 'step', step: step.id, status: 'applied', attempt, output: applied });
      }
      const output = applied;
      const seen = await limited(step, context, (signal) =>
        handler.verify({ ...context, signal }, step.input, output),
      );
      await journal.append({
        type: 'step',
        step: step.id,
        status: 'verified',
        attempt,
        observed: seen.observed,
      });
      return { outcome: 'verified' };
    } catch (error) {
      if (context.signal.aborted || (isUnshipError(error) && error.slug === 'fenced-out')) {
        return { outcome: 'interrupted' };
      }
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
        text: `attempt ${attempt} failed: ${messageOf(error)}`,
      });
      await context.runtime.clock.sleep(delay, context.signal);
      if (context.signal.aborted) return { outcome: 'interrupted' };
    }
  }
}

export function errorRecord(error: unknown): { readonly slug: string; readonly message: string } {
  return isUnshipError(error)
    ? { slug: error.slug, message: error.details.happened }
    : { slug: 'internal', message: messageOf(error) };
}

/** Ends with `step-timeout` at the step's limit; the work is told by its signal and may still be finishing. */
async function limited<T>(
  step: Step,
  context: WorkContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const late = new AbortController();
  const timer = context.runtime.clock.sleep(step.timeoutMs, ended.signal).then((): never | undefined => {
    if (ended.signal.aborted) return undefined;
    late.abort();
    throw new UnshipError('step-timeout', {
      happened: `${step.id} did not end within ${Math.round(step.timeoutMs / 1000)} s`,
    });
  });
  const running = work(AbortSignal.any([context.signal, late.signal]));
  // Whichever loses the race may still reject; that is not news.
  running.catch(() => undefined);
  timer.catch(() => undefined);
  try {
    return (await Promise.race([running, timer.then(() => running)])) as T;
  } finally {
    ended.abort();
  }
}

const undoDelays: readonly number[] = [300, 1500, 4000];

/** Takes one step back; the handler looks at the world first, for the step may never have had its effect. */
export async function undoStep(
  step: Step,
  handler: ActionHandler,
  state: StepState,
  context: WorkContext,
  journal: Journal,
): Promise<StepOutcome> {
  const undo = handler.undo?.bind(handler);
  if (undo === undefined) return { outcome: 'verified' };
  for (let tries = 0; ; tries += 1) {
    try {
      await journal.append({ type: 'step', step: step.id, status: 'undoing', attempt: state.attempt });
      await limited(step, context, (signal) => undo({ ...context, signal }, step.input, state.output));
      await journal.append({ type: 'step', step: step.id, status: 'undone', attempt: state.attempt });
      return { outcome: 'verified' };
    } catch (error) {
      if (context.signal.aborted) return { outcome: 'interrupted' };
      const delay = undoDelays[tries];
      if (delay === undefined) {
        const record = errorRecord(error);
        await journal.append({
          type: 'step',
          step: step.id,
          status: 'undo-failed',
          attempt: state.attempt,
          error: record,
        });
        return { outcome: 'failed', error };
      }
      await context.runtime.clock.sleep(delay, context.signal);
    }
  }
}
