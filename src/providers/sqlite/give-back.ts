import type { DatabaseSync } from 'node:sqlite';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { breathe } from './connection.ts';
import type { TableChange } from './correspondence.ts';
import type { Foresight } from './foresight.ts';
import { countAbsent, giveRows, keepSequence } from './give-rows.ts';
import { assignments, giveValues } from './give-values.ts';
import {
  canReturn,
  carriedFrom,
  type LoadedArchive,
  type ReturnTable,
  returnTables,
  rowsOf,
} from './loaded-archive.ts';
import { quoteText } from './names.ts';
import { scratch } from './rows.ts';
import { findTable, type Schema } from './schema.ts';
import { withoutTriggers } from './suspended-triggers.ts';
import { countHomeless, countRecorded } from './withheld.ts';

export interface GivenBack {
  readonly givenBack: number;
  readonly keptEdits: number;
  /** Recorded rows and values that found no place: they are only in the archive. */
  readonly withheld: number;
}

/** Values that the application has changed since, each counted once however many migrations had rewritten it. */
function countEdits(database: DatabaseSync, part: ReturnTable): number {
  const { table, keys, judged } = part;
  if (table.after === null || keys.length === 0) return 0;
  let count = 0;
  for (const [at, [, after]] of table.mapped.entries()) {
    const place = `${quoteText(JSON.stringify([table.after, after]))} || ${keys.map((key) => `quote(e.${key})`).join(" || ',' || ")}`;
    const insert = `INSERT OR IGNORE INTO ${scratch}.kept_edits SELECT ${place} FROM ${judged} AS e WHERE e.f${at} = 2`;
    count += Number(database.prepare(insert).run().changes);
  }
  return count;
}

const nothing: GivenBack = { givenBack: 0, keptEdits: 0, withheld: 0 };

/** What is recorded of one table, put into what stands in its place now. */
function giveTable(
  database: DatabaseSync,
  schema: Schema,
  loaded: LoadedArchive,
  part: ReturnTable,
  change: TableChange | undefined,
  foresight: Foresight,
): GivenBack {
  const { table } = part;
  const live = findTable(schema, table.before ?? '');
  if (live === undefined) return nothing;
  const isCarried = carriedFrom(loaded.archive.record, table, change).length > 0;
  return withoutTriggers(database, schema, live, () => {
    const values = giveValues(database, part, live, assignments(loaded, part, live, change, foresight));
    const rows =
      !loaded.rewrites && table.after !== null
        ? { givenBack: 0, withheld: 0 }
        : isCarried
          ? { givenBack: 0, withheld: countAbsent(database, part, live) }
          : giveRows(database, part, live);
    keepSequence(database, table, live);
    return {
      givenBack: values.givenBack + rows.givenBack,
      keptEdits: values.keptEdits,
      withheld: values.withheld + rows.withheld + countHomeless(database, part.rows, table, live),
    };
  });
}

/**
 * After the statements of the way back: values that are still the migration's get the ones from before it,
 * dropped columns and tables that are there again get their content, deleted rows come back where their key is
 * free. What the application has written since stays, and what is recorded and finds no place is counted.
 * `changes` tells what the statements themselves filled.
 */
export async function giveBack(
  context: LookContext,
  database: DatabaseSync,
  schema: Schema,
  loaded: LoadedArchive,
  changes: readonly TableChange[],
  epoch: string | null,
  foresight: Foresight,
): Promise<GivenBack> {
  const { record } = loaded.archive;
  const parts = new Map(returnTables(loaded, epoch).map((part) => [part.table, part]));
  const all: GivenBack[] = [];
  for (const table of record.tables) {
    if (table.rows === null || table.before === null) continue;
    await breathe(context);
    const part = parts.get(table);
    const keptEdits = part !== undefined && loaded.rewrites ? countEdits(database, part) : 0;
    const live = findTable(schema, table.before);
    const change = changes.find((candidate) => candidate.after === live?.name);
    if (part === undefined || !canReturn(record, table, live, change, epoch)) {
      const withheld = countRecorded(database, rowsOf(loaded, table), table);
      all.push({ givenBack: 0, keptEdits, withheld: loaded.rewrites ? withheld : 0 });
      continue;
    }
    const given = giveTable(database, schema, loaded, part, change, foresight);
    all.push({ ...given, keptEdits: given.keptEdits + keptEdits });
  }
  const sum = (pick: keyof GivenBack): number => all.reduce((total, one) => total + one[pick], 0);
  return { givenBack: sum('givenBack'), keptEdits: sum('keptEdits'), withheld: sum('withheld') };
}
