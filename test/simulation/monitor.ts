import { endedStatuses } from '../../src/domain/run.ts';
import type { Content } from './disk.ts';
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

/** Looks at every commit as it is made: what must never be, not even for a moment. */
export class Monitor {
  readonly found: Set<string> = new Set();
  readonly #faults: Faults;
  readonly #processes: readonly SimulatedProcess[];
  readonly #now: () => number;

  constructor(faults: Faults, processes: readonly SimulatedProcess[], now: () => number) {
    this.#faults = faults;
    this.#processes = processes;
    this.#now = now;
  }

  committed(before: Content, after: Content): void {
    this.#lease(before, after);
    this.#superseded(before, after);
    const open = after.runs.filter(({ summary }) => !endedStatuses.has(summary.status));
    if (open.length > 1 && after.runs.length > before.runs.length)
      this.found.add(`a run begins beside ${open.length - 1} that have not ended`);
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
    if (timeless.some((kind) => this.#faults.happened(kind))) return;
    const alive = this.#processes.some(({ owner, alive }) => owner.pid === held.owner.pid && alive);
    if (!alive || held.expiresAt <= this.#now()) return;
    const mayPass = held.kind === 'release' || held.kind === 'rehearsal';
    if (mayPass && (taken.kind === 'rollback' || taken.kind === 'undo')) return;
    this.found.add('a lease was taken from whoever held it');
  }
}
