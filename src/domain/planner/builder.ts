import { type DataAtRisk, type Facts, identityOf, noRisk, rowsLost } from '../facts.ts';
import type { Json } from '../json.ts';
import {
  type OnFailure,
  type Plan,
  planIdentity,
  type Refusal,
  type Step,
  type StrategyOption,
  topologicalOrder,
} from '../plan.ts';
import { type ActionName, actions } from './actions.ts';
import type { Policy } from './request.ts';

/** What a planner says of one step; the rest follows from the action's entry. */
export interface StepDraft {
  /** Name of the surface; `unship` when left out. */
  readonly surface?: string;
  readonly action: ActionName;
  readonly input: Json;
  readonly after?: readonly string[];
  readonly title: string;
  readonly importance?: Step['importance'];
  readonly onFailure: OnFailure;
  readonly estimateMs?: number;
  readonly pointOfNoReturn?: boolean;
  /** Distinguishes two steps of the same action on the same surface. */
  readonly suffix?: string;
  /** Default: that of the action. */
  readonly timeoutMs?: number;
}

/** Id under which a draft will stand in the plan. */
export function stepId(draft: Pick<StepDraft, 'surface' | 'action' | 'suffix'>): string {
  const verb = draft.action.slice(draft.action.indexOf('.') + 1);
  return `${draft.surface ?? 'unship'}.${verb}${draft.suffix === undefined ? '' : `-${draft.suffix}`}`;
}

export function step(draft: StepDraft): Step {
  const entry = actions[draft.action];
  return {
    id: stepId(draft),
    surface: draft.surface ?? 'unship',
    action: draft.action,
    input: draft.input,
    after: [...new Set(draft.after ?? [])].sort(),
    importance: draft.importance ?? 'required',
    onFailure: draft.onFailure,
    estimateMs: draft.estimateMs ?? 50,
    pointOfNoReturn: draft.pointOfNoReturn ?? false,
    title: draft.title,
    timeoutMs: draft.timeoutMs ?? entry.timeoutMs,
  };
}

/** Length of the longest chain of required steps: what a person waits for. */
export function criticalPathMs(steps: readonly Step[]): number {
  const ends: { readonly item: Step; readonly ms: number }[] = [];
  for (const item of topologicalOrder(steps)) {
    const before = ends.filter((other) => item.after.includes(other.item.id));
    ends.push({ item, ms: item.estimateMs + Math.max(0, ...before.map(({ ms }) => ms)) });
  }
  return Math.max(0, ...ends.filter(({ item }) => item.importance === 'required').map(({ ms }) => ms));
}

/** All databases' risks as one. */
export function sumRisk(risks: readonly DataAtRisk[]): DataAtRisk {
  return risks.length === 0
    ? noRisk
    : {
        tables: risks.flatMap((risk) => risk.tables),
        dropped: risks.flatMap((risk) => risk.dropped),
        exact: risks.every((risk) => risk.exact),
      };
}

/**
 * A restore loses what it did not count. The other strategies lose nothing by their contract, so that an inexact
 * count leaves a doubt only where it found a loss.
 */
function mayLoseUncounted({ strategy, risk }: StrategyOption): boolean {
  if (risk === null) return true;
  return !risk.exact && (strategy === 'restore' || rowsLost(risk) > 0);
}

/** What a planner decides; the rest of a plan follows from it. */
export type PlanDraft = Pick<
  Plan,
  | 'kind'
  | 'from'
  | 'to'
  | 'reason'
  | 'steps'
  | 'changes'
  | 'why'
  | 'options'
  | 'warnings'
  | 'securityFixesLost'
  | 'blockedWritesMs'
>;

export function finishPlan(draft: PlanDraft, facts: Facts, policy: Policy): Plan {
  const steps = topologicalOrder(draft.steps);
  const chosen = draft.options.filter((option) => option.verdict === 'chosen');
  const risk = sumRisk(chosen.flatMap((option) => (option.risk === null ? [] : [option.risk])));
  return {
    ...draft,
    schema: 'unship.plan/1',
    application: policy.application,
    environment: policy.environment,
    steps,
    risk,
    rowsLost: rowsLost(risk),
    lossUncertain: chosen.some(mayLoseUncounted),
    estimateMs: criticalPathMs(steps),
    hash: policy.digest(
      planIdentity({
        kind: draft.kind,
        application: policy.application,
        environment: policy.environment,
        from: draft.from,
        to: draft.to,
        steps,
        facts: identityOf(facts),
      }),
    ),
  };
}

export function refuse(slug: string, happened: string, missing: readonly string[], next: string): Refusal {
  return { refused: true, slug, happened, missing, next };
}
