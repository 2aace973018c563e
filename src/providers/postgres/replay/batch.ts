import { UnshipError } from '../../../domain/errors.ts';
import type { Connection } from '../connection.ts';
import { codeOf } from '../slot-reader.ts';
import { type Change, changedValues, type Net, netOf, type RowChange, type Segment } from './changes.ts';
import { type Conflict, count, named, type RewrittenEdit, type Totals } from './records.ts';
import { type Fills, keylessStatement, type Statement, statementsFor, type Updated } from './statements.ts';

/** What came of applying changes, beyond the changes themselves. Written down in the same transaction. */
export interface Outcome {
  readonly conflicts: Conflict[];
  readonly rewritten: RewrittenEdit[];
}

interface Result {
  readonly rows: readonly Updated[];
}

/** Errors that lie in a row, not in the server: integrity, values, and what checks and triggers raise. */
function isRowFault(error: unknown): boolean {
  return /^(22|23|42804|42883|P0001|44000)/.test(codeOf(error));
}

/** Applies the segments in the open transaction; what can't be applied is told as conflicts. */
export async function applySegments(
  side: Connection,
  segments: readonly Segment[],
  fills: Fills,
  outcome: Outcome,
  totals: Totals,
): Promise<void> {
  const planned = segments.map((segment) => statementsOf(segment, fills));
  if (planned.every((each) => each !== undefined)) {
    const statements = planned.flat();
    try {
      await runAll(side, statements, outcome, totals);
      return;
    } catch (error) {
      if (!isRowFault(error)) throw error;
    }
  }
  for (const segment of segments) await applyOne(side, segment, fills, outcome, totals);
}

/** Undefined when only one change after the other will do. */
function statementsOf(segment: Segment, fills: Fills): readonly Statement[] | undefined {
  if (segment.kind === 'nets') {
    const nets = netOf(segment.changes, segment.key);
    return nets === undefined ? undefined : statementsFor(segment.table, segment.key, nets, fills);
  }
  const { change } = segment;
  if (change.kind === 'truncate') return undefined;
  return single(change, fills);
}

function single(change: RowChange, fills: Fills): readonly Statement[] {
  const { kind, old, row, key, table } = change;
  const net: Net = {
    deletes: false,
    kind,
    old,
    change,
    row: kind === 'update' ? changedValues(change) : row,
  };
  if (key !== null) return statementsFor(table, key, [net], fills);
  if (kind === 'update' && net.row.every((value) => value === undefined)) return [];
  return [keylessStatement(change, net, fills)];
}

/** One round trip for all of them; nothing of it remains when one fails. */
async function runAll(
  side: Connection,
  statements: readonly Statement[],
  outcome: Outcome,
  totals: Totals,
): Promise<void> {
  if (statements.length === 0) return;
  const sql = ['SAVEPOINT batch', ...statements.map((statement) => statement.sql), 'RELEASE batch'].join(';');
  let results: readonly Result[];
  try {
    results = (await side.client.query(sql)) as unknown as readonly Result[];
  } catch (error) {
    await side.run('ROLLBACK TO batch; RELEASE batch');
    throw error;
  }
  for (const [at, statement] of statements.entries())
    judge(statement, results[at + 1]?.rows ?? [], outcome, totals);
}

function judge(statement: Statement, rows: readonly Updated[], outcome: Outcome, totals: Totals): void {
  const { kind, nets, columns } = statement;
  if (kind === 'insert') return;
  const found = new Set(rows.map(({ n }) => n));
  if (kind === 'delete') {
    totals.alreadyGone += nets.length - found.size;
    return;
  }
  for (const { n, before } of rows) {
    const net = nets[n];
    if (before !== null && net !== undefined) noteRewritten(net, columns, before, outcome);
  }
  if (found.size === nets.length) return;
  for (const [n, net] of nets.entries()) {
    if (found.has(n)) continue;
    const detail =
      'the restored database has no such row: the migration inserted it, or its insert is a conflict itself';
    outcome.conflicts.push(conflictOf(net.change, 'row-missing', detail, net.row));
  }
}

