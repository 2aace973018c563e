import { DatabaseSync } from 'node:sqlite';
import { endedStatuses, foldRun } from '../../src/domain/run.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';
import { countingRuntime } from './acknowledged.ts';
import { digestOf, resumeRun } from './work.ts';

export interface Demands {
  /** What the state is after each commit, by number. */
  readonly states: readonly string[];
  /** So many commits somebody relies on. One more may have been under way. */
  readonly acknowledged: number;
  /** Whether a run that has not ended is driven to its end, by the real engine. */
  readonly resume: boolean;
}

/** What is wrong with a state that was left behind, as another process finds it; undefined when it is whole. */
export async function wrongWith(file: string, demands: Demands): Promise<string | undefined> {
  let store: Store | undefined;
  try {
    store = openSqliteStore(file, countingRuntime(1_000));
    const wrong = wrongRows(file, demands);
    if (wrong !== undefined) return wrong;
    return (await wrongRuns(store)) ?? (await goesOn(store, demands.resume));
  } catch (error) {
    return `it can't be used: ${String(error)}`;
  } finally {
    await store?.close();
  }
}

function wrongRows(file: string, { states, acknowledged }: Demands): string | undefined {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const [integrity] = database.prepare('pragma integrity_check').all();
    if (integrity?.integrity_check !== 'ok') return `it is corrupt: ${integrity?.integrity_check}`;
    if (database.prepare('pragma foreign_key_check').all().length > 0) return 'rows lack what they refer to';
    const last = states.indexOf(digestOf(database));
    if (last < 0) return 'something is half-there: it is in a state that it never was in';
    if (last < acknowledged - 1)
      return `lost: ${acknowledged} commits were acknowledged, ${last + 1} are there`;
    if (last > Math.max(acknowledged, 0))
      return `${last + 1} commits are there, ${acknowledged} were acknowledged`;
    return undefined;
  } finally {
    database.close();
  }
}

/** Each journal by its chain, and folded to what the run says of itself. */
async function wrongRuns(store: Store): Promise<string | undefined> {
  // Older ones have not been written to for long; their hashes are among the rows that were compared.
  for (const summary of await store.runs(6)) {
    const plan = await store.plan(summary.id);
    if (plan === undefined) return `run ${summary.id} has no plan`;
    const { status } = foldRun(plan, await store.journal(summary.id));
    if (status !== summary.status)
      return `run ${summary.id} is ${summary.status}, its journal says ${status}`;
  }
  return undefined;
}

/** Whoever comes next takes the lease and works. */
async function goesOn(store: Store, resume: boolean): Promise<string | undefined> {
  const [unended] = await store.unendedRuns();
  if (unended !== undefined && resume) {
    const status = await resumeRun(store, unended.id);
    if (!endedStatuses.has(status as never)) return `run ${unended.id} was resumed and is ${status}`;
    await store.journal(unended.id);
  }
  const fence = await store.lastFence();
  const owner = { host: 'other', pid: 2, pidStartedAt: '2', user: 'ben', command: 'unship rollback' };
  const asked = { owner, run: null, kind: null, now: 1, ttlMs: 1, isAlive: () => false };
  const answer = await store.acquireLease({ ...asked, mode: 'take-over' });
  if (!answer.granted || answer.lease.fence !== fence + 1) return 'the next lease is not the next one';
  return undefined;
}
