import type { GuardDefinition } from '../domain/definition.ts';
import { formatDuration } from '../domain/duration.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import {
  addLook,
  type CheckResult,
  type Judgement,
  judge,
  judgeSoFar,
  looksOf,
  neededLooks,
  noEvidence,
  type WatchEvidence,
  type WatchPolicy,
} from '../domain/health.ts';
import type { LookContext } from '../surfaces/surface.port.ts';
import type { Check } from './check.port.ts';
import { positiveDuration } from './positive-duration.ts';

const defaults = { bake: '10m', every: '5s', failures: 3 } as const;

/** The policy of a configuration, its defaults filled in. Throws `config-invalid`. */
export function watchPolicy(guard: GuardDefinition = {}): WatchPolicy {
  const { failures = defaults.failures } = guard;
  if (!Number.isSafeInteger(failures) || failures < 1) {
    throw new UnshipError('config-invalid', { happened: 'guard.failures is not a whole number above 0' });
  }
  return {
    bakeMs: positiveDuration('guard.bake', guard.bake ?? defaults.bake),
    everyMs: positiveDuration('guard.every', guard.every ?? defaults.every),
    failures,
  };
}

export interface WatchContext extends LookContext {
  progress?(text: string): void;
}

export interface WatchRequest {
  readonly checks: readonly Check[];
  readonly policy: WatchPolicy;
  /** When the release went live, in milliseconds since the epoch: a watch that is resumed keeps its end. */
  readonly startedAt: number;
  /** What the watch had seen before it was interrupted; without it that much is looked at again. */
  readonly earlier?: WatchEvidence;
  /** Keeps the evidence after each look, for the process that may have to go on. */
  keep?(evidence: WatchEvidence): void | Promise<void>;
}

export interface WatchResult extends Judgement {
  readonly evidence: WatchEvidence;
}

/** One look: all checks side by side. A check that throws against its contract could not be asked. */
export async function look(context: LookContext, checks: readonly Check[]): Promise<readonly CheckResult[]> {
  return Promise.all(
    checks.map(async (check) => {
      try {
        return await check.run(context);
      } catch (error) {
        return { check: check.name, verdict: 'unknown', seen: messageOf(error), ms: 0 } as const;
      }
    }),
  );
}

function progressText(evidence: WatchEvidence, watchedMs: number, { bakeMs, failures }: WatchPolicy): string {
  const time = `${formatDuration(watchedMs)} of ${formatDuration(bakeMs)}`;
  if (evidence.streak > 0) return `${evidence.streak} of ${failures} failed looks in a row, ${time}`;
  return `${evidence.passed === 0 ? 'no answer yet' : 'healthy'}, ${time}`;
}

/**
 * Watches a release until its bake time is over or so many looks in a row have failed. Rejects with the
 * signal's reason when it aborts: an interrupted watch has no verdict.
 *
 * The bake time ends by the monotonic clock, so that a step of the wall clock neither cuts it short nor
 * stretches it. A row of failures that has begun when it ends is seen through, and a watch that was interrupted
 * for long goes on until it has looked often enough: nobody watching is no proof.
 */
export async function watch(context: WatchContext, request: WatchRequest): Promise<WatchResult> {
  const { checks, policy } = request;
  const { clock } = context.runtime;
  let evidence = request.earlier ?? noEvidence;
  if (checks.length === 0) {
    return { verdict: 'inconclusive', reason: 'no checks are configured', evidence };
  }
  const before = Math.min(Math.max(clock.now() - request.startedAt, 0), policy.bakeMs);
  const began = clock.monotonic() - before;
  const watched = (): number => clock.monotonic() - began;
  // Looks that a row of failures gets beyond the end; bounded, since unknown ones may follow it for ever.
  let grace = 2 * policy.failures;

  for (;;) {
    context.signal.throwIfAborted();
    const lookedAt = watched();
    const results = await look(context, checks);
    // A look that the abort cut off says nothing about the release.
    context.signal.throwIfAborted();
    evidence = addLook(evidence, results, clock.now());
    await request.keep?.(evidence);
    const early = judgeSoFar(evidence, policy);
    if (early !== undefined) return { ...early, evidence };
    context.progress?.(progressText(evidence, Math.min(watched(), policy.bakeMs), policy));

    const now = watched();
    const next = Math.max(lookedAt + policy.everyMs, now);
    if (next >= policy.bakeMs && looksOf(evidence) >= neededLooks(policy)) {
      if (evidence.streak === 0 || grace === 0) {
        await clock.sleep(Math.max(0, policy.bakeMs - now), context.signal);
        context.signal.throwIfAborted();
        return { ...judge(evidence, policy), evidence };
      }
      grace -= 1;
    }
    await clock.sleep(next - now, context.signal);
  }
}
