import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import { liveRelease } from '../domain/release.ts';
import type { GuardReport, RunEvent } from '../domain/report.ts';
import { look, watch, watchPolicy } from '../guard/guard.ts';
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

/** `unship guard`: watches what is live until there is a verdict; with `once` it looks once, and judges by that. */
export async function guardReport(
  parts: Parts,
  options: { readonly once: boolean; readonly signal: AbortSignal; onEvent(event: RunEvent): void },
): Promise<GuardReport> {
  const { runtime, store, webs, definition } = parts;
  const checks = await parts.checks(webs);
  const context = { runtime, signal: options.signal };
  const live = liveRelease(await store.planningHistory());
  const report = { schema: 'unship.guard/1', release: live?.id ?? null } as const;
  if (options.once) {
    const answers = await look(context, checks);
    const failed = answers.some(({ verdict }) => verdict === 'fail');
    const passed = answers.length > 0 && answers.every(({ verdict }) => verdict === 'pass');
    return {
      ...report,
      verdict: failed ? 'unhealthy' : passed ? 'healthy' : 'inconclusive',
      checks: answers,
    };
  }
  const progress = (text: string): void => options.onEvent({ type: 'note', run: null, text });
  const result = await watch(
    { ...context, progress },
    { checks, policy: watchPolicy(definition.guard), startedAt: runtime.clock.now() },
  ).catch((error: unknown) => {
    if (!options.signal.aborted) throw error;
    return { verdict: 'inconclusive', reason: 'ended before there was a verdict' } as const;
  });
  // Whoever ended it has no use for one look more.
  const told = options.signal.aborted ? [] : await look(context, checks);
  return { ...report, verdict: result.verdict, reason: result.reason, checks: told };
}
