import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import { ancestorsOf, type Plan, type Step, topologicalOrder } from '../domain/plan.ts';
import { actionEntry } from '../domain/planner/actions.ts';
import type { Release } from '../domain/release.ts';
import {
  endedStatuses,
  idempotencyKey,
  isGoingBack,
  isPastNoReturn,
  isSettled,
  type JournalEntry,
  type RunStatus,
  readySteps,
  type StepState,
  stepState,
  wasTried,
} from '../domain/run.ts';
import type { Runtime } from '../domain/runtime.ts';
import type { Store } from '../store/store.port.ts';
import type { ActionHandler, WorkContext } from '../surfaces/surface.port.ts';
import { type EngineEvent, Journal } from './journal.ts';
import type { Session } from './session.ts';
import { isFinal, runStep, undoStep } from './step-runner.ts';

/** Version of plan format and journal semantics; a run begun under another one is parked, not guessed at. */
export const runLabel = 'unship-run/1';

/** Whoever reads the journal sees where the fence changes without another holder. */
const outrankedNote = 'what was given up comes too late from here on';

/** How often a run looks for a word from outside, in ms. */
const signalPollMs = 250;

export interface EngineParts {
  readonly store: Store;
  readonly runtime: Runtime;
  /** The handler of a step of a run; undefined when this configuration has no such surface or action. */
  handler(step: Step, run: number): ActionHandler | undefined;
  /** Everything of a run has been taken back; called before that is journaled, so perhaps more than once. */
  undone?(plan: Plan, fence: number): Promise<void>;
  /** Tells the surfaces of a plan that what was sent under a lower fence than this counts no more. */
  fenceOff(plan: Plan, fence: number): Promise<void>;
}

/** A run that is recorded, with all that its journal says so far. */
export interface BegunRun {
  readonly run: number;
  readonly plan: Plan;
  readonly entries: readonly JournalEntry[];
}

export interface DriveOptions {
  /** Aborts to pause safely: nothing new starts, waits end, effects under way are let finish. */
  readonly signal: AbortSignal;
  onEvent(event: EngineEvent): void;
}

export interface RunOutcome {
  readonly run: number;
  readonly status: RunStatus;
  /** The failure that decided the status. */
  readonly error?: unknown;
}

/**
 * Drives one run: starts what is ready, side by side, journals it, and on failure does what the failed step's
 * policy says. It knows no vendor, and everything it decides follows from the plan and the journal, so another
 * process can go on wherever this one is killed.
 */
export class Engine {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /**
   * Records a run in `store`, which may be a transaction with what leads to it. `consent` is what a person agreed
   * to lose, with their name; `release` is the one that the run brings.
   */
  async begin(
    store: Store,
    fence: number,
    plan: Plan,
    consent: { readonly rowsLost: number; readonly by: string } | null,
    release?: Release,
  ): Promise<BegunRun> {
    const { run, entries } = await store.createRun(
      fence,
      plan,
      this.#parts.runtime.clock.now(),
      runLabel,
      release,
    );
    const more = consent === null ? [] : await store.append(fence, run, [{ type: 'consent', ...consent }]);
    return { run, plan, entries: [...entries, ...more] };
  }

  /** Drives a run that was begun under this lease. */
  async start(begun: BegunRun, session: Session, options: DriveOptions): Promise<RunOutcome> {
    return await untilFencedOut(begun.run, async () => {
      session.carry(begun.run, begun.plan.kind);
      return await this.#drive(this.#journal(begun, session, options), session, options);
    });
  }

