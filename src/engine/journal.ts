import type { Plan } from '../domain/plan.ts';
import { foldOnto, foldRun, type JournalEntry, type NewJournalEntry, type RunState } from '../domain/run.ts';
import type { Store } from '../store/store.port.ts';
import type { Session } from './session.ts';

/** What a watching reporter is told: everything that is journaled, and how far a step is. */
export type EngineEvent =
  | { readonly type: 'entry'; readonly run: number; readonly entry: JournalEntry }
  | { readonly type: 'progress'; readonly run: number; readonly step: string; readonly text: string };

interface Queued {
  readonly entry: NewJournalEntry;
  readonly isDeferred: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/** The journal of one run in one process: appends durably first, then folds and tells. */
export class Journal {
  readonly run: number;
  readonly plan: Plan;
  readonly #store: Store;
  readonly #session: Pick<Session, 'fence'>;
  readonly #tell: (event: EngineEvent) => void;
  /** Rows a person agreed to lose in this run. */
  readonly maximumRowsLost: number;
  /** Time of the last durable entry. */
  #at: number;
  /** The state that the durable entries make. */
  #durable: RunState;
  #state: RunState;
  // Two steps may end at once; the chain has one order, and what waits together is one commit.
  #queue: readonly Queued[] = [];
  /** What is being written just now. */
  #batch: readonly Queued[] = [];
  #writing: Promise<void> | undefined;

  constructor(
    store: Store,
    session: Pick<Session, 'fence'>,
    run: number,
    plan: Plan,
    entries: readonly JournalEntry[],
    tell: (event: EngineEvent) => void,
  ) {
    this.#store = store;
    this.#session = session;
    this.run = run;
    this.plan = plan;
    // Consent is given before anything is done, with the run itself.
    this.maximumRowsLost = Math.max(
      0,
      ...entries.map((entry) => (entry.type === 'consent' ? entry.rowsLost : 0)),
    );
    this.#at = entries.at(-1)?.at ?? 0;
    this.#durable = foldRun(plan, entries);
    this.#state = this.#durable;
    this.#tell = tell;
  }

  get state(): RunState {
    return this.#state;
  }

  /** Resolves when the entry, and everything deferred before it, is durable. */
  append(entry: NewJournalEntry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue = [...this.#queue, { entry, isDeferred: false, resolve, reject }];
      this.#writing ??= this.#write();
    });
  }

  /**
   * Counts for this process at once and becomes durable with the next `append` or `flush`. Only for what a crash
   * may forget: a look at the world, which whoever goes on takes again.
   */
  defer(entry: NewJournalEntry): void {
    const ignore = (): void => undefined;
    this.#queue = [...this.#queue, { entry, isDeferred: true, resolve: ignore, reject: ignore }];
    this.#fold();
  }

  /** Makes durable what was deferred, if it is not yet. */
  async flush(): Promise<void> {
    if (!this.#queue.some(({ isDeferred }) => isDeferred)) return await this.#writing;
    await new Promise<void>((resolve, reject) => {
      const last = this.#queue.findLastIndex(({ isDeferred }) => isDeferred);
      this.#queue = this.#queue.map((item, index) => (index === last ? { ...item, resolve, reject } : item));
      this.#writing ??= this.#write();
    });
  }

  progress(step: string, text: string): void {
    this.#report({ type: 'progress', run: this.run, step, text });
  }

  /** Ends when nobody waits any more; deferred entries alone are no reason to write. */
  async #write(): Promise<void> {
    // What is asked for in the same turn goes along.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#batch = batch;
      this.#queue = [];
      try {
        const appended = await this.#store.append(
          this.#session.fence,
          this.run,
          batch.map(({ entry }) => entry),
        );
        for (const { at } of appended) this.#at = at;
        this.#durable = foldOnto(this.#durable, appended);
        this.#batch = [];
        this.#fold();
        for (const entry of appended) this.#report({ type: 'entry', run: this.run, entry });
        for (const { resolve } of batch) resolve();
      } catch (error) {
        // Whoever appended hears of it and decides; of the deferred ones nobody does, so they stay to be written.
        const deferred = batch.filter(({ isDeferred }) => isDeferred);
        this.#batch = [];
        this.#queue = [...deferred, ...this.#queue];
        for (const { reject } of batch) reject(error);
        if (!this.#queue.some(({ isDeferred }) => !isDeferred)) break;
      }
    }
    this.#writing = undefined;
  }

  #fold(): void {
    const deferred = [...this.#batch, ...this.#queue]
      .filter(({ isDeferred }) => isDeferred)
      .map(({ entry }) => ({ ...entry, at: this.#at }));
    this.#state = foldOnto(this.#durable, deferred);
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
