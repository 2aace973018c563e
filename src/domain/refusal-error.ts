import { UnshipError } from './errors.ts';
import type { Refusal } from './plan.ts';

/** A refusal of the planner is an error to whoever asked for the plan. */
export function refusalError(refusal: Refusal): UnshipError {
  const missing = refusal.missing.filter((item) => !refusal.happened.includes(item));
  const happened = [refusal.happened, ...missing].join('\n');
  return new UnshipError(refusal.slug, { happened, done: 'nothing', next: refusal.next });
}