  /** Goes on with a run that was paused, blocked, or left by a dead process. */
  async resume(run: number, session: Session, options: DriveOptions): Promise<RunOutcome> {
    const { store } = this.#parts;
    const [summary, plan] = [await store.run(run), await store.plan(run)];
    if (summary === undefined || plan === undefined) {
      throw new UnshipError('unknown-run', { happened: `there is no run ${run}` });
    }
    if (endedStatuses.has(summary.status)) return { run, status: summary.status };
    if (summary.label !== runLabel) {
      throw new UnshipError('wrong-version', {
        happened: `run ${run} was begun by ${summary.label}; this program is ${runLabel}`,
        done: 'nothing',
      });
    }
    return await untilFencedOut(run, async () => {
      await session.hold(run, plan.kind);
      const entries = await store.journal(run);
      const journal = this.#journal({ run, plan, entries }, session, options);
      const undoing = isGoingBack(journal.state);
      if (!undoing) await this.#reopenFailed(journal);
      await journal.append({ type: 'run', status: undoing ? 'undoing' : 'running', note: 'resumed' });
      if (undoing) {
        await this.#reopenUndone(journal);
        return await this.#undoAll(journal, session, options);
      }
      // A cancellation that came while nobody drove the run counts before anything new starts.
      if (!(await this.#isCancelled(journal))) return await this.#drive(journal, session, options);
      await journal.append({ type: 'run', status: 'undoing' });
      return { error: cancellation(run), ...(await this.#undoAll(journal, session, options)) };
    });
  }

  #journal({ run, plan, entries }: BegunRun, session: Session, options: DriveOptions): Journal {
    const { store } = this.#parts;
    return new Journal(store, session, run, plan, entries, (event) => options.onEvent(event));
  }

  async #reopenFailed(journal: Journal): Promise<void> {
    for (const step of journal.plan.steps) {
      const state = stepState(journal.state, step.id);
      const failed = state.status === 'failed' && step.importance === 'required';
      const isLost = isApplied(state) && isNeededAgain(step, journal);
      if (!failed && !isLost) continue;
      await journal.append({ type: 'step', step: step.id, status: 'pending', attempt: state.attempt });
    }
  }

  /** What waits behind a fleeting effect that an undo has made, and its process took along, must find it again. */
  async #reopenUndone(journal: Journal): Promise<void> {
    for (const step of journal.plan.steps) {
      const { status, attempt } = stepState(journal.state, step.id);
      if (status !== 'undone' || !isBehindHold(step, journal)) continue;
      await journal.append({ type: 'step', step: step.id, status: 'undoing', attempt });
    }
  }

  #context(journal: Journal, session: Session, step: Step, signal: AbortSignal): WorkContext {
    const { application, environment } = journal.plan;
    return {
      runtime: this.#parts.runtime,
      signal,
      idempotencyKey: idempotencyKey(application, environment, journal.run, step.id),
      fence: session.fence,
      maximumRowsLost: journal.maximumRowsLost,
      progress: (text) => journal.progress(step.id, text),
    };
  }

