import { type Catalogue, storedColumns, type Table } from './catalogue.ts';

export interface AddedColumn {
  readonly name: string;
  /** What rows hold that nobody has filled. */
  readonly missing: string | null;
}

/** One table on both sides of a migration, and which of its columns are the same. */
export interface TableChange {
  /** Null when the migration makes it. */
  readonly before: Table | null;
  /** Null when the migration drops it. */
  readonly after: Table | null;
  /** Columns on both sides: name before, name after. */
  readonly mapped: readonly (readonly [before: string, after: string])[];
  readonly dropped: readonly string[];
  readonly added: readonly AddedColumn[];
  /** Made anew under its old name: columns are matched by name. */
  readonly rebuilt: boolean;
}

function compare(before: Table, after: Table, rebuilt: boolean): TableChange {
  const left = new Map(storedColumns(before).map((column) => [column.name, column]));
  const mapped: (readonly [string, string])[] = [];
  const added: AddedColumn[] = [];
  for (const column of storedColumns(after)) {
    // A column keeps its number through renames; dropped and made again, it is another one.
    const origin = [...left.values()].find((candidate) =>
      rebuilt ? candidate.name === column.name : candidate.attnum === column.attnum,
    );
    if (origin === undefined) added.push({ name: column.name, missing: column.missing });
    else {
      left.delete(origin.name);
      mapped.push([origin.name, column.name]);
    }
  }
  return { before, after, mapped, dropped: [...left.keys()], added, rebuilt };
}

/** What became of every table. One that was dropped and made again under its name counts as the same, rebuilt. */
export function correspond(before: Catalogue, after: Catalogue): readonly TableChange[] {
  const made = new Map(
    [...after.values()].filter((table) => !before.has(table.oid)).map((table) => [table.label, table]),
  );
  const changes: TableChange[] = [];
  for (const table of before.values()) {
    const same = after.get(table.oid);
    const rebuilt = same === undefined ? made.get(table.label) : undefined;
    const now = same ?? rebuilt;
    if (rebuilt !== undefined) made.delete(table.label);
    if (now !== undefined) changes.push(compare(table, now, rebuilt !== undefined));
    else {
      const dropped = storedColumns(table).map((column) => column.name);
      changes.push({ before: table, after: null, mapped: [], dropped, added: [], rebuilt: false });
    }
  }
  for (const table of made.values()) {
    const added = storedColumns(table).map(({ name, missing }) => ({ name, missing }));
    changes.push({ before: null, after: table, mapped: [], dropped: [], added, rebuilt: false });
  }
  return changes;
}

/** The key on both sides, or why rows can't be recognised. */
export function keyOf(change: TableChange): readonly string[] | string {
  const { before, after, mapped } = change;
  if (before === null || after === null) return (before ?? after)?.key ?? [];
  if (before.key.length === 0) return `${before.label} has no primary key to recognise its rows by`;
  const names = new Map(mapped);
  const now = before.key.map((column) => names.get(column));
  if (now.some((column) => column === undefined))
    return `the key of ${after.label} is another one afterwards`;
  return before.key;
}
