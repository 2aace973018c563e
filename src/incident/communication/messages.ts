import { formatDuration } from '../../domain/duration.ts';
import { type Plan, shortHash } from '../../domain/plan.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { RunState } from '../../domain/run.ts';
import type { Message } from '../communication.port.ts';
import { countText, dataLine, dataOutcome } from '../data-outcome.ts';

/** A run as a message tells it. */
export interface RunFacts {
  readonly run: number;
  readonly plan: Plan;
  readonly state: RunState;
  /** Since it began. */
  readonly ms: number;
}

function place({ application, environment }: { application: string; environment: string }): string {
  return `${application} ${environment}`;
}

function movement({ from, to }: Plan): string {
  return `${from ?? 'nothing'} -> ${to ?? 'nothing'}`;
}

/** One line a surface: what it was and is, and only what has been seen is said to be so. */
function surfaceLines({ plan, state }: RunFacts): readonly string[] {
  return plan.changes.map(({ surface, now, after }) => {
    const open = plan.steps.filter(
      (step) =>
        step.surface === surface &&
        step.importance === 'required' &&
        state.steps[step.id]?.status !== 'verified',
    );
    return `${surface}: ${now} -> ${after}${open.length === 0 ? '' : ' (not finished)'}`;
  });
}

/** Best-effort work that was given up. */
function notDone({ plan, state }: RunFacts): readonly string[] {
  const given = plan.steps.filter(
    (step) => step.importance === 'best-effort' && state.steps[step.id]?.status === 'failed',
  );
  return given.map(({ id, title }) => `Not done: ${title}: ${state.steps[id]?.error?.message ?? 'failed'}`);
}

/** A release has failed its watch. `wayBack` is the plan back; null where none has been made yet. */
export function releaseUnhealthy(facts: {
  readonly application: string;
  readonly environment: string;
  readonly release: ReleaseId;
  /** One sentence of evidence. */
  readonly reason: string;
  readonly wayBack: Plan | null;
  /** The policy rolls back by itself, where nothing would be lost. */
  readonly automatic: boolean;
}): Message {
  const { wayBack, release, automatic } = facts;
  const command = wayBack === null ? 'unship plan' : `unship rollback --plan ${shortHash(wayBack.hash)}`;
  return {
    audience: 'team',
    title: `${place(facts)}: ${release} failed its watch`,
    lines: [
      `Seen: ${facts.reason}`,
      ...(wayBack === null ? [] : [wayBackLine(wayBack)]),
      automatic
        ? `By policy it is rolled back now, if no data is lost by it; if not, ${release} serves until somebody decides.`
        : `${release} still serves until somebody decides. Next: ${command}`,
    ],
  };
}

function wayBackLine({ to, estimateMs, lossUncertain, rowsLost }: Plan): string {
  const loss = lossUncertain ? 'the loss could not be counted' : `${countText(rowsLost)} rows lost`;
  return `Way back: ${to ?? 'none'}, about ${formatDuration(estimateMs)}, ${loss}`;
}

/** A rollback or an undo is through; not that the incident is over. */
export function runDone(facts: RunFacts, incident: number | null): Message {
  const { plan, state, run, ms } = facts;
  const rollback = plan.kind === 'rollback';
  const what = rollback ? `rolled back ${movement(plan)}` : `undone: ${movement(plan)}`;
  return {
    audience: 'team',
    title: `${place(plan)}: ${what} in ${formatDuration(ms)}`,
    lines: [
      ...surfaceLines(facts),
      `Data: ${dataLine(dataOutcome(plan, state), plan)}`,
      ...notDone(facts),
      ...(rollback ? ['State: monitoring, not resolved'] : []),
      incident === null ? `Next: unship show ${run}` : `Next: unship incident show ${incident}`,
    ],
  };
}

/** A run that waits for a person. */
export function runBlocked(facts: RunFacts): Message {
  const { plan, state, run, ms } = facts;
  const failed = plan.steps.filter((step) => state.steps[step.id]?.status === 'failed');
  return {
    audience: 'team',
    title: `${place(plan)}: the ${plan.kind} ${movement(plan)} is BLOCKED after ${formatDuration(ms)}`,
    lines: [
      ...failed.map(({ id, title }) => `Failed: ${title}: ${state.steps[id]?.error?.message ?? 'no reason'}`),
      ...surfaceLines(facts),
      `Data: ${dataLine(dataOutcome(plan, state), plan)}`,
      `What is done stays done. Next: mend the cause, then unship resume (run ${run})`,
    ],
  };
}
