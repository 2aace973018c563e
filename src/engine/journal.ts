import type { Plan } from '../domain/plan.ts';
import { foldRun, type JournalEntry, type NewJournalEntry, type RunState } from '../domain/run.ts';
import type { Store } from '../store/store.port.ts';

/** What a watching reporter is told: everything that is journaled, and how far a step is. */
export type EngineEvent =
  | { readonly type: 'entry'; readonly run: number; readonly entry: JournalEntry }
  | { readonly type: 'progress'; readonly run: number; readonly step: string; readonly text: string };

/** The journal of one run in one process: appends durably first, then folds and tells. */
export class Journal {
  readonly run: number;
  readonly plan: Plan;
  readonly #store: Store;
  readonly #fence: number;
  readonly #tell: (event: EngineEvent) => void;
  #entries: readonly JournalEntry[];
  #state: RunState;
  // Two steps may end at once; the chain has one order.
  #tail: Promise<unknown> = Promise.resolve();

  constructor(
    store: Store,
    fence: number,
    run: number,
    plan: Plan,
    entries: readonly JournalEntry[],
    tell: (event: EngineEvent) => void,
  ) {
    this.#store = store;
    this.#fence = fence;
    this.run = run;
    this.plan = plan;
    this.#entries = entries;
    this.#state = foldRun(plan, entries);
    this.#tell = tell;
  }

  get state(): RunState {
    return this.#state;
  }

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Rows a person agreed to lose in this run. */
  get maximumRowsLost(): number {
    return Math.max(0, ...this.#entries.map((entry) => (entry.type === 'consent' ? entry.rowsLost : 0)));
  }

  async append(entry: NewJournalEntry): Promise<void> {
    const turn = this.#tail.then(async () => {
      const appended = await this.#store.append(this.#fence, this.run, entry);
      this.#entries = [...this.#entries, appended];
      this.#state = foldRun(this.plan, this.#entries);
      this.#report({ type: 'entry', run: this.run, entry: appended });
    });
    this.#tail = turn.catch(() => undefined);
    await turn;
  }

  progress(step: string, text: string): void {
    this.#report({ type: 'progress', run: this.run, step, text });
  }

  /** Whoever watches may fail (a closed pipe); what happens must not depend on it. */
  #report(event: EngineEvent): void {
    try {
      this.#tell(event);
    } catch {
      // The journal has it.
    }
  }
}