function noteRewritten(
  net: Net,
  columns: readonly number[],
  before: readonly (string | null)[],
  outcome: Outcome,
): void {
  const { table, commit, key } = net.change;
  const name = `${table.schema}.${table.name}`;
  const rowKey = named(
    table,
    net.old.map((value, at) => (key?.includes(at) ? value : undefined)),
  );
  for (const [i, place] of columns.entries()) {
    const migration = net.old[place];
    const was = before[i] ?? null;
    // Where the server did not tell the old value, nobody knows whether it was the migration's.
    if (migration === undefined || was === migration) continue;
    const column = table.columns[place]?.name ?? '';
    const application = net.row[place] ?? null;
    outcome.rewritten.push({ table: name, row: rowKey, column, before: was, migration, application, commit });
  }
}

function conflictOf(
  change: RowChange,
  reason: string,
  detail: string,
  row: RowChange['row'] = change.row,
): Conflict {
  const { table, kind, old, commit } = change;
  const name = `${table.schema}.${table.name}`;
  return {
    ...{ table: name, kind, reason, detail, commit },
    old: kind === 'insert' ? null : named(table, old),
    row: kind === 'delete' ? null : named(table, row),
  };
}

const reasons: { readonly [code: string]: string } = {
  '23505': 'unique',
  '23P01': 'unique',
  '23502': 'not-null',
  '23514': 'check',
  '23503': 'reference',
};

function reasonOf(error: unknown): { readonly reason: string; readonly detail: string } {
  const code = codeOf(error);
  const { message, detail } = error as { readonly message: string; readonly detail?: string };
  const reason = reasons[code] ?? (code.startsWith('22') ? 'invalid-value' : 'other');
  return { reason, detail: detail === undefined ? message : `${message}: ${detail}` };
}

async function applyOne(
  side: Connection,
  segment: Segment,
  fills: Fills,
  outcome: Outcome,
  totals: Totals,
): Promise<void> {
  if (segment.kind === 'nets') return await bisect(side, segment, fills, outcome, totals);
  const { change } = segment;
  if (change.kind === 'truncate') return await empty(side, change);
  try {
    await runAll(side, single(change, fills), outcome, totals);
  } catch (error) {
    if (!isRowFault(error)) throw error;
    const { reason, detail } = reasonOf(error);
    outcome.conflicts.push(conflictOf(change, reason, detail));
  }
}

/** Halves what fails until it is single changes, in their order: what does not fail is applied all the same. */
async function bisect(
  side: Connection,
  segment: Segment & { readonly kind: 'nets' },
  fills: Fills,
  outcome: Outcome,
  totals: Totals,
): Promise<void> {
  const { table, changes } = segment;
  const [only] = changes;
  if (changes.length === 1 && only !== undefined)
    return await applyOne(side, { kind: 'single', table, change: only }, fills, outcome, totals);
  const statements = statementsOf(segment, fills);
  if (statements !== undefined) {
    try {
      return await runAll(side, statements, outcome, totals);
    } catch (error) {
      if (!isRowFault(error)) throw error;
    }
  }
  const half = Math.ceil(changes.length / 2);
  await bisect(side, { ...segment, changes: changes.slice(0, half) }, fills, outcome, totals);
  await bisect(side, { ...segment, changes: changes.slice(half) }, fills, outcome, totals);
}

/** TRUNCATE is refused where other tables refer to this one, even if they are empty; then its rows are deleted. */
async function empty(side: Connection, { table }: Change): Promise<void> {
  try {
    await side.run(`SAVEPOINT batch; TRUNCATE ONLY ${table.sql}; RELEASE batch`);
  } catch (error) {
    await side.run('ROLLBACK TO batch; RELEASE batch');
    if (codeOf(error) !== '0A000') throw error;
    await side.run(`DELETE FROM ONLY ${table.sql}`);
  }
}

/** Required columns without a default that nothing fills: an insert into their table can't succeed. */
export function requireFilled(change: RowChange, fills: Fills, totals: Totals): void {
  if (change.kind !== 'insert') return;
  for (const [place, column] of change.table.columns.entries()) {
    if (change.row[place] !== undefined) continue;
    const name = `${change.table.schema}.${change.table.name}.${column.name}`;
    if (column.isRequired && !column.hasDefault && fills[name] === undefined) throw unfilled(name);
    count(totals.filled, name);
  }
}

export function unfilled(column: string): UnshipError {
  return new UnshipError('fill-missing', {
    happened: `new rows have no value for ${column}, which is required and has no default: the migration dropped it`,
    done: 'nothing of these rows was carried over; the live database is as it was',
  });
}
