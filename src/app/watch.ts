import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import { watch, watchPolicy } from '../guard/guard.ts';
import { Input } from '../surfaces/input.ts';
import type { WorkContext } from '../surfaces/surface.port.ts';
import type { Parts } from './parts.ts';
import { runState } from './records.ts';

/**
 * `unship.watch`: asks the configured checks for the bake time. A resumed watch keeps its end. Throws
 * `guard-unhealthy` after recording the release as bad, and `guard-inconclusive` where nothing can be told.
 */
export async function watchRelease(
  parts: Parts,
  run: number,
  context: WorkContext,
  input: Json,
): Promise<Json> {
  const read = new Input(input);
  const id = read.release('release');
  const state = await runState(parts.store, run);
  const result = await watch(context, {
    checks: await parts.checks(parts.webs),
    policy: { ...watchPolicy(parts.definition.guard), bakeMs: read.number('bakeMs') },
    startedAt: state?.steps['unship.watch']?.startedAt ?? context.runtime.clock.now(),
  });
  if (result.verdict === 'healthy') return { summary: `healthy: ${result.reason}` };
  if (result.verdict === 'unhealthy') {
    const release = await parts.store.release(id);
    if (release !== undefined) await parts.store.saveRelease(context.fence, { ...release, health: 'bad' });
    throw new UnshipError('guard-unhealthy', {
      happened: `${id}: ${result.reason}`,
      done: `${id} still serves`,
      next: 'unship plan shows the way back; unship rollback takes it',
    });
  }
  throw new UnshipError('guard-inconclusive', {
    happened: `${id}: ${result.reason}`,
    done: `${id} serves and stays unproven`,
  });
}
