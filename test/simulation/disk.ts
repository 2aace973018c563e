import type { Json } from '../../src/domain/json.ts';
import type { Plan } from '../../src/domain/plan.ts';
import type { QuarantinedCommit, Release } from '../../src/domain/release.ts';
import type { RunSummary } from '../../src/domain/run.ts';
import type { IncidentRecord, Lease, Signal } from '../../src/store/store.port.ts';
import type { VirtualTime } from '../support/virtual-time.ts';
import type { Faults } from './faults.ts';
import type { SimulatedProcess } from './process.ts';
import type { Random } from './random.ts';

export interface StoredEntry {
  readonly at: number;
  readonly text: string;
  readonly hash: string;
}

export interface StoredRun {
  readonly summary: RunSummary;
  readonly plan: string;
  /** What the text of the plan says, read once. */
  parsed(): Plan;
  readonly head: string;
  readonly entries: readonly StoredEntry[];
}

/** All that a store keeps. Never changed in place: a commit puts another one in its stead. */
export interface Content {
  readonly releases: ReadonlyMap<number, Release>;
  readonly quarantine: readonly QuarantinedCommit[];
  readonly configurations: readonly { readonly hash: string; readonly text: Json }[];
  readonly plans: ReadonlyMap<string, number>;
  readonly places: ReadonlyMap<string, string>;
  readonly runs: readonly StoredRun[];
  readonly fence: number;
  readonly lease: Lease | undefined;
  readonly signals: readonly Signal[];
  readonly incidents: readonly IncidentRecord[];
}

export const empty: Content = {
  releases: new Map(),
  quarantine: [],
  configurations: [],
  plans: new Map(),
  places: new Map(),
  runs: [],
  fence: 0,
  lease: undefined,
  signals: [],
  incidents: [],
};

/** So long a writer waits for another one, in ms, as SQLite is told to. */
const busyMs = 5_000;

function failure(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}

/**
 * A disk under a transactional store: one writer at a time, and a commit that was synced stays. Its faults are those
 * of real ones; a lost sync shows only when the power fails.
 */
export class Disk {
  #content: Content = empty;
  /** What the power cut leaves, where it is less than what readers see. */
  #durable: Content | undefined;
  #writer: SimulatedProcess | undefined;
  readonly #time: VirtualTime;
  readonly #faults: Faults;
  readonly #random: Random;
  readonly #watched: (before: Content, after: Content) => void;

  constructor(
    time: VirtualTime,
    faults: Faults,
    random: Random,
    watched: (before: Content, after: Content) => void,
  ) {
    this.#time = time;
    this.#faults = faults;
    this.#random = random;
    this.#watched = watched;
  }

  /** As it is on the disk, behind the back of whoever has it open. */
  get content(): Content {
    return this.#content;
  }

  tamper(change: (content: Content) => Content): void {
    this.#content = change(this.#content);
    if (this.#durable !== undefined) this.#durable = change(this.#durable);
  }

  cutPower(): void {
    this.#content = this.#durable ?? this.#content;
    this.#durable = undefined;
  }

  async read(process: SimulatedProcess): Promise<Content> {
    await process.gate();
    const content = this.#content;
    if (this.#faults.at('read') !== undefined) throw failure('EIO', 'disk I/O error');
    return content;
  }

  /** Runs `work` as the only writer, and commits what it answers. */
  async transact<T>(
    process: SimulatedProcess,
    work: (content: Content) => Promise<{ readonly content: Content; readonly result: T }>,
  ): Promise<T> {
    await process.gate();
    await this.#lock(process);
    try {
      const { content, result } = await work(this.#content);
      await process.gate();
      if (content !== this.#content) this.#commit(content);
      return result;
    } finally {
      if (this.#writer === process) this.#writer = undefined;
    }
  }

  async #lock(process: SimulatedProcess): Promise<void> {
    const since = this.#time.now();
    while (this.#writer?.alive) {
      if (this.#time.now() - since >= busyMs) throw failure('ERR_SQLITE_ERROR', 'database is locked');
      await process.runtime.clock.sleep(10);
    }
    this.#writer = process;
  }

  #commit(content: Content): void {
    this.#watched(this.#content, content);
    const fault = this.#faults.at('commit');
    switch (fault) {
      case undefined:
        break;
      case 'lost-sync':
        this.#durable ??= this.#content;
        this.#content = content;
        return;
      case 'sync-error':
        // Nobody knows whether it is there: both happen.
        if (this.#random.chance(0.5)) this.#content = content;
        throw failure('EIO', 'disk I/O error at sync');
      case 'disk-full':
        throw failure('ENOSPC', 'database or disk is full');
      default:
        throw failure('EIO', 'disk I/O error');
    }
    // A later sync makes the earlier ones durable too, unless the disk goes on lying.
    if (this.#durable !== undefined && this.#random.chance(0.5)) this.#durable = undefined;
    this.#content = content;
  }
}
