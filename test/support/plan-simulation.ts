import type { DatabaseFacts, Facts, WebFacts } from '../../src/domain/facts.ts';
import type { Plan, Step } from '../../src/domain/plan.ts';

/** What code expects of a database: the migrations that were applied when it was written. */
type Ledger = readonly string[];

/** Code runs on a schema when each migration by which they differ is known to be no obstacle. */
export function runsOn(code: Ledger, schema: Ledger, { migrations }: DatabaseFacts): boolean {
  const known = new Map(migrations.map((migration) => [migration.version, migration]));
  const newer = schema.filter((version) => !code.includes(version));
  const missing = code.filter((version) => !schema.includes(version));
  return (
    newer.every((version) => known.get(version)?.oldCodeRuns.holds === true) &&
    missing.every((version) => known.get(version)?.newCodeRuns.holds === true)
  );
}

/** One web surface during a run: which code serves at the beginning, and which after its switch. */
export interface WebRole {
  readonly surface: string;
  readonly serves: 'current' | 'target';
}

/** One database during a run: what the live code and the target's code were written for. */
export interface DatabaseRole {
  readonly surface: string;
  readonly facts: DatabaseFacts;
  readonly target: Ledger;
}

/** Any order in which the engine may carry the steps out: `choose` picks one of those that are ready. */
export function linearOrder(
  steps: readonly Step[],
  choose: (ready: readonly Step[]) => Step,
): readonly Step[] {
  const done = new Set<string>();
  const order: Step[] = [];
  while (order.length < steps.length) {
    const ready = steps.filter((step) => !done.has(step.id) && step.after.every((id) => done.has(id)));
    if (ready.length === 0) throw new Error('the steps wait for each other');
    const next = choose(ready);
    done.add(next.id);
    order.push(next);
  }
  return order;
}

function appliedAfter(step: Step): Ledger | undefined {
  if (!['database.migrate-up', 'database.migrate-down', 'database.restore'].includes(step.action))
    return undefined;
  return (step.input as { readonly applied: Ledger }).applied;
}

/**
 * Carries the steps out in this order and tells each moment in which code that serves meets a schema that it
 * does not run on. Held requests meet nothing.
 */
export function mismatches(
  order: readonly Step[],
  webs: readonly WebRole[],
  databases: readonly DatabaseRole[],
): readonly string[] {
  const code = new Map(webs.map(({ surface, serves }) => [surface, serves]));
  const schema = new Map<string, Ledger>(databases.map(({ surface, facts }) => [surface, facts.applied]));
  const held = new Set<string>();
  const fits = (web: string, { surface, facts, target }: DatabaseRole): boolean => {
    const expected = code.get(web) === 'target' ? target : facts.applied;
    return runsOn(expected, schema.get(surface) ?? [], facts);
  };
  // What does not fit before the run begins is not the plan's doing; once it fits, it has to go on fitting.
  const unfit = new Set<string>();
  for (const web of code.keys()) {
    for (const database of databases) if (!fits(web, database)) unfit.add(`${web} ${database.surface}`);
  }
  const found: string[] = [];
  for (const step of order) {
    if (step.action === 'web.hold') held.add(step.surface);
    if (step.action === 'web.switch') {
      code.set(step.surface, 'target');
      held.delete(step.surface);
    }
    if (step.action === 'web.resume') held.delete(step.surface);
    const applied = appliedAfter(step);
    if (applied !== undefined) schema.set(step.surface, applied);
    for (const [web, serves] of code) {
      if (held.has(web)) continue;
      for (const database of databases) {
        const pair = `${web} ${database.surface}`;
        if (fits(web, database)) unfit.delete(pair);
        else if (!unfit.has(pair))
          found.push(`${web} on ${serves} code meets ${database.surface} after ${step.id}`);
      }
    }
  }
  return found;
}

/** Schema of each database once every step is done. */
export function schemasAfter(plan: Plan, facts: Facts): ReadonlyMap<string, Ledger> {
  const schema = new Map<string, Ledger>();
  for (const [name, seen] of Object.entries(facts.surfaces)) {
    if (seen.kind === 'database') schema.set(name, seen.applied);
  }
  for (const step of plan.steps) {
    const applied = appliedAfter(step);
    if (applied !== undefined) schema.set(step.surface, applied);
  }
  return schema;
}

export function websOf(facts: Facts): readonly (readonly [string, WebFacts])[] {
  return Object.entries(facts.surfaces).flatMap(([name, seen]) =>
    seen.kind === 'web' ? [[name, seen] as const] : [],
  );
}

export function databasesOf(facts: Facts): readonly (readonly [string, DatabaseFacts])[] {
  return Object.entries(facts.surfaces).flatMap(([name, seen]) =>
    seen.kind === 'database' ? [[name, seen] as const] : [],
  );
}
