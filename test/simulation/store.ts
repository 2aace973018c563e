import { UnshipError } from '../../src/domain/errors.ts';
import type { Json } from '../../src/domain/json.ts';
import type { Plan } from '../../src/domain/plan.ts';
import {
  type History,
  type QuarantinedCommit,
  type Release,
  type ReleaseId,
  releaseNumber,
} from '../../src/domain/release.ts';
import {
  endedStatuses,
  type JournalEntry,
  type NewJournalEntry,
  type RunStatus,
  type RunSummary,
} from '../../src/domain/run.ts';
import { mayTake } from '../../src/store/lease-row.ts';
import type {
  IncidentRecord,
  Lease,
  LeaseAnswer,
  LeaseRequest,
  NewRun,
  Signal,
  Store,
} from '../../src/store/store.port.ts';
import type { Content, Disk, StoredEntry, StoredRun } from './disk.ts';
import type { SimulatedProcess } from './process.ts';

/** Entries whose place in the chain was checked, by what they are on the disk: damage makes another one of them. */
const checked = new WeakMap<StoredEntry, { readonly before: string; readonly entry: JournalEntry }>();

/** What a transaction works on: the content it began with, and what it has made of it. */
class Draft {
  content: Content;

  constructor(content: Content) {
    this.content = content;
  }

  set(changes: Partial<Content>): void {
    this.content = { ...this.content, ...changes };
  }
}

/**
 * The state of one application, in memory, as one process sees it. It keeps the contract of every store; what goes
 * wrong below it is the disk's.
 */
export class SimulatedStore implements Store {
  readonly #disk: Disk;
  readonly #process: SimulatedProcess;
  /** Set inside a transaction. */
  readonly #draft: Draft | undefined;

  constructor(disk: Disk, process: SimulatedProcess, draft?: Draft) {
    this.#disk = disk;
    this.#process = process;
    this.#draft = draft;
  }