  #handler(step: Step, run: number): ActionHandler {
    const handler = this.#parts.handler(step, run);
    if (handler !== undefined) return handler;
    throw new UnshipError('unknown-surface', {
      happened: `the configuration has no ${step.surface} that can do ${step.action}`,
      next: 'put the surface back into the configuration, then unship resume',
    });
  }

  async #drive(journal: Journal, session: Session, options: DriveOptions): Promise<RunOutcome> {
    const interrupted = AbortSignal.any([options.signal, session.lost]);
    const cancelled = new AbortController();
    /** What is under way has become pointless: everything is undone, or this process may not go on. */
    const given = new AbortController();
    const stop = AbortSignal.any([interrupted, cancelled.signal, given.signal]);
    const listening = new AbortController();
    const listener = this.#listenForCancel(journal, cancelled, listening.signal);
    const inFlight = new Map<string, Promise<void>>();
    let failure: { readonly step: Step; readonly error: unknown } | undefined;
    let waiting = false;
    try {
      for (;;) {
        if (!stop.aborted && failure?.step.onFailure !== 'undo' && failure?.step.onFailure !== 'stop') {
          for (const step of readySteps(journal.plan, journal.state)) {
            if (inFlight.has(step.id)) continue;
            const work = this.#one(step, journal, session, stop).then((outcome) => {
              inFlight.delete(step.id);
              if (outcome.outcome !== 'failed' || step.importance === 'best-effort') return;
              failure ??= { step, error: outcome.error };
              if (step.onFailure === 'undo' && !isPastNoReturn(journal.plan, journal.state)) given.abort();
            });
            inFlight.set(step.id, work);
          }
        }
        if (inFlight.size === 0) break;
        // From here on: while the journal is written, the last one under way may end.
        // The first refusal ends the run; the others are no news.
        const next = Promise.race(inFlight.values());
        next.catch(() => undefined);
        const nowWaiting = journal.plan.steps.every((step) => !inFlight.has(step.id) || isWait(step));
        if (nowWaiting !== waiting && !stop.aborted) {
          waiting = nowWaiting;
          await journal.append({ type: 'run', status: waiting ? 'waiting' : 'running' });
        }
        await journal.flush();
        await next;
      }
    } catch (error) {
      given.abort();
      if (!isFencedOut(error)) await Promise.allSettled(inFlight.values());
      throw error;
    } finally {
      listening.abort('ended');
      await listener;
    }
    if (session.lost.aborted) return { run: journal.run, status: 'superseded' };
    if (cancelled.signal.aborted) {
      return await this.#undoOwn(journal, session, options, cancellation(journal.run));
    }
    if (failure !== undefined) return await this.#fail(journal, session, options, failure);
    const finished = journal.plan.steps.every((step) => isSettled(step, stepState(journal.state, step.id)));
    return await end(journal, finished ? 'done' : options.signal.aborted ? 'paused' : 'blocked');
  }

  async #one(step: Step, journal: Journal, session: Session, stop: AbortSignal): ReturnType<typeof runStep> {
    const state = stepState(journal.state, step.id);
    const context = this.#context(journal, session, step, stop);
    return await runStep(step, this.#handlerOrFailure(step, journal.run), state, context, journal);
  }

  /** A step that nobody can carry out fails like any other, by its own policy. */
  #handlerOrFailure(step: Step, run: number): ActionHandler {
    try {
      return this.#handler(step, run);
    } catch (error) {
      const fail = async (): Promise<never> => {
        throw error;
      };
      return { validate: fail, apply: fail, verify: fail };
    }
  }

  async #listenForCancel(journal: Journal, cancelled: AbortController, ended: AbortSignal): Promise<void> {
    const { runtime } = this.#parts;
    do {
      await runtime.clock.sleep(signalPollMs, ended);
      if (ended.aborted) return;
    } while (!(await this.#isCancelled(journal).catch(() => false)));
    cancelled.abort();
  }

  async #isCancelled(journal: Journal): Promise<boolean> {
    const signals = await this.#parts.store.signals(journal.run);
    return signals.some((signal) => signal.name === 'cancel') && !isPastNoReturn(journal.plan, journal.state);
  }

  async #fail(
    journal: Journal,
    session: Session,
    options: DriveOptions,
    failure: { readonly step: Step; readonly error: unknown },
  ): Promise<RunOutcome> {
    const { step, error } = failure;
    if (step.onFailure === 'undo' && !isPastNoReturn(journal.plan, journal.state)) {
      return await this.#undoOwn(journal, session, options, error);
    }
    if (step.onFailure === 'stop') return { ...(await end(journal, 'failed')), error };
    // A refusal before anything live was touched leaves nothing to go on with: it is the answer.
    const untouched = journal.plan.steps.every(
      (item) => actionEntry(item.action)?.live !== true || !wasTried(journal.state.steps[item.id]),
    );
    const status = untouched && isFinal(error) ? 'failed' : 'blocked';
    return { ...(await end(journal, status)), error };
  }

  /** Undoes what this process has begun: what it gave up may still be on its way, and must not come after. */
  async #undoOwn(
    journal: Journal,
    session: Session,
    options: DriveOptions,
    error: unknown,
  ): Promise<RunOutcome> {
    await journal.append({ type: 'run', status: 'undoing' });
    if (journal.plan.steps.some((step) => mayStillCome(stepState(journal.state, step.id)))) {
      try {
        await this.#fenceOff(journal, session);
      } catch (failed) {
        if (isFencedOut(failed)) throw failed;
        // It stays one that goes back, and is due: nobody may go forward from here.
        await journal.append({ type: 'note', text: messageOf(failed) });
        return { run: journal.run, status: 'blocked', error: failed };
      }
    }
    return { error, ...(await this.#undoAll(journal, session, options)) };
  }

  async #fenceOff(journal: Journal, session: Session): Promise<void> {
    await session.raiseFence();
    await journal.append({ type: 'note', text: outrankedNote });
    await this.#parts.fenceOff(journal.plan, session.fence);
  }

  /** Reverse order of the graph, one at a time: what was done last goes first. */
  async #undoAll(journal: Journal, session: Session, options: DriveOptions): Promise<RunOutcome> {
    const stop = AbortSignal.any([options.signal, session.lost]);
    for (const step of [...topologicalOrder(journal.plan.steps)].reverse()) {
      if (stop.aborted) break;
      const state = stepState(journal.state, step.id);
      if (!wasTried(state) || state.status === 'undone') continue;
      const handler = this.#handler(step, journal.run);
      const context = this.#context(journal, session, step, stop);
      const outcome = await undoStep(step, handler, state, context, journal, async () => {
        await this.#fenceOff(journal, session);
        return session.fence;
      });
      if (outcome.outcome === 'failed') return { ...(await end(journal, 'blocked')), error: outcome.error };
    }
    if (session.lost.aborted) return { run: journal.run, status: 'superseded' };
    if (stop.aborted) {
      await journal.append({ type: 'note', text: 'paused while undoing' });
      return { run: journal.run, status: 'paused' };
    }
    await this.#parts.undone?.(journal.plan, session.fence);
    return await end(journal, 'undone');
  }
}

