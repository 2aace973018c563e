import type { Clock } from '../domain/runtime.ts';
import type { Lease, Store } from '../store/store.port.ts';
import { leaseTtlMs } from './session.ts';

/** How often it looks, in ms. */
const lookEveryMs = 500;

/**
 * An expiry further away than a lease ever lasts was written by a clock that is ahead of ours, and may lie years away.
 * A clock that is a little ahead does no harm: it is soon waited for.
 */
export function isBeyondBelief(lease: Lease, now: number): boolean {
  return lease.expiresAt - now > 2 * leaseTtlMs;
}

/**
 * Watches a holder for as long as a lease lasts, by our own clock, which nobody can set. True when no sign of life
 * came. Who takes it then names what was seen: a sign in the last moment still counts.
 */
export async function isSilent(
  store: Store,
  clock: Clock,
  holder: Lease,
  signal?: AbortSignal,
): Promise<boolean> {
  const since = clock.monotonic();
  for (;;) {
    const watchedMs = clock.monotonic() - since;
    const seen = await store.lease();
    if (seen?.fence !== holder.fence || seen.expiresAt !== holder.expiresAt) return false;
    if (watchedMs >= leaseTtlMs) return true;
    await clock.sleep(lookEveryMs, signal);
    if (signal?.aborted === true) return false;
  }
}
