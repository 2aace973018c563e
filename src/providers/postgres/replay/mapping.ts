import { UnshipError } from '../../../domain/errors.ts';
import { type CapturedCatalogue, type CapturedTable, nameOf, readCatalogue } from '../captured-catalogue.ts';
import type { Connection } from '../connection.ts';
import { lsnOf } from '../lsn.ts';
import type { Relation } from '../pgoutput.ts';
import type { Target, TargetTable } from './target.ts';

interface Version {
  /** What is committed from here on is told by these names. */
  readonly from: bigint;
  readonly catalogue: CapturedCatalogue;
}

/** Where the values of a captured table's rows go. */
export interface Mapping {
  /** Null for a table that the restored database does not have. */
  readonly target: TargetTable | null;
  readonly source: string;
  /** For each value of a row its place in `target.columns`; -1 where the restored table has no such column. */
  readonly places: readonly number[];
  readonly columns: readonly string[];
  /** Places in `target.columns` that find a row; null when only all of its values do. */
  readonly key: readonly number[] | null;
}

/**
 * The names of columns over time. Changes tell a column by the name it had when they were written; its number, which
 * a rename does not change, comes from the catalogue of that time.
 */
export class Mappings {
  readonly #live: Connection;
  readonly #key: string;
  readonly #captured: CapturedCatalogue;
  readonly #target: Target;
  #versions: readonly Version[] = [];
  #now: CapturedCatalogue = { tables: [], sequences: [] };

  constructor(live: Connection, key: string, captured: CapturedCatalogue, target: Target) {
    this.#live = live;
    this.#key = key;
    this.#captured = captured;
    this.#target = target;
  }

  /** The live catalogue as it was when it was last needed. */
  get now(): CapturedCatalogue {
    return this.#now;
  }

  async refresh(): Promise<void> {
    const saved = await this.#live.rows<{ lsn: string; catalogue: CapturedCatalogue }>(
      'SELECT lsn, catalogue FROM unship.catalogues WHERE key = $1 ORDER BY lsn',
      [this.#key],
    );
    this.#now = await readCatalogue(this.#live);
    this.#versions = [
      { from: 0n, catalogue: this.#captured },
      ...saved.map(({ lsn, catalogue }) => ({ from: lsnOf(lsn), catalogue })),
    ];
  }

  /** Throws `capture-lost` when no catalogue that is known describes these columns. */
  async of(relation: Relation, commitLsn: bigint): Promise<Mapping> {
    await this.refresh();
    const source = nameOf(relation);
    const columns = relation.columns.map(({ name }) => name);
    const home = this.#home(relation);
    if (home === null) return { target: null, source, places: columns.map(() => -1), columns, key: null };
    const table = this.#describe(relation, commitLsn);
    const places = relation.columns.map(({ name }) => {
      const number = table.columns.find((column) => column.name === name)?.number;
      // A table that was rebuilt counts its columns anew: there the names are all there is.
      return home.byNumber
        ? home.target.columns.findIndex((column) => column.number === number)
        : home.target.columns.findIndex((column) => column.name === name);
    });
    const key = home.target.keys.find((candidate) => candidate.every((place) => places.includes(place)));
    return { target: home.target, source, places, columns, key: key ?? null };
  }

  #describe(relation: Relation, commitLsn: bigint): CapturedTable {
    const isIt = (table: CapturedTable): boolean => {
      const told = table.columns.filter(({ isGenerated }) => !isGenerated);
      return (
        table.oid === relation.id &&
        told.length === relation.columns.length &&
        told.every(({ name }, at) => name === relation.columns[at]?.name)
      );
    };
    // The latest before the commit is the right one. The others only help where something altered the table without us.
    const inForce = this.#versions.filter(({ from }) => from <= commitLsn).reverse();
    const later = this.#versions.filter(({ from }) => from > commitLsn);
    const all = [...inForce, ...later].map(({ catalogue }) => catalogue);
    for (const { tables } of [...all, this.#now]) {
      const table = tables.find(isIt);
      if (table !== undefined) return table;
    }
    throw new UnshipError('capture-lost', {
      happened: `${nameOf(relation)} was altered outside of a migration: its columns ${relation.columns.map(({ name }) => name).join(', ')} are in no catalogue that was noted`,
      done: 'nothing of that transaction was applied; the live database is as it was',
    });
  }

  #home(relation: Relation): { readonly target: TargetTable; readonly byNumber: boolean } | null {
    const same = this.#target.tables.get(relation.id);
    if (same !== undefined) return { target: same, byNumber: true };
    const namesake = this.#captured.tables.find((table) => nameOf(table) === nameOf(relation));
    if (namesake === undefined) return null;
    // Rebuilt under its old name only if the old one is gone: otherwise that was renamed and goes on elsewhere.
    const isGone = !this.#now.tables.some(({ oid }) => oid === namesake.oid);
    const target = isGone ? this.#target.tables.get(namesake.oid) : undefined;
    return target === undefined ? null : { target, byNumber: false };
  }
}
