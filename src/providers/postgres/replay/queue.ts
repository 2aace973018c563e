import { type Change, movesKey, type RowChange, type Segment } from './changes.ts';
import type { TargetTable } from './target.ts';

interface Waiting {
  readonly segments: Segment[];
  key: readonly number[] | null;
  changes: RowChange[];
}

/**
 * Changes that wait for their statements, table by table. As foreign keys are not checked meanwhile, only the order
 * within a table matters; and of that only where a row changes its key, or can't be told by one.
 */
export class Queue {
  readonly #tables = new Map<TargetTable, Waiting>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(change: Change): void {
    this.#size += 1;
    let waiting = this.#tables.get(change.table);
    if (waiting === undefined) {
      waiting = { segments: [], key: null, changes: [] };
      this.#tables.set(change.table, waiting);
    }
    const isSingle =
      change.kind === 'truncate' || change.key === null || (change.kind === 'update' && movesKey(change));
    if (isSingle || waiting.key !== change.key) close(waiting, change.table);
    if (isSingle) {
      waiting.segments.push({ kind: 'single', table: change.table, change });
      return;
    }
    waiting.key = change.key;
    waiting.changes.push(change);
  }

  take(): readonly Segment[] {
    const segments = [...this.#tables].flatMap(([table, waiting]) => {
      close(waiting, table);
      return waiting.segments;
    });
    this.#tables.clear();
    this.#size = 0;
    return segments;
  }
}

function close(waiting: Waiting, table: TargetTable): void {
  const { key, changes } = waiting;
  if (key !== null && changes.length > 0) waiting.segments.push({ kind: 'nets', table, key, changes });
  waiting.key = null;
  waiting.changes = [];
}
