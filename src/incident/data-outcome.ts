import type { Json } from '../domain/json.ts';
import type { Plan, Step } from '../domain/plan.ts';
import type { RunState } from '../domain/run.ts';

/** What became of the data at risk. Rows; read from what the steps reported, where they got so far. */
export interface DataOutcome {
  /** A database was to be changed. False: it stayed as it is, and so did every row. */
  readonly touched: boolean;
  /** As counted for the plan. */
  readonly kept: number;
  readonly archived: number;
  readonly lost: number;
  /** Values that the migration had overwritten, given back. */
  readonly givenBack: number;
  /** Values left as they are because the application had changed them since. */
  readonly keptEdits: number;
  /** Recorded values and rows that found no place again. */
  readonly withheld: number;
  /** Files that hold those. */
  readonly records: readonly string[];
  /** Files that hold what was archived. */
  readonly archives: readonly string[];
  /** Backups of the state just before a restore. */
  readonly safetyBackups: readonly string[];
  /** Steps that may have changed data and have not said what: nobody should guess. */
  readonly unknown: readonly string[];
}

const changing: ReadonlySet<string> = new Set(['database.migrate-down', 'database.restore']);

type Fields = { readonly [key: string]: Json | undefined };

function fieldsOf(output: Json | undefined): Fields {
  return typeof output === 'object' && output !== null && !Array.isArray(output) ? (output as Fields) : {};
}

/** True once the step may have had an effect and has not been taken back. */
function mayHaveChanged(step: Step, state: RunState): boolean {
  const status = state.steps[step.id]?.status ?? 'pending';
  return status !== 'pending' && status !== 'undone';
}

/** What became of the data, as far as the run has got. */
export function dataOutcome(plan: Plan, state: RunState): DataOutcome {
  const steps = plan.steps.filter(({ action }) => changing.has(action));
  const reached = steps.filter((step) => mayHaveChanged(step, state));
  const told = reached.map((step) => fieldsOf(state.steps[step.id]?.output));
  const sum = (key: string): number =>
    told.reduce((total, fields) => total + (typeof fields[key] === 'number' ? fields[key] : 0), 0);
  const texts = (key: string): readonly string[] =>
    told.flatMap((fields) => (typeof fields[key] === 'string' ? [fields[key]] : []));
  return {
    touched: steps.length > 0,
    kept: plan.risk.tables.reduce((total, table) => total + table.kept, 0),
    archived: sum('archived'),
    lost: sum('rowsLost'),
    givenBack: sum('givenBack'),
    keptEdits: sum('keptEdits'),
    withheld: sum('withheld'),
    records: texts('withheldIn'),
    archives: texts('archive'),
    safetyBackups: texts('safetyBackup'),
    unknown: reached.filter((step) => state.steps[step.id]?.output === undefined).map(({ id }) => id),
  };
}

/**
 * What became of it in all: an attempt that was superseded keeps what it did, and the run that took over has no
 * step for it any more. A step that is repeated tells for both.
 */
export function inAll(
  last: { readonly plan: Plan; readonly data: DataOutcome },
  attempts: readonly { readonly data: DataOutcome }[],
): DataOutcome {
  const reached = attempts
    .map(({ data }) => data)
    .filter(({ archives, archived, lost, givenBack, withheld, safetyBackups, unknown }) =>
      [archives.length, archived, lost, givenBack, withheld, safetyBackups.length, unknown.length].some(
        (figure) => figure > 0,
      ),
    );
  if (reached.length === 0) return last.data;
  const all = [...reached, last.data];
  const repeated = new Set(last.plan.steps.map(({ id }) => id));
  const sum = (figure: (data: DataOutcome) => number): number =>
    all.reduce((total, data) => total + figure(data), 0);
  return {
    touched: true,
    kept: Math.max(...all.map(({ kept }) => kept)),
    archived: sum(({ archived }) => archived),
    lost: sum(({ lost }) => lost),
    givenBack: sum(({ givenBack }) => givenBack),
    keptEdits: sum(({ keptEdits }) => keptEdits),
    withheld: sum(({ withheld }) => withheld),
    records: all.flatMap(({ records }) => records),
    archives: all.flatMap(({ archives }) => archives),
    safetyBackups: all.flatMap(({ safetyBackups }) => safetyBackups),
    unknown: [
      ...reached.flatMap(({ unknown }) => unknown.filter((id) => !repeated.has(id))),
      ...last.data.unknown,
    ],
  };
}

export function countText(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3}){1,6}$)/g, ',');
}

/** `1,392 rows kept, 212 archived, 0 lost`, or that it can't be told. */
export function dataLine(outcome: DataOutcome, plan: Plan): string {
  if (!outcome.touched) return 'database unchanged, every row kept';
  if (outcome.unknown.length > 0) return `not known yet: ${outcome.unknown.join(', ')} has not ended`;
  const exact = plan.risk.exact ? '' : ' (kept is a lower bound: not all could be counted)';
  const { kept, archived, lost, withheld } = outcome;
  const counts = [`${countText(kept)} rows kept`, `${countText(archived)} archived`];
  // Not lost, and not back either: "0 lost" alone would be believed.
  if (lost > 0 || withheld === 0) counts.push(`${countText(lost)} lost`);
  if (withheld > 0) counts.push(`${countText(withheld)} recorded ones NOT given back`);
  return `${counts.join(', ')}${exact}`;
}
