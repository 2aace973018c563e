import type { RollbackRequest } from '../domain/application.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { noTarget } from '../domain/planner/rollback-target.ts';
import { liveRelease, type ReleaseId, wayBackFrom } from '../domain/release.ts';
import type { Parts } from './parts.ts';
import { otherHost, type SurfaceElsewhere, surfacesElsewhere } from './surface-places.ts';

export type MakePlan = (request: RollbackRequest) => Promise<Plan | Refusal>;

/** Where one can go back to right now, or why nowhere. */
export type WayBackNow =
  | { readonly plan: Plan; readonly command: string; readonly named: ReleaseId | null }
  | { readonly plan: null; readonly refusal: Refusal };

/**
 * What status and doctor both tell, so that they tell the same. After a rollback one does not go further by default;
 * there still is a way back where an older release could be named.
 */
export async function wayBackNow(parts: Parts, makePlan: MakePlan): Promise<WayBackNow> {
  const elsewhere = await surfacesElsewhere(parts);
  if (elsewhere.length > 0) return { plan: null, refusal: refusalOf(parts, elsewhere) };
  const plan = await makePlan({ countRisk: true });
  if (!isRefusal(plan)) return { plan, command: 'unship plan', named: null };
  if (plan.slug !== 'already-there') return { plan: null, refusal: plan };
  const history = await parts.store.planningHistory();
  const live = liveRelease(history);
  if (live === undefined) return { plan: null, refusal: plan };
  const further = wayBackFrom(history, live);
  if (further === undefined) return { plan: null, refusal: noTarget(history, live) };
  const named = await makePlan({ to: further.id, countRisk: true });
  return isRefusal(named)
    ? { plan: null, refusal: named }
    : { plan: named, command: `unship plan ${further.id}`, named: further.id };
}

/** From here nothing of them is seen; from where they are there may be a way back. */
function refusalOf(parts: Parts, elsewhere: readonly SurfaceElsewhere[]): Refusal {
  const [first] = elsewhere.map((item) => otherHost(parts, item).details);
  return {
    refused: true,
    slug: 'other-host',
    happened: first?.happened ?? '',
    missing: elsewhere.map(({ surface, host }) => `${surface}: it is on ${host}`),
    next: first?.next ?? '',
  };
}
