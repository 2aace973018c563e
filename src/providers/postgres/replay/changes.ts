import type { Value } from '../pgoutput.ts';
import type { TargetTable } from './target.ts';

/** Which commit of the application a change belongs to. */
export interface CommitOf {
  readonly xid: number;
  readonly endLsn: bigint;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** A change in terms of the restored table: values stand at the places of its columns, `undefined` where unknown. */
export interface RowChange {
  readonly kind: 'insert' | 'update' | 'delete';
  readonly table: TargetTable;
  readonly key: readonly number[] | null;
  readonly old: readonly Value[];
  readonly row: readonly Value[];
  readonly commit: CommitOf;
}

export interface TruncateChange {
  readonly kind: 'truncate';
  readonly table: TargetTable;
  readonly commit: CommitOf;
}

export type Change = RowChange | TruncateChange;

/** What one or more changes of one row come to. */
export interface Net {
  /** The row is removed first: it was there before, and another one came under its key. */
  readonly deletes: boolean;
  readonly kind: 'insert' | 'update' | 'delete';
  /** The row as it was before the first of them. */
  readonly old: readonly Value[];
  /** For an update only what changed; `undefined` elsewhere. */
  readonly row: readonly Value[];
  readonly change: RowChange;
}

/** Values of an update that differ from the old ones. All others may be the migration's and are not carried over. */
export function changedValues(change: RowChange): readonly Value[] {
  return change.row.map((value, at) => (value === change.old[at] ? undefined : value));
}

/** Changes of one table whose order no longer matters, or one whose order does. */
export type Segment =
  | {
      readonly kind: 'nets';
      readonly table: TargetTable;
      readonly key: readonly number[];
      readonly changes: readonly RowChange[];
    }
  | { readonly kind: 'single'; readonly table: TargetTable; readonly change: Change };

/**
 * Changes of rows come to one change for each row; undefined when they don't (the same row twice, or a change that
 * moves a row to another key).
 */
export function netOf(changes: readonly RowChange[], key: readonly number[]): readonly Net[] | undefined {
  const nets = new Map<string, Net>();
  for (const change of changes) {
    const at = keyOf(change.kind === 'insert' ? change.row : change.old, key);
    const next = combine(nets.get(at), change);
    if (next === undefined) return undefined;
    if (next === 'nothing') nets.delete(at);
    else nets.set(at, next);
  }
  return [...nets.values()];
}

function keyOf(row: readonly Value[], key: readonly number[]): string {
  if (key.length === 1) return row[key[0] as number] ?? '';
  return key.map((place) => JSON.stringify(row[place])).join();
}

function combine(before: Net | undefined, change: RowChange): Net | 'nothing' | undefined {
  const { kind, old, row } = change;
  if (before === undefined)
    return { deletes: false, kind, old, change, row: kind === 'update' ? changedValues(change) : row };
  if (kind === 'insert') {
    return before.kind === 'delete' ? { ...before, deletes: true, kind, row, change } : undefined;
  }
  if (before.kind === 'delete') return undefined;
  if (kind === 'update') {
    const changed = changedValues(change);
    return {
      ...before,
      row: before.row.map((value, at) => changed[at] ?? (changed[at] === null ? null : value)),
    };
  }
  if (before.kind === 'update' || before.deletes) return { ...before, deletes: false, kind: 'delete' };
  return 'nothing';
}

/** Whether an update moves its row to another key. */
export function movesKey(change: RowChange): boolean {
  return (change.key ?? []).some(
    (place) => change.row[place] !== undefined && change.row[place] !== change.old[place],
  );
}
