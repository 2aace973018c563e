import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import type { Lease } from '../store/store.port.ts';
import { busy, counts } from './leases.ts';
import type { Parts } from './parts.ts';

/** What was made, from which moment's facts. */
export interface MadeAtRest {
  readonly answer: Plan | Refusal;
  /** The last fence while nobody held the environment; null when somebody did. */
  readonly fence: number | null;
  readonly madeAt: number;
}

/** How often facts that were moving are looked at again. */
const mostLooks = 3;

/**
 * Makes a plan. A refusal that was made from facts which somebody else was changing is none: half of a way back looks
 * as if there were no way back. Then they are looked at again, or it is told who is at work. Throws `busy`.
 *
 * @param isAsked somebody wants to carry it out; whoever only looks is not told that he must wait
 */
export async function madeAtRest(
  parts: Parts,
  make: () => Promise<Plan | Refusal>,
  isAsked: boolean,
): Promise<MadeAtRest> {
  for (let looks = 1; ; looks += 1) {
    const fence = await fenceAtRest(parts);
    const madeAt = parts.runtime.clock.now();
    const answer = await make();
    const made = { answer, fence, madeAt };
    // A name that was mistyped stays one.
    if (!isRefusal(answer) || answer.slug === 'unknown-release' || looks === mostLooks) return made;
    if (fence !== null && (await fenceAtRest(parts)) === fence) return made;
    const holder = await parts.store.lease();
    if (holder === undefined) continue;
    if (!isSomebodyElse(parts, holder)) return made;
    // A way back goes before a release by itself.
    const waits = holder.kind === 'release' || holder.kind === 'rehearsal';
    if (isAsked && !waits) throw busy(parts, holder);
  }
}

async function fenceAtRest({ store }: Parts): Promise<number | null> {
  // In this order: whoever takes the lease in between is seen by one or by the other.
  const lastFence = await store.lastFence();
  return (await store.lease()) === undefined ? lastFence : null;
}

/** Who is dead changes nothing any more. */
function isSomebodyElse(parts: Parts, holder: Lease): boolean {
  const { host, pid } = parts.owner;
  const isOurs = holder.owner.host === host && holder.owner.pid === pid;
  return !isOurs && counts(parts, holder);
}
