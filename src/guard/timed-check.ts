import type { LookContext } from '../surfaces/surface.port.ts';
import type { Check, CheckResult } from './check.port.ts';

/** A check that tells how long its answer took. */
export function timedCheck(
  name: string,
  ask: (context: LookContext) => Promise<Pick<CheckResult, 'verdict' | 'seen'>>,
): Check {
  return {
    name,
    async run(context) {
      const { clock } = context.runtime;
      const started = clock.monotonic();
      const result = await ask(context);
      return { check: name, ...result, ms: Math.round(clock.monotonic() - started) };
    },
  };
}
