import { isUnshipError, UnshipError } from '../domain/errors.ts';
import type { Runtime } from '../domain/runtime.ts';
import { timeLimit } from '../domain/time-limit.ts';
import type { Surface, WorkContext } from '../surfaces/surface.port.ts';
import type { Parts } from './parts.ts';

/** Longest time for telling all surfaces that an earlier holder's work counts no more, in ms. */
const fenceWithinMs = 15_000;
/** Waits between attempts at it, in ms. */
const fenceDelays: readonly number[] = [300, 1500];

/** Most likely a process that was superseded hangs with a lock in its hands, which nobody can take from it. */
function untold({ name }: Surface): UnshipError {
  return new UnshipError('step-timeout', {
    happened: `${name} could not be told within ${fenceWithinMs / 1000} s that what was sent before counts no more: something holds it`,
    done: 'nothing was begun after that',
    next: 'end the process that hangs (unship status names who held the environment last), then repeat',
  });
}

async function isVisible(surface: Surface, runtime: Runtime): Promise<boolean> {
  using limit = timeLimit(runtime.clock, fenceWithinMs);
  const query = { releases: [], countRisk: false };
  return await surface.observe({ runtime, signal: limit.signal }, query).then(
    () => true,
    () => false,
  );
}

/**
 * What was sent under a lower fence may still be on its way, and would change what is taken for granted from now on.
 * A surface that can't be told must be one that can't be seen either: the plan that is made after this says so.
 * `names` are the surfaces that matter; all of them unless said.
 */
export async function fenceOff(
  { surfaces, runtime, policy }: Pick<Parts, 'surfaces' | 'runtime' | 'policy'>,
  fence: number,
  names?: ReadonlySet<string>,
): Promise<void> {
  using limit = timeLimit(runtime.clock, fenceWithinMs);
  const context: WorkContext = {
    runtime,
    signal: limit.signal,
    idempotencyKey: `${policy.application}/${policy.environment}/fence/${fence}`,
    fence,
    maximumRowsLost: 0,
    progress: () => {},
  };
  const tell = async (surface: Surface): Promise<void> => {
    for (const delay of [...fenceDelays, undefined]) {
      try {
        return await surface.raiseFence(context);
      } catch (error) {
        if (isUnshipError(error) && error.slug === 'fenced-out') throw error;
        if (limit.signal.aborted) throw untold(surface);
        if (delay !== undefined) await runtime.clock.sleep(delay, limit.signal);
        else if (await isVisible(surface, runtime)) throw error;
      }
    }
  };
  const told = [...surfaces.values()].filter(({ name }) => names?.has(name) ?? true);
  await Promise.all(told.map(tell));
}
