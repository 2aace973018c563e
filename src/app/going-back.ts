import type { RollbackRequest } from '../domain/application.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { unfinishedOf } from '../domain/planner/leaving.ts';
import type { Before } from '../domain/planner/request.ts';
import { planRollback, planUndo } from '../domain/planner/rollback.ts';
import { unknownRelease } from '../domain/planner/rollback-target.ts';
import { findRelease, type Release, type ReleaseId } from '../domain/release.ts';
import { explainFailures, observe, releasesInQuestion } from './observe.ts';
import type { Parts } from './parts.ts';

/** What a rollback from here would do now. */
export async function rollbackPlan(
  parts: Parts,
  request: RollbackRequest,
  quarantine: boolean,
): Promise<Plan | Refusal> {
  const { store, surfaces, policy, runtime } = parts;
  const history = await store.planningHistory(request.to);
  const { to } = request;
  if (to !== undefined && findRelease(history, to) === undefined) return unknownRelease(to);
  // A part of the application goes back from what is live: it ends no run for the whole of it.
  const unfinished = request.only === undefined ? unfinishedOf(await store.unendedRuns()) : undefined;
  const releases = releasesInQuestion(history, request.to, request.only, unfinished);
  const query = { releases, countRisk: request.countRisk };
  const { facts, failures } = await observe(surfaces, query, runtime);
  const plan = planRollback(history, facts, policy, {
    kind: 'rollback',
    reason: 'rollback',
    quarantine,
    ...(request.to === undefined ? {} : { to: request.to }),
    ...(request.only === undefined ? {} : { only: request.only }),
    ...(request.strategy === undefined ? {} : { strategy: request.strategy }),
    ...(unfinished === undefined ? {} : { unfinished }),
  });
  return isRefusal(plan) ? explainFailures(plan, failures) : plan;
}

/** What bringing `to` back would do now, which `run` took away by `done`. */
export async function undoPlan(
  parts: Parts,
  { run, to, done }: { readonly run: number; readonly to: ReleaseId; readonly done: Plan },
): Promise<Plan | Refusal> {
  const { store, surfaces, policy, runtime } = parts;
  const limit = limitOf(done);
  const history = await store.planningHistory(to);
  const question = releasesInQuestion(history, to);
  // As they were before a limited run: the record says otherwise by now.
  const asBefore = question
    .filter((release) => release.id === to && limit.replaced !== undefined)
    .map((release) => ({ ...release, surfaces: { ...release.surfaces, ...limit.replaced } }));
  const query = { releases: [...question, ...asBefore], countRisk: true };
  const { facts, failures } = await observe(surfaces, query, runtime);
  const undo = planUndo(history, facts, policy, {
    kind: 'undo',
    run,
    to,
    ...limit,
    ...forgivenBy(done),
    reason: `undo of run ${run}`,
  });
  return isRefusal(undo) ? explainFailures(undo, failures) : undo;
}

/** What a run that was limited to some surfaces wrote over: an undo brings back exactly that. */
function limitOf(plan: Plan): { readonly replaced?: Release['surfaces'] } {
  const replaced = recordOf(plan)?.replaced;
  return replaced === undefined || replaced === null ? {} : { replaced };
}

/** Where things stood before a run that was itself an undo: undoing it must not leave the bad commit forgiven. */
function forgivenBy(plan: Plan): { readonly restores?: Before } {
  const before = plan.kind === 'undo' ? recordOf(plan)?.before : undefined;
  return before === undefined ? {} : { restores: before };
}

interface RollbackRecord {
  readonly replaced?: Release['surfaces'] | null;
  readonly before?: Before;
}

function recordOf(plan: Plan): RollbackRecord | undefined {
  const record = plan.steps.find((step) => step.action === 'unship.record-rollback');
  return record?.input as RollbackRecord | undefined;
}