  async #read(): Promise<Content> {
    return this.#draft?.content ?? (await this.#disk.read(this.#process));
  }

  async #write<T>(name: string, fence: number | null, work: (draft: Draft) => T | Promise<T>): Promise<T> {
    const { faults } = this.#process.runtime;
    faults.point(`store.${name}.before`);
    const fenced = async (draft: Draft): Promise<T> => {
      if (fence !== null && draft.content.fence !== fence) {
        throw new UnshipError('fenced-out', {
          happened: `lease ${fence} was followed by lease ${draft.content.fence}`,
        });
      }
      return await work(draft);
    };
    let result: T;
    if (this.#draft !== undefined) {
      result = await fenced(this.#draft);
    } else {
      result = await this.#disk.transact(this.#process, async (content) => {
        const draft = new Draft(content);
        const answer = await fenced(draft);
        return { content: draft.content, result: answer };
      });
    }
    faults.point(`store.${name}.after`);
    return result;
  }

  async together<T>(name: string, work: (store: Store) => Promise<T>): Promise<T> {
    return await this.#write(name, null, (draft) =>
      work(new SimulatedStore(this.#disk, this.#process, draft)),
    );
  }

  async history(): Promise<History> {
    const { releases, quarantine } = await this.#read();
    return { releases: newestFirst(releases), quarantine };
  }

  async recentReleases(limit: number): Promise<readonly Release[]> {
    return (await this.history()).releases.slice(0, limit);
  }

  async release(id: ReleaseId): Promise<Release | undefined> {
    return (await this.#read()).releases.get(releaseNumber(id));
  }

  async planningHistory(): Promise<History> {
    return await this.history();
  }

  async nextReleaseId(): Promise<ReleaseId> {
    return `r${Math.max(0, ...(await this.#read()).releases.keys()) + 1}`;
  }

  async saveRelease(fence: number, release: Release): Promise<void> {
    await this.saveReleases(fence, [release]);
  }

  async saveReleases(fence: number, releases: readonly Release[]): Promise<void> {
    await this.#write('save-releases', fence, (draft) => {
      putReleases(draft, releases);
    });
  }

  async quarantine(fence: number, entry: QuarantinedCommit): Promise<void> {
    await this.#write('quarantine', fence, (draft) => {
      const others = draft.content.quarantine.filter(({ commit }) => commit !== entry.commit);
      const sorted = [...others, copy(entry)].sort((a, b) => b.since - a.since);
      draft.set({ quarantine: sorted });
    });
  }

  async liftQuarantine(commit: string, fixedBy: string): Promise<boolean> {
    return await this.#write('lift-quarantine', null, (draft) => {
      const { quarantine } = draft.content;
      if (!quarantine.some((entry) => entry.commit === commit && entry.fixedBy === undefined)) return false;
      draft.set({
        quarantine: quarantine.map((entry) => (entry.commit === commit ? { ...entry, fixedBy } : entry)),
      });
      return true;
    });
  }

  async saveConfiguration(hash: string, text: Json): Promise<void> {
    if ((await this.lastConfiguration())?.hash === hash) return;
    await this.#write('save-configuration', null, (draft) => {
      const others = draft.content.configurations.filter((item) => item.hash !== hash);
      draft.set({ configurations: [...others, { hash, text: copy(text) }] });
    });
  }

  async configuration(hash: string): Promise<Json | undefined> {
    return (await this.#read()).configurations.find((item) => item.hash === hash)?.text;
  }

  async lastConfiguration(): Promise<{ readonly hash: string; readonly text: Json } | undefined> {
    return (await this.#read()).configurations.at(-1);
  }

  async surfaceHosts(): Promise<ReadonlyMap<string, string>> {
    return (await this.#read()).places;
  }

  async placeSurfaces(fence: number, surfaces: readonly string[], host: string): Promise<void> {
    await this.#write('place-surfaces', fence, (draft) => {
      const moved = surfaces.map((surface) => [surface, host] as const);
      draft.set({ places: new Map([...draft.content.places, ...moved]) });
    });
  }

  async rememberPlan(hash: string, rowsLost: number): Promise<void> {
    await this.#write('remember-plan', null, (draft) => {
      draft.set({ plans: new Map([...draft.content.plans, [hash, rowsLost]]) });
    });
  }

  async shownRowsLost(hash: string): Promise<number | undefined> {
    return (await this.#read()).plans.get(hash);
  }

  async createRun(
    fence: number,
    plan: Plan,
    startedAt: number,
    label: string,
    release?: Release,
  ): Promise<NewRun> {
    return await this.#write('create-run', fence, (draft) => {
      if (release !== undefined) putReleases(draft, [release]);
      const id = draft.content.runs.length + 1;
      const text = JSON.stringify(plan);
      const { digest } = this.#process.runtime;
      const summary: RunSummary = {
        id,
        kind: plan.kind,
        status: 'running',
        from: plan.from,
        to: plan.to,
        planHash: plan.hash,
        label,
        startedAt,
        updatedAt: startedAt,
      };
      let parsed: Plan | undefined;
      const run: StoredRun = {
        summary,
        plan: text,
        parsed: () => {
          parsed ??= JSON.parse(text) as Plan;
          return parsed;
        },
        head: digest(`run ${id}\n${text}`),
        entries: [],
      };
      const { lease } = draft.content;
      draft.set({
        runs: [...draft.content.runs, run],
        lease: lease === undefined ? undefined : { ...lease, run: id, kind: plan.kind },
      });
      const entries = this.#insert(draft, id, [{ type: 'run', status: 'running' }]);
      return { run: id, entries };
    });
  }

  #insert(draft: Draft, id: number, added: readonly NewJournalEntry[]): readonly JournalEntry[] {
    const { clock, digest } = this.#process.runtime;
    const run = draft.content.runs[id - 1];
    if (run === undefined) throw corrupt(id, 'the run has no first entry');
    let { head } = run;
    let status: RunStatus = run.summary.status;
    let updatedAt = run.summary.updatedAt;
    const appended: JournalEntry[] = [];
    const stored = [...run.entries];
    for (const entry of added) {
      updatedAt = clock.now();
      const text = JSON.stringify({ ...entry, seq: stored.length + 1, at: updatedAt });
      const before = head;
      head = digest(`${head}\n${text}`);
      const kept = { at: updatedAt, text, hash: head };
      const read = JSON.parse(text) as JournalEntry;
      checked.set(kept, { before, entry: read });
      stored.push(kept);
      appended.push(read);
      if (entry.type === 'run') status = entry.status;
    }
    const changed: StoredRun = {
      ...run,
      head,
      entries: stored,
      summary: { ...run.summary, status, updatedAt },
    };
    draft.set({ runs: draft.content.runs.map((item, index) => (index === id - 1 ? changed : item)) });
    return appended;
  }

  async plan(run: number): Promise<Plan | undefined> {
    return (await this.#read()).runs[run - 1]?.parsed();
  }

  async runs(limit: number): Promise<readonly RunSummary[]> {
    const { runs } = await this.#read();
    return runs
      .map(({ summary }) => summary)
      .reverse()
      .slice(0, limit);
  }

  async unendedRuns(): Promise<readonly RunSummary[]> {
    return (await this.runs(Number.POSITIVE_INFINITY)).filter(({ status }) => !endedStatuses.has(status));
  }

  async run(id: number): Promise<RunSummary | undefined> {
    return (await this.#read()).runs[id - 1]?.summary;
  }

  async append(
    fence: number,
    run: number,
    entries: readonly NewJournalEntry[],
  ): Promise<readonly JournalEntry[]> {
    return await this.#write('journal', fence, (draft) => this.#insert(draft, run, entries));
  }

  async journal(run: number): Promise<readonly JournalEntry[]> {
    const found = (await this.#read()).runs[run - 1];
    if (found === undefined) return [];
    const { digest } = this.#process.runtime;
    let before = digest(`run ${run}\n${found.plan}`);
    const entries = found.entries.map((kept, index) => {
      const known = checked.get(kept);
      if (known !== undefined && known.before === before) {
        before = kept.hash;
        return known.entry;
      }
      const { at, text, hash } = kept;
      before = digest(`${before}\n${text}`);
      if (before !== hash) throw corrupt(run, `entry ${index + 1} of run ${run} does not match its chain`);
      const entry = JSON.parse(text) as JournalEntry;
      if (entry.seq !== index + 1 || entry.at !== at)
        throw corrupt(run, `entry ${index + 1} of run ${run} was changed`);
      return entry;
    });
    if (before !== found.head) throw corrupt(run, `run ${run} lacks entries after ${found.entries.length}`);
    return entries;
  }

  async acquireLease(request: LeaseRequest): Promise<LeaseAnswer> {
    return await this.#write('acquire-lease', null, (draft): LeaseAnswer => {
      const held = draft.content.lease;
      if (held !== undefined && !mayTake(held, request)) return { granted: false, holder: held };
      const lease: Lease = {
        owner: copy(request.owner),
        fence: draft.content.fence + 1,
        run: request.run,
        kind: request.kind,
        since: request.now,
        expiresAt: request.now + request.ttlMs,
      };
      draft.set({ lease, fence: lease.fence });
      const interrupted = held !== undefined && request.now < held.expiresAt ? held.run : null;
      return { granted: true, lease, superseded: interrupted };
    });
  }

  async renewLease(
    fence: number,
    run: number | null,
    kind: Plan['kind'] | null,
    expiresAt: number,
  ): Promise<boolean> {
    return await this.#write('renew-lease', null, (draft) => {
      const { lease } = draft.content;
      if (lease === undefined || lease.fence !== fence) return false;
      draft.set({ lease: { ...lease, run, kind, expiresAt } });
      return true;
    });
  }

  async raiseFence(fence: number): Promise<number> {
    return await this.#write('raise-fence', fence, (draft) => {
      const { lease } = draft.content;
      if (lease === undefined)
        throw new UnshipError('fenced-out', { happened: `lease ${fence} was given back` });
      draft.set({ lease: { ...lease, fence: fence + 1 }, fence: fence + 1 });
      return fence + 1;
    });
  }

  async releaseLease(fence: number): Promise<void> {
    await this.#write('release-lease', null, (draft) => {
      if (draft.content.lease?.fence === fence) draft.set({ lease: undefined });
    });
  }

  async lastFence(): Promise<number> {
    return (await this.#read()).fence;
  }

  async lease(): Promise<Lease | undefined> {
    return (await this.#read()).lease;
  }

  async signal(signal: Signal): Promise<boolean> {
    return await this.#write('signal', null, (draft) => {
      const { signals } = draft.content;
      if (signals.some(({ run, name }) => run === signal.run && name === signal.name)) return false;
      draft.set({ signals: [...signals, copy(signal)] });
      return true;
    });
  }

  async signals(run: number): Promise<readonly Signal[]> {
    return (await this.#read()).signals.filter((signal) => signal.run === run);
  }

  async openIncident(incident: Omit<IncidentRecord, 'id'>): Promise<IncidentRecord> {
    return await this.#write('open-incident', null, (draft) => {
      const { incidents } = draft.content;
      const known = incidents.find(({ run }) => run === incident.run);
      if (known !== undefined) return known;
      const opened = { ...incident, id: incidents.length + 1 };
      draft.set({ incidents: [...incidents, opened] });
      return opened;
    });
  }

  async saveIncidentDraft(id: number, draft: string): Promise<void> {
    await this.#write('save-incident', null, (state) => {
      const { incidents } = state.content;
      state.set({ incidents: incidents.map((item) => (item.id === id ? { ...item, draft } : item)) });
    });
  }

  async incidents(limit: number): Promise<readonly IncidentRecord[]> {
    return [...(await this.#read()).incidents].reverse().slice(0, limit);
  }

  async incident(id: number): Promise<IncidentRecord | undefined> {
    return (await this.#read()).incidents.find((item) => item.id === id);
  }

  async incidentOfRun(run: number): Promise<IncidentRecord | undefined> {
    return (await this.#read()).incidents.find((item) => item.run === run);
  }

  async close(): Promise<void> {}
}

function newestFirst(releases: Content['releases']): readonly Release[] {
  return [...releases].sort(([a], [b]) => b - a).map(([, release]) => release);
}

function putReleases(draft: Draft, releases: readonly Release[]): void {
  const stored = releases.map((release) => [releaseNumber(release.id), copy(release)] as const);
  draft.set({ releases: new Map([...draft.content.releases, ...stored]) });
}

/** What is stored is what its text says. */
function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

function corrupt(run: number, happened: string): UnshipError {
  return new UnshipError('journal-corrupt', { happened, done: `nothing; run ${run} is not continued` });
}