/**
 * A fleeting effect is gone with the process that had it; what still needs it must find it. What ends it is the
 * live step behind it on the same surface: once that is done, nobody would end it again.
 */
function isNeededAgain(step: Step, journal: Journal): boolean {
  if (actionEntry(step.action)?.fleeting !== true) return false;
  return journal.plan.steps.some(
    (later) =>
      later.surface === step.surface &&
      actionEntry(later.action)?.live === true &&
      // What is applied is only looked at again: a switch has ended the hold, and nothing would end a second one.
      !isApplied(journal.state.steps[later.id]) &&
      ancestorsOf(journal.plan.steps, later.id).has(step.id),
  );
}

/** The undo of a live step brings the fleeting effect before it back, which lasts until that one is undone. */
function isBehindHold(step: Step, journal: Journal): boolean {
  if (actionEntry(step.action)?.live !== true) return false;
  const before = ancestorsOf(journal.plan.steps, step.id);
  return journal.plan.steps.some((earlier) => {
    const state = stepState(journal.state, earlier.id);
    return (
      earlier.surface === step.surface &&
      actionEntry(earlier.action)?.fleeting === true &&
      before.has(earlier.id) &&
      wasTried(state) &&
      state.status !== 'undone'
    );
  });
}

/** An attempt at it was given up before it had an answer: its order may still be on its way. */
function mayStillCome(state: StepState): boolean {
  if (!wasTried(state)) return false;
  const hasEnded = isApplied(state) || (state.status === 'failed' && state.error?.slug !== 'step-timeout');
  return !hasEnded || state.attempt > 1;
}

function isApplied(state: StepState | undefined): boolean {
  return state?.status === 'applied' || state?.status === 'verified';
}

function isWait(step: Step): boolean {
  return actionEntry(step.action)?.waits === true;
}

function isFencedOut(error: unknown): boolean {
  return isUnshipError(error) && error.slug === 'fenced-out';
}

/** The journal's refusal is the end of this process's part in the run; a newer holder decides what becomes of it. */
async function untilFencedOut(run: number, work: () => Promise<RunOutcome>): Promise<RunOutcome> {
  try {
    return await work();
  } catch (error) {
    if (!isFencedOut(error)) throw error;
    return { run, status: 'superseded', error };
  }
}

function cancellation(run: number): UnshipError {
  return new UnshipError('cancelled', { happened: `run ${run} was cancelled` });
}

async function end(journal: Journal, status: RunStatus): Promise<RunOutcome> {
  await journal.append({ type: 'run', status });
  return { run: journal.run, status };
}
