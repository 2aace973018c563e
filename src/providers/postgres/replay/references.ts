import type { QueryArrayConfig } from 'pg';
import { type CapturedCatalogue, nameOf } from '../captured-catalogue.ts';
import { type Connection, identifier, literal } from '../connection.ts';
import type { Value } from '../pgoutput.ts';
import type { RowChange } from './changes.ts';
import type { Target, TargetReference, TargetTable } from './target.ts';

/** Beyond so many different values all rows of the table are looked at instead. */
const remembered = 50_000;

/** Values whose other side has to be looked for: null for all that the table has. */
type Values = Map<string, readonly string[]> | null;

export interface Orphans {
  readonly reference: string;
  readonly table: string;
  readonly rows: number;
}

/**
 * What rows that were carried over refer to, and what was deleted from under others. Foreign keys are not checked
 * while changes are applied, as their rows are checked in the live database; but there a parent may be the migration's
 * and here a child may be one that the migration had deleted.
 */
export class References {
  readonly #target: Target;
  readonly #wanted = new Map<TargetReference, Values>();
  readonly #deleted = new Map<TargetReference, Values>();
  readonly #ofChild: ReadonlyMap<TargetTable, readonly TargetReference[]>;
  readonly #ofParent: ReadonlyMap<TargetTable, readonly TargetReference[]>;

  /** `lookAtAll`: what earlier sessions have applied is not known. */
  constructor(target: Target, lookAtAll: boolean) {
    this.#target = target;
    this.#ofChild = groupedBy(target.references, ({ child }) => child);
    this.#ofParent = groupedBy(target.references, ({ parent }) => parent);
    for (const reference of target.references) {
      this.#wanted.set(reference, lookAtAll ? null : new Map());
      this.#deleted.set(reference, lookAtAll ? null : new Map());
    }
  }

