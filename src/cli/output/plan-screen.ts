import { formatDuration } from '../../domain/duration.ts';
import type { DataAtRisk } from '../../domain/facts.ts';
import { shortCommit } from '../../domain/names.ts';
import {
  type Plan,
  type PlanKind,
  type StrategyOption,
  shortHash,
  topologicalOrder,
} from '../../domain/plan.ts';
import { actionEntry } from '../../domain/planner/actions.ts';
import type { Release } from '../../domain/release.ts';
import { clockTime, count, labelled, plural, table, width, wrap } from './layout.ts';

export interface PlanScreenOptions {
  /** Those that the plan names, as far as they are known. */
  readonly releases: readonly Release[];
  /** Milliseconds since the epoch. */
  readonly madeAt: number;
  readonly details: boolean;
  /** The command that runs exactly this plan; absent where the question follows. */
  readonly run?: string;
}

/** `r42 -> r41: 7 s, 0 rows lost`: what the question is about, in one line. */
export function planSummary(plan: Plan): string {
  const way = wayOf(plan);
  return `${way === '' ? '' : `${way}: `}${formatDuration(plan.estimateMs)}, ${lost(plan.rowsLost, !plan.lossUncertain)}`;
}

export function planScreen(plan: Plan, options: PlanScreenOptions): readonly string[] {
  const lines = [`${heading(plan, options.releases)}`, '', ...changes(plan), '', ...reasons(plan)];
  for (const warning of plan.warnings) lines.push(...labelled('Warning', warning));
  if (options.details) lines.push('', ...detailLines(plan));
  const made = clockTime(options.madeAt);
  lines.push('', `Nothing has changed. Plan ${shortHash(plan.hash)}, made ${made}.`);
  if (options.run !== undefined) lines.push(...labelled('Run', options.run));
  return lines;
}

const verbs: { readonly [kind in PlanKind]: string } = {
  release: 'Release',
  rollback: 'Roll back',
  undo: 'Undo in',
  rehearsal: 'Rehearse',
  maintenance: 'Work on',
};

function heading(plan: Plan, releases: readonly Release[]): string {
  const about = (id: string | null): string => {
    const release = releases.find((one) => one.id === id);
    if (release === undefined) return id ?? 'nothing';
    const health = { good: 'last good', bad: 'unhealthy', unproven: 'unproven' }[release.health];
    const known = [
      ...(release.commit === '' ? [] : [shortCommit(release.commit)]),
      healthWord(plan, release, health),
    ];
    return `${release.id} (${known.join(', ')})`;
  };
  const environment = plan.environment === 'production' ? '' : ` in ${plan.environment}`;
  const way = plan.from === null && plan.to === null ? '' : `: ${about(plan.from)} -> ${about(plan.to)}`;
  return `${verbs[plan.kind]} ${plan.application}${environment}${way}`;
}

/** "Last good" is what a rollback goes to; elsewhere a good release is just good. */
function healthWord(plan: Plan, release: Release, word: string): string {
  return word === 'last good' && !(plan.kind === 'rollback' && release.id === plan.to) ? 'good' : word;
}

function wayOf(plan: Plan): string {
  return plan.from === null && plan.to === null ? '' : `${plan.from ?? 'nothing'} -> ${plan.to ?? 'nothing'}`;
}

function changes(plan: Plan): readonly string[] {
  if (plan.changes.length === 0) return ['no surface changes'];
  const rows = plan.changes.map((change) => [
    change.surface,
    change.now,
    change.after,
    change.what,
    formatDuration(change.estimateMs),
  ]);
  return table([['', 'now', 'after', 'what happens', 'about'], ...rows], 3);
}

function reasons(plan: Plan): readonly string[] {
  const steps = topologicalOrder(plan.steps);
  // What people notice, in the order in which they would: preparation and records are in the details.
  const noticed = steps.filter(
    (step) => actionEntry(step.action)?.live === true && step.surface !== 'unship',
  );
  const order = [
    ...new Set(noticed.map((step) => (step.action === 'web.hold' ? 'hold requests' : step.surface))),
  ];
  const noReturn = steps.findIndex((step) => step.pointOfNoReturn);
  const held = plan.blockedWritesMs > 0 ? `writes held ${formatDuration(plan.blockedWritesMs)}, ` : '';
  const border = steps[noReturn];
  return [
    ...(plan.why.length === 0 ? [] : labelled('Why', ...plan.why)),
    ...(order.length === 0 ? [] : labelled('Order', order.join(', '))),
    ...labelled('Time', `${held}all done ${formatDuration(plan.estimateMs)}`),
    ...labelled('Data', dataText(plan.risk, plan.rowsLost, plan.lossUncertain)),
    ...(border === undefined
      ? []
      : labelled('No return', `step ${noReturn + 1} of ${steps.length}, ${border.title}; before it: cancel`)),
    ...otherWays(plan.options),
  ];
}

