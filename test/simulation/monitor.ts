import { endedStatuses, type JournalEntry } from '../../src/domain/run.ts';
import type { Content, StoredRun } from './disk.ts';
import type { Faults } from './faults.ts';
import type { SimulatedProcess } from './process.ts';

/** After these a process may be wrong about what time it is, and so about whose turn it is. */
const timeless = [
  'clock-forward',
  'clock-back',
  'clock-frozen',
  'clock-skewed',
  'freeze',
  'stalled-loop',
  'lost-sync',
] as const;

/** After these a journal may say anything. */
const spoiling = ['torn-sector', 'flipped-byte', 'lost-sync'] as const;

function isPastNoReturn(run: StoredRun): boolean {
  const final = run.parsed().steps.filter(({ pointOfNoReturn }) => pointOfNoReturn);
  return final.some(({ id }) =>
    run.entries.some(({ text }) => text.includes(`"step":"${id}"`) && text.includes('"status":"applying"')),
  );
}

/** Looks at every commit as it is made: what must never be, not even for a moment. */
export class Monitor {
  readonly found: Set<string> = new Set();
  readonly #faults: Faults;
  readonly #processes: readonly SimulatedProcess[];
  readonly #now: () => number;
  /** Under it a run was begun after another look at the world: what was sent before must not come any more. */
  #begunUnder = 0;
  /** Runs that somebody went on with after they were cancelled. */
  readonly #cancelled = new Set<number>();

  constructor(faults: Faults, processes: readonly SimulatedProcess[], now: () => number) {
    this.#faults = faults;
    this.#processes = processes;
    this.#now = now;
  }

  committed(before: Content, after: Content): void {
    this.#lease(before, after);
    this.#superseded(before, after);
    this.#goesOn(before, after);
    // Where the lease came with the run, nobody had held it since the world was looked at.
    if (after.runs.length > before.runs.length && before.fence === after.fence)
      this.#begunUnder = after.fence;
    const open = after.runs.filter(({ summary }) => !endedStatuses.has(summary.status));
    if (open.length > 1 && after.runs.length > before.runs.length)
      this.found.add(`a run begins beside ${open.length - 1} that have not ended`);
  }

  /** An order has come through. Where nobody could be told for a while, neither could the surface. */
  ordered(fence: number): void {
    if (fence < this.#begunUnder && !this.#faults.happened('connection-killed'))
      this.found.add('an order of an earlier holder comes through after a later run was begun');
  }

  /** Whoever goes on with a run that was cancelled meanwhile begins nothing in it. */
  #goesOn(before: Content, after: Content): void {
    if (before.signals.length === 0 || spoiling.some((kind) => this.#faults.happened(kind))) return;
    for (const { run, name } of before.signals) {
      const [was, is] = [before.runs[run - 1], after.runs[run - 1]];
      if (name !== 'cancel' || is === undefined || was === is) continue;
      const added = is.entries
        .slice(was?.entries.length ?? 0)
        .map(({ text }) => JSON.parse(text) as JournalEntry);
      if (
        added.some((entry) => entry.type === 'run' && entry.status === 'running' && entry.note === 'resumed')
      )
        this.#cancelled.add(run);
      const begins = added.some((entry) => entry.type === 'step' && entry.status === 'applying');
      if (begins && this.#cancelled.has(run) && !isPastNoReturn(is))
        this.found.add('a run that was cancelled goes on');
    }
  }

  /** Only what goes back ends what somebody else has begun. */
  #superseded(before: Content, after: Content): void {
    const ended = after.runs.some(
      ({ summary }, index) =>
        summary.status === 'superseded' &&
        summary.kind !== 'rehearsal' &&
        before.runs[index]?.summary.status !== 'superseded',
    );
    const newest = after.runs.at(-1)?.summary.kind;
    if (ended && newest === 'release' && after.runs.length > before.runs.length)
      this.found.add('a release ends a run that somebody else has begun');
  }

  /** A lease goes from hand to hand only when it was given back, has run out, or may be taken. */
  #lease(before: Content, after: Content): void {
    const [held, taken] = [before.lease, after.lease];
    if (held === undefined || taken === undefined || held.fence === taken.fence) return;
    // Whoever gave up an order takes a higher one.
    if (held.owner.pid === taken.owner.pid && held.owner.host === taken.owner.host) return;
    if (timeless.some((kind) => this.#faults.happened(kind))) return;
    const alive = this.#processes.some(({ owner, alive }) => owner.pid === held.owner.pid && alive);
    if (!alive || held.expiresAt <= this.#now()) return;
    const mayPass = held.kind === 'release' || held.kind === 'rehearsal';
    if (mayPass && (taken.kind === 'rollback' || taken.kind === 'undo')) return;
    this.found.add('a lease was taken from whoever held it');
  }
}
