import { UnshipError } from './errors.ts';
import type { Refusal } from './plan.ts';

/** A refusal of the planner is an error to whoever asked for the plan. */
export function refusalError(refusal: Refusal): UnshipError {
  const happened = [refusal.happened, ...refusal.missing].join('\n');
  return new UnshipError(refusal.slug, { happened, done: 'nothing', next: refusal.next });
}
