import type { Plan } from '../domain/plan.ts';
import type { JournalEntry, RunStatus } from '../domain/run.ts';

/** One line of what happened. `text` is plain text and may hold outside text. */
export interface TimelineEntry {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly text: string;
  /** How long it took, where it has a beginning and an end. */
  readonly ms?: number;
}

const runTexts: { readonly [status in RunStatus]: string } = {
  planned: 'planned',
  running: 'begun',
  undoing: 'is being undone',
  waiting: 'waits',
  paused: 'paused',
  blocked: 'blocked: it waits for a person',
  done: 'done',
  failed: 'failed',
  undone: 'undone: everything it had done was taken back',
  superseded: 'superseded by another run',
};

type StepEntry = Extract<JournalEntry, { readonly type: 'step' }>;

/** What a step's entry adds to the story; undefined where the next entry will tell it. */
function stepText(entry: StepEntry, title: string): string | undefined {
  const why = entry.error === undefined ? '' : `: ${entry.error.message}`;
  switch (entry.status) {
    case 'applying':
      return entry.attempt > 1 ? `${title}: tried again (attempt ${entry.attempt})` : undefined;
    case 'verified':
      return `${title}: ${entry.observed ?? 'done'}`;
    case 'failed':
      return `${title}: failed${why}`;
    case 'undone':
      return `${title}: taken back${entry.observed === undefined ? '' : `: ${entry.observed}`}`;
    case 'undo-failed':
      return `${title}: could not be taken back${why}`;
    default:
      return undefined;
  }
}

const ends: ReadonlySet<StepEntry['status']> = new Set(['verified', 'failed', 'undone', 'undo-failed']);

/** The story of a run, oldest first, from nothing but its plan and its journal. */
export function timeline(plan: Plan, journal: readonly JournalEntry[]): readonly TimelineEntry[] {
  const titles = new Map(plan.steps.map(({ id, surface, title }) => [id, `${surface}: ${title}`]));
  const begun = new Map<string, number>();
  const story: TimelineEntry[] = [];
  for (const entry of journal) {
    const { at } = entry;
    if (entry.type === 'run') {
      const note = entry.note === undefined || entry.note === '' ? '' : `: ${entry.note}`;
      story.push({ at, text: `${plan.kind} ${runTexts[entry.status]}${note}` });
    } else if (entry.type === 'consent') {
      story.push({ at, text: `${entry.by} agreed to lose up to ${entry.rowsLost} rows` });
    } else if (entry.type === 'note') {
      story.push({ at, text: entry.text });
    } else {
      const { step, status } = entry;
      // A step's time counts from its first try, an undo's from its own beginning.
      if (status === 'undoing' || !begun.has(step)) begun.set(step, at);
      const text = stepText(entry, titles.get(step) ?? step);
      const ms = ends.has(status) ? { ms: at - (begun.get(step) ?? at) } : {};
      if (text !== undefined) story.push({ at, text, ...ms });
    }
  }
  return story;
}

/** `2026-07-03 14:31:07`, in UTC. */
export function utc(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}