  note(change: RowChange): void {
    const { kind, table, old, row } = change;
    const isNew = (place: number): boolean => kind === 'insert' || row[place] !== old[place];
    if (kind !== 'delete') {
      for (const reference of this.#ofChild.get(table) ?? [])
        if (reference.childColumns.some(isNew))
          remember(this.#wanted, reference, reference.childColumns, row);
    }
    if (kind === 'insert') return;
    for (const reference of this.#ofParent.get(table) ?? []) {
      const isGone =
        kind === 'delete' ||
        reference.parentColumns.some((place) => row[place] !== undefined && isNew(place));
      if (isGone) remember(this.#deleted, reference, reference.parentColumns, old);
    }
  }

  noteTruncated(table: TargetTable): void {
    for (const reference of this.#ofParent.get(table) ?? []) this.#deleted.set(reference, null);
  }

  /**
   * Fetches the parents that are missing here and that the live database has, and the parents of those; then does
   * what the live database did with children of deleted parents. What still has no parent is counted.
   */
  async settle(live: Connection, side: Connection, now: CapturedCatalogue): Promise<readonly Orphans[]> {
    for (let isNew = true; isNew; ) {
      isNew = false;
      for (const reference of this.#target.references) {
        const missing = await missingParents(side, reference, this.#wanted.get(reference) ?? null);
        if (missing.length > 0 && (await adopt(live, side, reference, missing, now, this))) isNew = true;
      }
    }
    for (let rows = 1; rows > 0; ) {
      rows = 0;
      for (const reference of this.#target.references)
        rows += await this.#followDelete(side, reference, this.#deleted.get(reference) ?? null);
    }
    const orphans: Orphans[] = [];
    for (const reference of this.#target.references) {
      const rows = await countOrphans(
        side,
        reference,
        this.#wanted.get(reference),
        this.#deleted.get(reference),
      );
      const table = `${reference.child.schema}.${reference.child.name}`;
      if (rows > 0) orphans.push({ reference: reference.name, table, rows });
    }
    for (const reference of this.#target.references) {
      this.#wanted.set(reference, new Map());
      this.#deleted.set(reference, new Map());
    }
    return orphans;
  }

  async #followDelete(side: Connection, reference: TargetReference, values: Values): Promise<number> {
    if (!'cn'.includes(reference.onDelete) || values?.size === 0) return 0;
    const { child, childColumns } = reference;
    const names = childColumns.map((place) => child.columns[place]?.sql ?? '');
    const where = orphanCondition(reference, values);
    const gone = child.columns.map(({ sql }) => `c.${sql}`).join();
    if (reference.onDelete === 'n') {
      const done = await side.client.query(
        `UPDATE ${child.sql} c SET ${names.map((name) => `${name} = NULL`).join()} WHERE ${where}`,
      );
      return done.rowCount ?? 0;
    }
    const rows = await textRows(side, `DELETE FROM ${child.sql} c WHERE ${where} RETURNING ${gone}`);
    // Children of these go as well, if their reference says so.
    for (const other of this.#ofParent.get(child) ?? [])
      for (const row of rows) remember(this.#deleted, other, other.parentColumns, row);
    return rows.length;
  }

  /** An adopted row may have a parent that has to be adopted. */
  noteAdopted(table: TargetTable, row: readonly Value[]): void {
    for (const reference of this.#ofChild.get(table) ?? [])
      remember(this.#wanted, reference, reference.childColumns, row);
  }
}

function groupedBy(
  references: readonly TargetReference[],
  of: (reference: TargetReference) => TargetTable,
): ReadonlyMap<TargetTable, readonly TargetReference[]> {
  const groups = new Map<TargetTable, TargetReference[]>();
  for (const reference of references) {
    const group = groups.get(of(reference));
    if (group === undefined) groups.set(of(reference), [reference]);
    else group.push(reference);
  }
  return groups;
}

type TextRow = readonly (string | null)[];

/** Rows as the server writes them: nothing is read as a number or a date on the way. */
async function textRows(connection: Connection, text: string): Promise<readonly TextRow[]> {
  const answer = await connection.client.query<TextRow[]>({
    text,
    rowMode: 'array',
    types: asText,
  } as QueryArrayConfig);
  return answer.rows as unknown as readonly TextRow[];
}

const asText = { getTypeParser: () => (value: string | Buffer) => String(value) };

function remember(
  all: Map<TargetReference, Values>,
  reference: TargetReference,
  places: readonly number[],
  row: readonly Value[],
): void {
  const values = all.get(reference);
  if (values === null || values === undefined) return;
  const tuple = places.map((place) => row[place]);
  // A NULL or an unchanged value in it: it refers to nothing, or to what it referred to before.
  if (tuple.some((value) => value === null || value === undefined)) return;
  values.set(JSON.stringify(tuple), tuple as readonly string[]);
  if (values.size > remembered) all.set(reference, null);
}

/** True for children, as `c`, of `values` (null: of anything) that have no parent. */
function orphanCondition(reference: TargetReference, values: Values): string {
  const { child, childColumns, parent, parentColumns } = reference;
  const ours = childColumns.map((place) => `c.${child.columns[place]?.sql}`);
  const theirs = parentColumns.map((place) => `p.${parent.columns[place]?.sql}`);
  const given = ours.map((name) => `${name} IS NOT NULL`).join(' AND ');
  const parents = ours.map((name, at) => `${theirs[at]} = ${name}`).join(' AND ');
  const among = values === null ? '' : ` AND (${ours.join()}) IN (${list(reference, values)})`;
  return `${given} AND NOT EXISTS (SELECT 1 FROM ${parent.sql} p WHERE ${parents})${among}`;
}

function list(
  { child, childColumns }: TargetReference,
  values: ReadonlyMap<string, readonly string[]>,
): string {
  const types = childColumns.map((place) => child.columns[place]?.type ?? 'text');
  const row = (tuple: readonly string[]): string =>
    `(${tuple.map((value, at) => `${literal(value).trim()}::${types[at]}`).join()})`;
  return values.size === 0 ? 'SELECT NULL WHERE false' : `VALUES ${[...values.values()].map(row).join()}`;
}

async function missingParents(
  side: Connection,
  reference: TargetReference,
  values: Values,
): Promise<readonly (readonly string[])[]> {
  if (values?.size === 0) return [];
  const { child, childColumns } = reference;
  const names = childColumns.map((place) => `c.${child.columns[place]?.sql}`);
  return (await textRows(
    side,
    `SELECT DISTINCT ${names.join()} FROM ${child.sql} c WHERE ${orphanCondition(reference, values)}`,
  )) as readonly (readonly string[])[];
}

/** Rows of the live database under the restored one's column names. Returns whether any came. */
async function adopt(
  live: Connection,
  side: Connection,
  reference: TargetReference,
  missing: readonly (readonly string[])[],
  now: CapturedCatalogue,
  references: References,
): Promise<boolean> {
  const { parent, parentColumns } = reference;
  const source =
    now.tables.find(({ oid }) => oid === parent.oid) ??
    now.tables.find((table) => nameOf(table) === nameOf(parent));
  if (source === undefined) return false;
  const byNumber = source.oid === parent.oid;
  const there = parent.columns.map((column) =>
    source.columns.find(({ number, name }) => (byNumber ? number === column.number : name === column.name)),
  );
  const keys = parentColumns.map((place) => there[place]);
  if (keys.includes(undefined)) return false;
  let came = false;
  for (let at = 0; at < missing.length; at += 500) {
    const wanted = missing.slice(at, at + 500).map((tuple) => {
      const values = tuple.map((value, i) => `${literal(value).trim()}::${keys[i]?.type}`);
      return `(${values.join()})`;
    });
    const names = there.map((column) => (column === undefined ? 'NULL' : identifier(column.name)));
    const rows = await textRows(
      live,
      `SELECT ${names.join()} FROM ${identifier(source.schema, source.name)}
          WHERE (${keys.map((key) => identifier(key?.name ?? '')).join()}) IN (VALUES ${wanted.join()})`,
    );
    for (const row of rows) {
      const known: readonly Value[] = row.map((value, place) =>
        there[place] === undefined ? undefined : value,
      );
      if (!(await insertAdopted(side, reference, known))) continue;
      references.noteAdopted(parent, known);
      came = true;
    }
  }
  return came;
}

async function insertAdopted(
  side: Connection,
  reference: TargetReference,
  row: readonly Value[],
): Promise<boolean> {
  const { parent, child, name } = reference;
  const columns = parent.columns.flatMap((column, place) =>
    row[place] === undefined ? [] : [{ ...column, place }],
  );
  const values = columns.map(({ place }) => {
    const value = row[place];
    return value === null || value === undefined ? 'NULL' : literal(value).trim();
  });
  await side.run('SAVEPOINT adopted');
  try {
    const done = await side.client.query(
      `INSERT INTO ${parent.sql} (${columns.map(({ sql }) => sql).join()}) OVERRIDING SYSTEM VALUE VALUES (${values.join()}) ON CONFLICT DO NOTHING`,
    );
    if ((done.rowCount ?? 0) === 0) return false;
    const key = Object.fromEntries(
      (parent.keys[0] ?? reference.parentColumns).map((place) => [
        parent.columns[place]?.name,
        row[place] ?? null,
      ]),
    );
    await side.rows('INSERT INTO unship.adopted (table_name, row_key, because) VALUES ($1, $2, $3)', [
      ...[
        `${parent.schema}.${parent.name}`,
        JSON.stringify(key),
        `${child.schema}.${child.name} refers to it (${name})`,
      ],
    ]);
    await side.run('RELEASE adopted');
    return true;
  } catch {
    // It does not fit into the restored table; then its children are told as orphans.
    await side.run('ROLLBACK TO adopted; RELEASE adopted');
    return false;
  }
}

async function countOrphans(
  side: Connection,
  reference: TargetReference,
  wanted: Values | undefined,
  deleted: Values | undefined,
): Promise<number> {
  const count = async (values: Values): Promise<number> => {
    if (values?.size === 0) return 0;
    const [row] = await side.rows<{ count: string }>(
      `SELECT count(*) FROM ${reference.child.sql} c WHERE ${orphanCondition(reference, values)}`,
    );
    return Number(row?.count ?? 0);
  };
  if (wanted === null || deleted === null || wanted === undefined || deleted === undefined)
    return await count(null);
  return await count(new Map([...wanted, ...deleted]));
}
