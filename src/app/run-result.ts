import { shortCommit } from '../domain/names.ts';
import type { Plan } from '../domain/plan.ts';
import type { NextCommand, RunResult } from '../domain/report.ts';
import type { RunState } from '../domain/run.ts';
import type { RunOutcome } from '../engine/engine.ts';
import { type DataOutcome, dataOutcome } from '../incident/data-outcome.ts';
import type { Parts } from './parts.ts';
import { reportError } from './run-events.ts';

/** Rows, as the steps that touched the databases counted them; null when none did, or when it can't be told yet. */
function dataOf(plan: Plan, outcome: DataOutcome): RunResult['data'] {
  const decided = plan.options.some((option) => option.verdict === 'chosen');
  if (outcome.unknown.length > 0 || !(outcome.touched || decided)) return null;
  const { kept, archived, lost, withheld } = outcome;
  return { kept, archived, lost, ...(withheld > 0 ? { withheld } : {}) };
}

/** The steps whose observation tells a person how the application stands now. */
const telling = new Set([
  'web.switch',
  'database.migrate-up',
  'database.migrate-down',
  'database.restore',
  'desktop.publish',
  'desktop.pull',
  'desktop.unpull',
  'desktop.publish-standby',
]);

function nextCommands(plan: Plan, outcome: RunOutcome): readonly NextCommand[] {
  const { run, status } = outcome;
  if (status === 'paused') return [{ command: 'unship resume', note: 'goes on where it stopped' }];
  if (status === 'blocked') {
    return [
      { command: `unship show ${run}`, note: 'what is done and what is not' },
      { command: 'unship resume', note: 'tries again' },
    ];
  }
  if (status === 'failed' && plan.kind === 'release')
    return [{ command: 'unship plan', note: 'shows the way back' }];
  const isBegun = plan.kind === 'release' && !plan.steps.some((step) => step.action === 'unship.record-good');
  if (status === 'done' && isBegun) {
    return [
      { command: 'unship release finish', note: `once your deploy of ${plan.to} is through` },
      { command: 'unship release abort' },
    ];
  }
  if (status !== 'done') return [{ command: `unship show ${run}` }];
  if (plan.kind === 'rollback') {
    return [
      { command: 'unship incident list', note: 'the draft' },
      { command: `unship undo ${run}`, note: `brings ${plan.from ?? 'it'} back` },
    ];
  }
  return plan.kind === 'release' ? [{ command: 'unship status' }] : [];
}

async function openEnds(parts: Parts, plan: Plan, outcome: RunOutcome): Promise<readonly string[]> {
  if (plan.kind !== 'rollback' || outcome.status !== 'done' || plan.from === null) return [];
  const from = await parts.store.release(plan.from);
  const history = await parts.store.planningHistory(plan.from);
  const entry = history.quarantine.find((item) => item.commit === from?.commit && item.fixedBy === undefined);
  return entry === undefined ? [] : [`${plan.from} (${shortCommit(entry.commit)}) is quarantined`];
}

/** How a run ended, from its plan and journal. */
export async function runResult(
  parts: Parts,
  plan: Plan,
  state: RunState,
  outcome: RunOutcome,
  ms: number,
): Promise<RunResult> {
  const observed = plan.steps.flatMap((step) => {
    const seen = state.steps[step.id];
    return telling.has(step.action) && seen?.status === 'verified' && seen.observed !== undefined
      ? [`${step.surface} ${seen.observed}`]
      : [];
  });
  const notDone = plan.steps.flatMap((step) => {
    const seen = state.steps[step.id];
    if (step.importance === 'best-effort' && seen?.status === 'failed') {
      return [`${step.title}: ${seen.error?.message ?? 'failed'}`];
    }
    return [];
  });
  const data = dataOutcome(plan, state);
  const untold = data.unknown.map((id) => `what became of the data: not known, ${id} has not ended`);
  const silent =
    plan.kind === 'rollback' && parts.channels.length === 0 ? ['team not told: no channel configured'] : [];
  return {
    schema: 'unship.run/1',
    run: outcome.run,
    kind: plan.kind,
    status: outcome.status,
    from: plan.from,
    to: plan.to,
    ms,
    observed,
    data: dataOf(plan, data),
    notDone: [...untold, ...notDone, ...silent, ...plan.warnings],
    open: await openEnds(parts, plan, outcome),
    next: nextCommands(plan, outcome),
    ...(outcome.error === undefined ? {} : { error: reportError(outcome.error) }),
  };
}
