import type { DataAtRisk } from './facts.ts';
import { canonicalJson, type Json } from './json.ts';
import type { ReleaseId, SurfaceKind } from './release.ts';

/** `maintenance`: one thing that a person asked for by itself, such as a backup or a halted download. */
export type PlanKind = 'release' | 'rollback' | 'undo' | 'rehearsal' | 'maintenance';

/** What becomes of a run when a step has failed for good. */
export type OnFailure =
  /** Undo what was done, in reverse order of the graph: a release. */
  | 'undo'
  /** Keep what was done, start nothing more: the watch of a release, whose verdict a person or a policy acts on. */
  | 'stop'
  /** Retry, then wait as `blocked` for a new plan: a rollback is never undone by itself. */
  | 'block';

export interface Step {
  /** Unique within the plan, stable across equal plans: `web.switch`, `vault.migrate-down`. */
  readonly id: string;
  /** Name of a surface, or `unship` for the program's own records and waits. */
  readonly surface: string;
  readonly action: string;
  readonly input: Json;
  /** Ids of the steps that must be settled before. */
  readonly after: readonly string[];
  /** Best-effort steps may fail without failing the run; nothing required ever waits for their success. */
  readonly importance: 'required' | 'best-effort';
  readonly onFailure: OnFailure;
  /** Expected duration in ms; a measurement, no part of the hash. */
  readonly estimateMs: number;
  /** From here on the run can't be cancelled. */
  readonly pointOfNoReturn: boolean;
  /** One line for a person: what happens. */
  readonly title: string;
  /** Ends after this many ms with an error, whatever it is doing. */
  readonly timeoutMs: number;
}

export interface SurfaceChange {
  readonly surface: string;
  readonly kind: SurfaceKind;
  readonly now: string;
  readonly after: string;
  readonly what: string;
  readonly estimateMs: number;
}

export type Strategy = 'keep-schema' | 'migrate-down' | 'restore-with-salvage' | 'restore';

/** One way to take the database back: chosen, possible, or impossible, with its price. */
export interface StrategyOption {
  readonly surface: string;
  readonly strategy: Strategy;
  readonly verdict: 'chosen' | 'possible' | 'impossible';
  readonly reason: string;
  readonly estimateMs: number;
  readonly risk: DataAtRisk | null;
}

export interface Plan {
  readonly schema: 'unship.plan/1';
  readonly kind: PlanKind;
  readonly application: string;
  readonly environment: string;
  readonly from: ReleaseId | null;
  readonly to: ReleaseId | null;
  readonly reason: string;
  readonly steps: readonly Step[];
  readonly changes: readonly SurfaceChange[];
  /** Why this way: the compatibility that decided the order, in one sentence each. */
  readonly why: readonly string[];
  readonly options: readonly StrategyOption[];
  /** Of the chosen strategies, all databases together. */
  readonly risk: DataAtRisk;
  /** Rows lost by the chosen strategies: consent is needed above 0. */
  readonly rowsLost: number;
  /** True when something can be lost that has not been counted exactly. */
  readonly lossUncertain: boolean;
  readonly blockedWritesMs: number;
  readonly estimateMs: number;
  readonly warnings: readonly string[];
  /** Releases whose security fixes would be gone: this needs a consent of its own. Absent when there are none. */
  readonly securityFixesLost?: readonly ReleaseId[];
  /** SHA-256 over the identity: request, graph and identity facts; no measurement. */
  readonly hash: string;
}

/** The planner's other answer. Nothing is missing silently: `missing` names it, `next` says how to get it. */
export interface Refusal {
  readonly refused: true;
  /** Slug of the error catalogue. */
  readonly slug: string;
  readonly happened: string;
  readonly missing: readonly string[];
  readonly next: string;
}

export function isRefusal(answer: object): answer is Refusal {
  return 'refused' in answer;
}

/** First six digits are enough to read aloud; a prefix of at least six is accepted. */
export function shortHash(hash: string): string {
  return hash.slice(0, 6);
}

/** The part of a step that identifies it: estimates are left out. */
function stepIdentity({ estimateMs: _estimate, title: _title, ...identity }: Step): Json {
  return identity as unknown as Json;
}

/** The text whose SHA-256 is the plan's hash. */
export function planIdentity(parts: {
  readonly kind: PlanKind;
  readonly application: string;
  readonly environment: string;
  readonly from: ReleaseId | null;
  readonly to: ReleaseId | null;
  readonly steps: readonly Step[];
  readonly facts: Json;
}): string {
  return canonicalJson({ ...parts, steps: parts.steps.map(stepIdentity) } as unknown as Json);
}

/** Ids of all steps that must come before `id`, through any number of arrows. */
export function ancestorsOf(steps: readonly Step[], id: string): ReadonlySet<string> {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const found = new Set<string>();
  const visit = (current: string): void => {
    for (const before of byId.get(current)?.after ?? []) {
      if (found.has(before)) continue;
      found.add(before);
      visit(before);
    }
  };
  visit(id);
  return found;
}

/** Steps in an order in which every step stands behind what it waits for. Throws on a circle or an unknown id. */
export function topologicalOrder(steps: readonly Step[]): readonly Step[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const order: Step[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (id: string): void => {
    if (state.get(id) === 'done') return;
    if (state.get(id) === 'open') throw new Error(`the plan has a circle through ${id}`);
    const step = byId.get(id);
    if (step === undefined) throw new Error(`the plan names an unknown step ${id}`);
    state.set(id, 'open');
    for (const before of step.after) visit(before);
    state.set(id, 'done');
    order.push(step);
  };
  for (const step of steps) visit(step.id);
  return order;
}
