import type { DryRun, TableTrace } from './dry-run.ts';
import { type Column, ordinaryTables, storedColumns, type Table } from './schema.ts';

export interface AddedColumn {
  readonly name: string;
  readonly type: string;
  /** Text of its default expression; null when there is none. */
  readonly default: string | null;
}

/** One table on both sides of a migration, and which of its columns are the same. */
export interface TableChange {
  /** Name before; null when the migration makes it. */
  readonly before: string | null;
  /** Name after; null when the migration drops it. */
  readonly after: string | null;
  /** Columns on both sides: name before, name after. */
  readonly mapped: readonly (readonly [before: string, after: string])[];
  /** Stored columns that are there only before. */
  readonly dropped: readonly string[];
  /** Stored columns that are there only after, with the text of their default expression. */
  readonly added: readonly AddedColumn[];
  /** Made anew under its old name: columns are matched by name, and rowids mean nothing. */
  readonly rebuilt: boolean;
  /** Columns, by their name after, that the statements themselves write. */
  readonly written: readonly string[];
  /** Tables, by their names before, that the statements themselves insert rows from; a rebuilt one has itself here. */
  readonly filledFrom: readonly string[];
}

function writtenColumns(trace: TableTrace | undefined): readonly string[] {
  return [...(trace?.columns ?? [])].filter(([, column]) => column.written).map(([name]) => name);
}

function asAdded({ name, type, default: value }: Column): AddedColumn {
  return { name, type, default: value };
}

function compare(before: Table, after: Table, trace: TableTrace | undefined): TableChange {
  const rebuilt = trace?.origin !== before.name;
  const originOf = (name: string): string | null =>
    rebuilt ? name : (trace?.columns.get(name)?.origin ?? null);
  const stored = new Map(storedColumns(before).map((column) => [column.name, column]));
  const mapped: (readonly [string, string])[] = [];
  const added: AddedColumn[] = [];
  for (const column of storedColumns(after)) {
    const origin = originOf(column.name);
    if (origin !== null && stored.delete(origin)) mapped.push([origin, column.name]);
    else added.push(asAdded(column));
  }
  return {
    before: before.name,
    after: after.name,
    mapped,
    dropped: [...stored.keys()],
    added,
    rebuilt,
    written: writtenColumns(trace),
    filledFrom: [...(trace?.filledFrom ?? [])],
  };
}

/**
 * What became of every table. A table that was dropped and made again under its name (SQLite's way to change
 * what ALTER TABLE can't) counts as the same one, rebuilt.
 */
export function correspond(run: DryRun): readonly TableChange[] {
  const afterByOrigin = new Map<string, Table>();
  const rest: Table[] = [];
  for (const table of ordinaryTables(run.after)) {
    const origin = run.traces.get(table.name)?.origin ?? null;
    if (origin === null) rest.push(table);
    else afterByOrigin.set(origin, table);
  }
  const unclaimed = new Map(rest.map((table) => [table.name, table]));
  const changes: TableChange[] = [];
  for (const before of ordinaryTables(run.before)) {
    const rebuilt = afterByOrigin.has(before.name) ? undefined : unclaimed.get(before.name);
    const after = afterByOrigin.get(before.name) ?? rebuilt;
    if (rebuilt !== undefined) unclaimed.delete(rebuilt.name);
    if (after === undefined) {
      const dropped = storedColumns(before).map((column) => column.name);
      const nothing = { mapped: [], added: [], rebuilt: false, written: [], filledFrom: [] };
      changes.push({ before: before.name, after: null, dropped, ...nothing });
    } else {
      changes.push(compare(before, after, run.traces.get(after.name)));
    }
  }
  for (const table of unclaimed.values()) {
    const added = storedColumns(table).map(asAdded);
    const trace = run.traces.get(table.name);
    changes.push({
      ...{ before: null, after: table.name, mapped: [], dropped: [], added, rebuilt: false },
      written: writtenColumns(trace),
      filledFrom: [...(trace?.filledFrom ?? [])],
    });
  }
  return changes;
}

/** Tables whose rows can differ on the two sides: written by a statement, rebuilt, made, dropped or reshaped. */
export function relevantChanges(
  changes: readonly TableChange[],
  touched: ReadonlySet<string>,
  alsoAfter: ReadonlySet<string>,
): readonly TableChange[] {
  return changes.filter(
    (change) =>
      change.before === null ||
      change.after === null ||
      change.rebuilt ||
      change.dropped.length > 0 ||
      touched.has(change.before) ||
      alsoAfter.has(change.after) ||
      change.added.some((column) => change.written.includes(column.name)),
  );
}
