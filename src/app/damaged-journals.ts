import { isUnshipError } from '../domain/errors.ts';
import { endedStatuses, type RunSummary } from '../domain/run.ts';
import type { Store } from '../store/store.port.ts';

export interface DamagedJournal {
  readonly run: number;
  readonly hasEnded: boolean;
  readonly happened: string;
  /** Names the copy that was put aside. */
  readonly done: string;
}

/** Those of these runs whose journal does not verify. */
export async function damagedJournals(
  store: Store,
  runs: readonly RunSummary[],
): Promise<readonly DamagedJournal[]> {
  const damaged: DamagedJournal[] = [];
  for (const { id, status } of runs) {
    try {
      await store.journal(id);
    } catch (error) {
      if (!isUnshipError(error) || error.slug !== 'journal-corrupt') throw error;
      const { happened, done } = error.details;
      damaged.push({ run: id, hasEnded: endedStatuses.has(status), happened, done: done ?? 'nothing' });
    }
  }
  return damaged;
}
