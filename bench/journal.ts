import { closeSync, fdatasyncSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemRuntime } from '../src/app/system-runtime.ts';
import type { Plan, Step } from '../src/domain/plan.ts';
import type { NewJournalEntry } from '../src/domain/run.ts';
import { Journal } from '../src/engine/journal.ts';
import { atMost, type BenchOptions, type Findings } from './report.ts';
import { log } from './support/log.ts';
import { openWithLease } from './support/seed.ts';
import { median, p95, rounded } from './support/statistics.ts';

/** Of a large plan; a rollback of all surfaces has about twenty. */
const stepsInPlan = 20;
/** What the engine writes of a step that goes well: applying, applied, verified. */
const entriesPerStep = 3;

/** What writing a run down costs beyond the syncs without which it would not survive. */
export async function journal({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const runs = quick ? 10 : 40;
  const folder = cleanup.folder();
  const file = join(folder, 'state.db');
  const { store, fence, end } = await openWithLease(file);
  const stepTimes: number[] = [];
  const cpuTimes: number[] = [];
  const appendTimes: number[] = [];
  const syncTimes: number[] = [];
  const fileTimes: number[] = [];
  const sqliteTimes: number[] = [];
  const sync = new SyncProbe(join(folder, 'probe'));
  const sqlite = new SqliteProbe(join(folder, 'probe.db'));
  const pages = await walPagesPerAppend(file, async () => {
    const run = await store.createRun(fence, examplePlan(), Date.now(), 'bench');
    return async (entry) => {
      await store.append(fence, run, entry);
    };
  });
  log(`${runs} runs of ${stepsInPlan} steps; each entry takes ${pages} pages of the log`);
  for (let at = 0; at < runs; at += 1) {
    const plan = examplePlan();
    const run = await store.createRun(fence, plan, Date.now(), 'bench');
    const written = new Journal(store, fence, run, plan, await store.journal(run), () => undefined);
    for (const step of plan.steps) {
      const cpuBefore = process.cpuUsage();
      const before = performance.now();
      for (const entry of entriesOf(step)) {
        const began = performance.now();
        await written.append(entry);
        appendTimes.push(performance.now() - began);
      }
      stepTimes.push(performance.now() - before);
      const { user, system } = process.cpuUsage(cpuBefore);
      cpuTimes.push((user + system) / 1_000);
      // In turn, so that a slow moment of the disk falls on all alike.
      for (let entry = 0; entry < entriesPerStep; entry += 1) {
        const { syncMs, allMs } = sync.append(pages * 4_120);
        syncTimes.push(syncMs);
        fileTimes.push(allMs);
        sqliteTimes.push(sqlite.insert(JSON.stringify(entriesOf(step)[entry])));
      }
    }
  }
  sync.close();
  sqlite.close();
  await end();
  const stepMs = median(stepTimes);
  const syncMs = median(syncTimes);
  // Of medians of single entries: the sum of three times with a long tail is above three times their median.
  const beyondSyncMs = entriesPerStep * (median(appendTimes) - syncMs);
  return {
    method: [
      `The real store and the engine's journal in one process: ${entriesPerStep} entries a step, each a transaction that is synced, chained to the one before and fenced. Medians over ${stepTimes.length} steps.`,
      `The sync is measured beside it: fdatasync of a file after as many bytes (${pages} pages) as an entry adds to SQLite's log. beyondSyncMs is ${entriesPerStep} times an entry less its sync.`,
      'cpuMs is the processor time of a step, syncs included: it holds on a busy machine too.',
    ],
    rounds: runs,
    ours: {
      stepMs: precise(stepMs),
      beyondSyncMs: precise(beyondSyncMs),
      appendMs: precise(median(appendTimes)),
      appendP95Ms: precise(p95(appendTimes)),
      syncMs: precise(syncMs),
      cpuMs: precise(median(cpuTimes)),
    },
    peers: {
      'sqlite-insert': { stepMs: precise(entriesPerStep * median(sqliteTimes)) },
      'file-append': { stepMs: precise(entriesPerStep * median(fileTimes)) },
    },
    about: {
      ours: 'a step in the journal',
      'sqlite-insert': `${entriesPerStep} bare inserts into node:sqlite, each synced: no chain, no fence, no query builder`,
      'file-append': `${entriesPerStep} appends to a file, each synced`,
    },
    ratios: {
      'sqlite-insert': rounded(stepMs / (entriesPerStep * median(sqliteTimes))),
      'file-append': rounded(stepMs / (entriesPerStep * median(fileTimes))),
    },
    targets: [atMost('a step in the journal, beyond its syncs', precise(beyondSyncMs), 1, 'ms')],
  };
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
async function walPagesPerAppend(
  file: string,
  makeRun: () => Promise<(entry: NewJournalEntry) => Promise<void>>,
): Promise<number> {
  const append = await makeRun();
  const size = (): number => statSync(`${file}-wal`).size;
  const before = size();
  const entries = examplePlan().steps.slice(0, 5).flatMap(entriesOf);
  for (const entry of entries) await append(entry);
  return Math.max(1, Math.round((size() - before) / entries.length / 4_120));
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
