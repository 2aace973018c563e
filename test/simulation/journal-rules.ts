import { errorCatalogue } from '../../src/domain/error-catalogue.ts';
import { exitCodes } from '../../src/domain/errors.ts';
import { type Plan, type Step, topologicalOrder } from '../../src/domain/plan.ts';
import { actionEntry } from '../../src/domain/planner/actions.ts';
import type { JournalEntry, RunStatus, StepStatus } from '../../src/domain/run.ts';

/** So often what takes back is tried again. */
const stubbornness = 3;

/** What the entries so far say of one step. */
interface Told {
  status: StepStatus;
  tried: boolean;
  applied: boolean;
  /** Times it was tried again since somebody began to drive the run. */
  again: number;
}

/**
 * Reads a journal as somebody would who knows the contract and not the program: what must never stand behind what.
 * It folds nothing with the program's own code.
 */
export function judgeJournal(plan: Plan, entries: readonly JournalEntry[]): readonly string[] {
  return new Reading(plan).read(entries);
}

class Reading {
  readonly #plan: Plan;
  readonly #told: Map<string, Told>;
  readonly #found = new Set<string>();
  #goesBack = false;
  #status: RunStatus = 'planned';

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#told = new Map(
      plan.steps.map((step) => [step.id, { status: 'pending', tried: false, applied: false, again: 0 }]),
    );
  }

  read(entries: readonly JournalEntry[]): readonly string[] {
    for (const entry of entries) {
      if (entry.type === 'run') this.#run(entry.status);
      if (entry.type === 'run' && entry.note === 'resumed')
        for (const told of this.#told.values()) told.again = 0;
      if (entry.type === 'note' && entry.step !== undefined) this.#of(entry.step).again += 1;
      if (entry.type !== 'step') continue;
      if (entry.status === 'failed') this.#failed(entry.step, entry.error?.slug ?? '');
      // A sync that failed may have been none: what was journaled as begun all the same was not.
      if (entry.status === 'failed' && entry.attempt === 0) this.#of(entry.step).tried = false;
      this.#step(entry.step, entry.status, entry.output !== undefined);
    }
    return [...this.#found];
  }

  #of(id: string): Told {
    return this.#told.get(id) ?? { status: 'pending', tried: false, applied: false, again: 0 };
  }

  #isSettled(step: Step): boolean {
    const { status } = this.#of(step.id);
    return status === 'verified' || (step.importance === 'best-effort' && status === 'failed');
  }

  #run(status: RunStatus): void {
    const { steps } = this.#plan;
    if (status === 'undoing') this.#goesBack = true;
    if (status === 'running' && this.#goesBack) this.#found.add('a run that went back goes forward');
    if (status === 'done' && !steps.every((step) => this.#isSettled(step)))
      this.#found.add('a run is done, and not all of its steps');
    if (status === 'undone') {
      const left = steps.filter((step) => this.#mustBeUndone(step));
      if (left.length > 0) this.#found.add(`a run is undone, and not ${left[0]?.action}`);
    }
    if (status === 'blocked' && this.#shouldGoBack()) this.#found.add('a failed release was not taken back');
    this.#status = status;
  }

  #mustBeUndone(step: Step): boolean {
    const { tried, status } = this.#of(step.id);
    return tried && status !== 'undone' && actionEntry(step.action)?.undo === 'yes';
  }

  /** A required step of a release has failed, and nothing says why it was not taken back. */
  #shouldGoBack(): boolean {
    const { steps } = this.#plan;
    if (this.#isPastNoReturn() || this.#goesBack) return false;
    return steps.some(
      (step) =>
        step.onFailure === 'undo' &&
        step.importance === 'required' &&
        this.#of(step.id).status === 'failed' &&
        // What is blocked for another reason has a step that says so.
        steps.every((other) => other.onFailure === 'undo' || this.#of(other.id).status !== 'failed'),
    );
  }

  /** What takes back is stubborn, unless it was told no. */
  #failed(id: string, slug: string): void {
    const step = this.#plan.steps.find((item) => item.id === id);
    if (step?.importance !== 'required' || step.onFailure !== 'block') return;
    const exit = errorCatalogue[slug]?.exit;
    if (exit === exitCodes.refused || exit === exitCodes.usage) return;
    if (this.#of(id).again < stubbornness)
      this.#found.add(`${step.action} is given up after ${this.#of(id).again} more attempts`);
  }

  #isPastNoReturn(): boolean {
    return this.#plan.steps.some(
      (step) => step.pointOfNoReturn && this.#of(step.id).tried && this.#of(step.id).status !== 'undone',
    );
  }

  #step(id: string, status: StepStatus, hasOutput: boolean): void {
    const step = this.#plan.steps.find((item) => item.id === id);
    if (step === undefined) return;
    const told = this.#of(id);
    switch (status) {
      case 'applying':
        if (this.#goesBack) this.#found.add(`${step.action} begins while the run goes back`);
        if (!this.#areSettledBefore(step))
          this.#found.add(`${step.action} does not wait for what is before it`);
        told.tried = true;
        break;
      case 'applied':
        if (told.status !== 'applying') this.#found.add(`${step.action} is applied, and never began`);
        if (!hasOutput) this.#found.add(`what ${step.action} answered is not kept`);
        told.applied = true;
        break;
      case 'verified':
        if (!told.applied) this.#found.add(`${step.action} is verified, and never was applied`);
        break;
      case 'undoing':
        this.#undoing(step);
        break;
      default:
        break;
    }
    told.status = status;
  }

  #areSettledBefore(step: Step): boolean {
    const byId = new Map(this.#plan.steps.map((item) => [item.id, item]));
    return step.after.every((id) => {
      const before = byId.get(id);
      return before !== undefined && this.#isSettled(before);
    });
  }

  /** What stands behind a step goes before it. */
  #undoing(step: Step): void {
    if (this.#status !== 'undoing') this.#found.add(`${step.action} is undone, and the run does not go back`);
    if (this.#isPastNoReturn()) this.#found.add('a run goes back beyond its point of no return');
    const order = topologicalOrder(this.#plan.steps);
    const behind = order.filter((other) => other.after.includes(step.id));
    if (behind.some((other) => this.#mustBeUndone(other)))
      this.#found.add(`${step.action} is undone before what stands behind it`);
  }
}
