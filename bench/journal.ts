import { closeSync, fdatasyncSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemRuntime } from '../src/app/system-runtime.ts';
import type { Plan, Step } from '../src/domain/plan.ts';
import type { NewJournalEntry } from '../src/domain/run.ts';
import { Journal } from '../src/engine/journal.ts';
import type { Store } from '../src/store/store.port.ts';
import { atMost, type BenchOptions, type Findings } from './report.ts';
import type { Cleanup } from './support/cleanup.ts';
import { log } from './support/log.ts';
import { openWithLease } from './support/seed.ts';
import { median, p95, rounded } from './support/statistics.ts';

/** Of a large plan; a rollback of all surfaces has about twenty. */
const stepsInPlan = 20;
/** What the engine writes of a step that goes well: applying, applied, verified. */
const entriesPerStep = 3;
/** A page of 4096 bytes and its header in SQLite's log. */
const walPageBytes = 4_120;

/** Milliseconds each; one a step, or one an entry. */
interface Samples {
  readonly pagesPerEntry: number;
  readonly steps: number[];
  readonly cpuOfSteps: number[];
  readonly entries: number[];
  readonly syncs: number[];
  readonly fileAppends: number[];
  readonly sqliteInserts: number[];
}

/** What writing a run down costs beyond the syncs without which it would not survive. */
export async function journal({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const runs = quick ? 10 : 40;
  log(`${runs} runs of ${stepsInPlan} steps`);
  const folder = cleanup.folder();
  const onDisk = await sample(folder, runs);
  const inMemory = await inMemoryStepMs(cleanup, runs);
  const stepMs = median(onDisk.steps);
  const syncMs = median(onDisk.syncs);
  // Of medians of single entries: the sum of three times with a long tail is above three times their median.
  const beyondSyncMs = entriesPerStep * (median(onDisk.entries) - syncMs);
  const sqliteMs = entriesPerStep * median(onDisk.sqliteInserts);
  const fileMs = entriesPerStep * median(onDisk.fileAppends);
  return {
    method: [
      `The real store and the engine's journal in one process: ${entriesPerStep} entries a step, each a transaction that is synced, chained to the one before and fenced. Medians over ${onDisk.steps.length} steps.`,
      `The sync is measured beside it: fdatasync of a file after as many bytes (${onDisk.pagesPerEntry} pages) as an entry adds to SQLite's log. beyondSyncMs is ${entriesPerStep} times an entry less its sync.`,
      'inMemoryMs is a step with the state in a memory file system, where a sync costs nothing: it holds on a busy disk too. cpuMs is the processor time of a step, syncs included.',
    ],
    rounds: runs,
    ours: {
      stepMs: precise(stepMs),
      beyondSyncMs: precise(beyondSyncMs),
      ...(inMemory === undefined ? {} : { inMemoryMs: precise(inMemory) }),
      appendMs: precise(median(onDisk.entries)),
      appendP95Ms: precise(p95(onDisk.entries)),
      syncMs: precise(syncMs),
      cpuMs: precise(median(onDisk.cpuOfSteps)),
    },
    peers: {
      'sqlite-insert': { stepMs: precise(sqliteMs) },
      'file-append': { stepMs: precise(fileMs) },
    },
    about: {
      ours: 'a step in the journal',
      'sqlite-insert': `${entriesPerStep} bare inserts into node:sqlite, each synced: no chain, no fence, no query builder`,
      'file-append': `${entriesPerStep} appends to a file, each synced`,
    },
    ratios: { 'sqlite-insert': rounded(stepMs / sqliteMs), 'file-append': rounded(stepMs / fileMs) },
    targets: [atMost('a step in the journal, beyond its syncs', precise(beyondSyncMs), 1, 'ms')],
  };
}

/** Undefined where there is no such file system, or it may not be written to. */
async function inMemoryStepMs(cleanup: Cleanup, runs: number): Promise<number | undefined> {
  try {
    const folder = cleanup.folder('/dev/shm');
    return median((await sample(folder, runs)).steps);
  } catch (error) {
    log(`no figures in memory: ${(error as Error).message}`);
    return undefined;
  }
}

async function sample(folder: string, runs: number): Promise<Samples> {
  const file = join(folder, 'state.db');
  const { store, fence, end } = await openWithLease(file);
  const sync = new SyncProbe(join(folder, 'probe'));
  const sqlite = new SqliteProbe(join(folder, 'probe.db'));
  const pagesPerEntry = await walPagesPerEntry(file, store, fence);
  const samples: Samples = {
    pagesPerEntry,
    steps: [],
    cpuOfSteps: [],
    entries: [],
    syncs: [],
    fileAppends: [],
    sqliteInserts: [],
  };
  for (let at = 0; at < runs; at += 1) {
    const plan = examplePlan();
    const { run } = await store.createRun(fence, plan, Date.now(), 'bench');
    const written = new Journal(store, { fence }, run, plan, await store.journal(run), () => undefined);
    for (const step of plan.steps) {
      await sampleStep(samples, written, step);
      // In turn, so that a slow moment of the disk falls on all alike.
      for (const entry of entriesOf(step)) {
        const { syncMs, allMs } = sync.append(pagesPerEntry * walPageBytes);
        samples.syncs.push(syncMs);
        samples.fileAppends.push(allMs);
        samples.sqliteInserts.push(sqlite.insert(JSON.stringify(entry)));
      }
    }
  }
  sync.close();
  sqlite.close();
  await end();
  return samples;
}

async function sampleStep(samples: Samples, written: Journal, step: Step): Promise<void> {
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  for (const entry of entriesOf(step)) {
    const began = performance.now();
    await written.append(entry);
    samples.entries.push(performance.now() - began);
  }
  samples.steps.push(performance.now() - before);
  const { user, system } = process.cpuUsage(cpuBefore);
  samples.cpuOfSteps.push((user + system) / 1_000);
}

/** To a microsecond: these are small. */
function precise(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

/** A file that is appended to and synced. */
class SyncProbe {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  append(bytes: number): { readonly syncMs: number; readonly allMs: number } {
    const data = Buffer.alloc(bytes, 1);
    const began = performance.now();
    writeSync(this.#file, data);
    const written = performance.now();
    fdatasyncSync(this.#file);
    const synced = performance.now();
    return { syncMs: synced - written, allMs: synced - began };
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** A table that is inserted into, with the store's settings and nothing else of it. */
class SqliteProbe {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec('pragma journal_mode = wal; pragma synchronous = full');
    this.#database.exec('create table entries (id integer primary key, entry text not null) strict');
  }

  insert(text: string): number {
    const began = performance.now();
    this.#database.prepare('insert into entries (entry) values (?)').run(text);
    return performance.now() - began;
  }

  close(): void {
    this.#database.close();
  }
}

/** Whole pages by which SQLite's log grows with each entry; looked at before it is first emptied. */
async function walPagesPerEntry(file: string, store: Store, fence: number): Promise<number> {
  const { run } = await store.createRun(fence, examplePlan(), Date.now(), 'bench');
  const size = (): number => statSync(`${file}-wal`).size;
  const before = size();
  const entries = examplePlan().steps.slice(0, 5).flatMap(entriesOf);
  for (const entry of entries) await store.append(fence, run, [entry]);
  return Math.max(1, Math.round((size() - before) / entries.length / walPageBytes));
}

function entriesOf({ id }: Step): readonly NewJournalEntry[] {
  const step = { type: 'step', step: id, attempt: 1 } as const;
  return [
    { ...step, status: 'applying' },
    { ...step, status: 'applied', output: { release: 'r41', port: 40_123, startMs: 131, already: false } },
    { ...step, status: 'verified', observed: 'GET http://127.0.0.1:8080/health: 200 from r41' },
  ];
}

function examplePlan(): Plan {
  const steps = Array.from({ length: stepsInPlan }, (_, at): Step => exampleStep(at));
  return {
    schema: 'unship.plan/1',
    kind: 'rollback',
    application: 'bench-app',
    environment: 'production',
    from: 'r42',
    to: 'r41',
    reason: 'bench',
    steps,
    changes: [],
    why: ['the old code runs on the new schema'],
    options: [],
    risk: { tables: [], dropped: [], exact: true },
    rowsLost: 0,
    lossUncertain: false,
    blockedWritesMs: 0,
    estimateMs: 1_000,
    warnings: [],
    hash: systemRuntime().digest(JSON.stringify(steps)),
  };
}

function exampleStep(at: number): Step {
  return {
    id: `web.step-${at}`,
    surface: 'web',
    action: 'web.switch',
    input: { release: 'r41', commit: '0123456789abcdef0123456789abcdef01234567' },
    after: at === 0 ? [] : [`web.step-${at - 1}`],
    importance: 'required',
    onFailure: 'block',
    estimateMs: 50,
    pointOfNoReturn: false,
    title: 'switch to the warm release',
    timeoutMs: 30_000,
  };
}