function dataText(risk: DataAtRisk, rowsLost: number, uncertain: boolean): string {
  const sum = (pick: 'kept' | 'archived' | 'editedSince'): number =>
    risk.tables.reduce((total, one) => total + one[pick], 0);
  const edited = sum('editedSince');
  const withheld = risk.tables.filter((one) => (one.withheld ?? 0) > 0);
  const lines = [
    [
      `${plural(sum('kept'), 'row')} kept, ${count(sum('archived'))} archived`,
      ...(rowsLost > 0 || uncertain || withheld.length === 0 ? [lostWord(rowsLost, !uncertain)] : []),
      ...(withheld.length > 0 ? [`${count(withheldRows(risk))} NOT given back`] : []),
    ].join(', '),
  ];
  if (rowsLost > 0) lines.push(`lost: ${lostTables(risk)}`);
  if (withheld.length > 0) {
    const tables = withheld.map((one) => `${one.table} ${count(one.withheld ?? 0)}`).join(', ');
    lines.push(`not given back, kept in the record: ${tables}`);
  }
  if (edited > 0) lines.push(`${plural(edited, 'row')} edited since keep the application's value`);
  if (risk.dropped.length > 0) lines.push(`archived, then dropped: ${risk.dropped.join(', ')}`);
  return lines.join('\n');
}

/** Recorded rows that stay in the record. */
function withheldRows(risk: DataAtRisk): number {
  return risk.tables.reduce((total, one) => total + (one.withheld ?? 0), 0);
}

function lostTables(risk: DataAtRisk): string {
  return risk.tables
    .filter((one) => one.lost > 0)
    .map((one) => `${one.table} ${count(one.lost)}`)
    .join(', ');
}

function lostWord(rows: number, exact: boolean): string {
  if (exact) return rows === 0 ? '0 lost' : `LOSES ${count(rows)}`;
  return rows === 0 ? 'LOSES rows that could not be counted' : `LOSES at least ${count(rows)}`;
}

/** `0 rows lost`, `at least 12 rows lost`. */
export function lost(rows: number, exact: boolean): string {
  if (exact) return `${plural(rows, 'row')} lost`;
  return rows === 0 ? 'loss could not be counted' : `at least ${plural(rows, 'row')} lost`;
}

function otherWays(options: readonly StrategyOption[]): readonly string[] {
  const others = options.filter((option) => option.verdict !== 'chosen');
  const several = new Set(options.map((option) => option.surface)).size > 1;
  const names = others.map((option) => `${several ? `${option.surface}: ` : ''}${option.strategy}`);
  const indent = Math.max(0, ...names.map((name) => name.length)) + 2;
  return others.flatMap((option, index) =>
    wrap(optionText(option), width - 10 - indent).map((line, part) => {
      const label = index === 0 && part === 0 ? 'Other' : '';
      const name = part === 0 ? (names[index] ?? '') : '';
      return `${label.padEnd(10)}${name.padEnd(indent)}${line}`;
    }),
  );
}

function optionText(option: StrategyOption): string {
  if (option.verdict === 'impossible') return `impossible: ${option.reason}`;
  const { risk } = option;
  const rows = risk?.tables.reduce((total, one) => total + one.lost, 0) ?? 0;
  const withheld = risk === null ? 0 : withheldRows(risk);
  const stays = withheld > 0 ? `, ${count(withheld)} recorded rows NOT given back` : '';
  const price =
    risk === null
      ? ''
      : rows > 0
        ? `, ${lostWord(rows, risk.exact)} ${rows === 1 ? 'row' : 'rows'}: ${lostTables(risk)}${stays}`
        : withheld > 0 && risk.exact
          ? stays
          : `, ${lostWord(0, risk.exact)}${stays}`;
  return `${formatDuration(option.estimateMs)}${price}${option.reason === '' ? '' : `; ${option.reason}`}`;
}

function detailLines(plan: Plan): readonly string[] {
  const steps = topologicalOrder(plan.steps);
  const rows = steps.map((step, index) => [
    String(index + 1),
    step.id,
    `${step.title}${step.importance === 'best-effort' ? ' (best effort)' : ''}${step.pointOfNoReturn ? ' (no return)' : ''}`,
    formatDuration(step.estimateMs),
  ]);
  const tables = plan.risk.tables.map((one) => [
    one.table,
    count(one.kept),
    count(one.archived),
    count(one.lost),
    count(one.editedSince),
  ]);
  return [
    ...table([['', 'step', 'what happens', 'about'], ...rows], 2),
    ...(tables.length === 0
      ? []
      : ['', ...table([['table', 'kept', 'archived', 'lost', 'edited'], ...tables], 0)]),
  ];
}
