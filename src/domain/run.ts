import type { Json } from './json.ts';
import type { Plan, PlanKind, Step } from './plan.ts';
import type { ReleaseId } from './release.ts';

/** Where a run stands. Reading it never consumes it. */
export type RunStatus =
  | 'planned'
  | 'running'
  | 'undoing'
  | 'waiting'
  | 'paused'
  | 'blocked'
  | 'done'
  | 'failed'
  | 'undone'
  | 'superseded';

export const endedStatuses: ReadonlySet<RunStatus> = new Set(['done', 'failed', 'undone', 'superseded']);

export type StepStatus =
  | 'pending'
  | 'applying'
  | 'applied'
  | 'verified'
  | 'failed'
  | 'undoing'
  | 'undone'
  | 'undo-failed';

/** What a journal entry says; `seq`, `at` and the chain are added when it is appended. */
export type NewJournalEntry =
  | { readonly type: 'run'; readonly status: RunStatus; readonly note?: string }
  | {
      readonly type: 'step';
      readonly step: string;
      readonly status: StepStatus;
      readonly attempt: number;
      readonly output?: Json;
      readonly observed?: string;
      readonly error?: { readonly slug: string; readonly message: string };
    }
  /** A person agreed to lose so many rows in this run. */
  | { readonly type: 'consent'; readonly rowsLost: number; readonly by: string }
  /** A fact worth telling in the timeline that is no change of state. */
  | {
      readonly type: 'note';
      readonly step?: string;
      readonly text: string;
      /** Set when the note is of a failed attempt that is followed by another. */
      readonly attempt?: number;
    };

export type JournalEntry = NewJournalEntry & {
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
};

export interface StepState {
  readonly status: StepStatus;
  readonly attempt: number;
  readonly output?: Json;
  readonly observed?: string;
  readonly error?: { readonly slug: string; readonly message: string };
  /** Milliseconds since the epoch of its first `applying` and of its last entry. */
  readonly startedAt?: number;
  readonly endedAt?: number;
}

export interface RunState {
  readonly status: RunStatus;
  readonly steps: { readonly [step: string]: StepState };
}

export interface RunSummary {
  readonly id: number;
  readonly kind: PlanKind;
  readonly status: RunStatus;
  readonly from: ReleaseId | null;
  readonly to: ReleaseId | null;
  readonly planHash: string;
  /** Version of plan format and code that began it: another version parks it instead of guessing. */
  readonly label: string;
  readonly startedAt: number;
  readonly updatedAt: number;
}

/** The state of a run is nothing but its journal, folded. */
export function foldRun(plan: Plan, entries: readonly JournalEntry[]): RunState {
  const steps: { [step: string]: StepState } = {};
  for (const step of plan.steps) steps[step.id] = { status: 'pending', attempt: 0 };
  return foldOnto({ status: 'planned', steps }, entries);
}

/** The state after more entries, in the order in which they will stand in the journal. */
export function foldOnto(
  state: RunState,
  entries: readonly (NewJournalEntry & Pick<JournalEntry, 'at'>)[],
): RunState {
  if (entries.length === 0) return state;
  const steps = { ...state.steps };
  let { status } = state;
  for (const entry of entries) {
    if (entry.type === 'run') status = entry.status;
    if (entry.type !== 'step') continue;
    const before = steps[entry.step];
    if (before === undefined) continue;
    const startedAt = before.startedAt ?? entry.at;
    steps[entry.step] = {
      status: entry.status,
      attempt: entry.attempt,
      startedAt,
      endedAt: entry.at,
      ...(entry.output === undefined
        ? before.output === undefined
          ? {}
          : { output: before.output }
        : { output: entry.output }),
      ...(entry.observed === undefined
        ? before.observed === undefined
          ? {}
          : { observed: before.observed }
        : { observed: entry.observed }),
      ...(entry.error === undefined ? {} : { error: entry.error }),
    };
  }
  return { status, steps };
}

/** The state of one step; of one that was never heard of, that it is still to do. */
export function stepState(state: RunState, step: string): StepState {
  return state.steps[step] ?? { status: 'pending', attempt: 0 };
}

/** Settled steps let those behind them start: done, or best-effort and given up. */
export function isSettled(step: Step, state: StepState): boolean {
  return state.status === 'verified' || (step.importance === 'best-effort' && state.status === 'failed');
}

/**
 * Steps that may start now: everything before them is settled, however far before, for a step that is done is
 * done again when its effect was lost.
 */
export function readySteps(plan: Plan, state: RunState): readonly Step[] {
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  const passed = new Map<string, boolean>();
  /** It is settled, and so is everything before it. */
  const isPassed = (id: string): boolean => {
    const known = passed.get(id);
    if (known !== undefined) return known;
    // Whatever stands behind itself is never passed.
    passed.set(id, false);
    const step = byId.get(id);
    const stepState = state.steps[id];
    const answer =
      step !== undefined &&
      stepState !== undefined &&
      isSettled(step, stepState) &&
      step.after.every(isPassed);
    passed.set(id, answer);
    return answer;
  };
  return plan.steps.filter((step) => {
    const { status } = stepState(state, step.id);
    const open = status === 'pending' || status === 'applying' || status === 'applied';
    return open && step.after.every(isPassed);
  });
}

/** It was begun at least once, so that its effect may be there; a step that is tried again is `pending` too. */
export function wasTried(state: StepState | undefined): boolean {
  return state !== undefined && state.attempt > 0;
}

/** True once a step at or behind the point of no return may have had its effect. */
export function isPastNoReturn(plan: Plan, state: RunState): boolean {
  return plan.steps.some(
    (step) =>
      step.pointOfNoReturn && wasTried(state.steps[step.id]) && state.steps[step.id]?.status !== 'undone',
  );
}

/** Undoing has begun: the run goes on backwards only, wherever it stopped. */
export function isGoingBack(state: RunState): boolean {
  return (
    state.status === 'undoing' ||
    Object.values(state.steps).some(
      ({ status }) => status === 'undoing' || status === 'undone' || status === 'undo-failed',
    )
  );
}

/** Key that makes a step's effect one effect, in whatever process it is tried again. */
export function idempotencyKey(application: string, environment: string, run: number, step: string): string {
  return `${application}/${environment}/${run}/${step}`;
}
