import { errorCatalogue } from '../domain/error-catalogue.ts';
import { isUnshipError, messageOf } from '../domain/errors.ts';
import type { Plan, Step } from '../domain/plan.ts';
import type { ReportedError, RunEvent, StepEvent } from '../domain/report.ts';
import type { EngineEvent } from '../engine/journal.ts';

/** Any error as the data that reports carry. */
export function reportError(error: unknown): ReportedError {
  if (!isUnshipError(error)) return { slug: 'internal', happened: messageOf(error) };
  const next = error.details.next ?? errorCatalogue[error.slug]?.next;
  return {
    slug: error.slug,
    happened: error.details.happened,
    ...(error.details.done === undefined ? {} : { done: error.details.done }),
    ...(next === undefined || next === '' ? {} : { next }),
  };
}

/** Turns what the engine journals into what a person watches: numbered steps with their durations. */
export function runEventTranslator(
  plan: Plan,
  tell: (event: RunEvent) => void,
): (event: EngineEvent) => void {
  const place = new Map(plan.steps.map((step, index) => [step.id, { step, index: index + 1 }]));
  const started = new Map<string, number>();
  const first = new Map<number, number>();
  const base = (
    run: number,
    id: string,
    at: number,
  ): (Omit<StepEvent, 'state'> & { readonly step: Step }) | undefined => {
    const found = place.get(id);
    if (found === undefined) return undefined;
    const since = started.get(id) ?? at;
    started.set(id, since);
    return {
      type: 'step',
      run,
      step: found.step,
      index: found.index,
      total: plan.steps.length,
      ms: at - since,
    };
  };
  return (event) => {
    if (event.type === 'progress') {
      const common = base(event.run, event.step, started.get(event.step) ?? 0);
      if (common !== undefined) tell({ ...common, state: 'progress', text: event.text });
      return;
    }
    const { run, entry } = event;
    if (!first.has(run)) {
      first.set(run, entry.at);
      tell({ type: 'run-started', run, kind: plan.kind, total: plan.steps.length });
    }
    if (entry.type === 'note') {
      const common = entry.step === undefined ? undefined : base(run, entry.step, entry.at);
      const { attempt, text } = entry;
      if (common === undefined) tell({ type: 'note', run, text });
      else if (attempt === undefined) tell({ ...common, state: 'progress', text });
      else tell({ ...common, state: 'retrying', attempt, error: { slug: 'internal', happened: text } });
    } else if (entry.type === 'run') {
      if (['running', 'waiting', 'undoing', 'planned'].includes(entry.status)) return;
      tell({ type: 'run-ended', run, status: entry.status, ms: entry.at - (first.get(run) ?? entry.at) });
    } else if (entry.type === 'step') {
      const common = base(run, entry.step, entry.at);
      if (common === undefined) return;
      const error =
        entry.error === undefined
          ? { slug: 'internal', happened: 'failed' }
          : { slug: entry.error.slug, happened: entry.error.message };
      if (entry.status === 'applying') tell({ ...common, state: 'started' });
      else if (entry.status === 'verified')
        tell({ ...common, state: 'verified', observed: entry.observed ?? '' });
      else if (entry.status === 'undoing') tell({ ...common, state: 'undoing' });
      else if (entry.status === 'undone') tell({ ...common, state: 'undone' });
      else if (entry.status === 'failed' || entry.status === 'undo-failed') {
        tell({ ...common, state: common.step.importance === 'best-effort' ? 'skipped' : 'failed', error });
      }
    }
  };
}
