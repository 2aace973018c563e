import { type Figures, isMeasured, type Report, type Target, type Unmeasured } from './report.ts';

/** The figures of one benchmark as plain text for a terminal. */
export function summary(report: Report): string {
  const lines = rows(report).map(
    ([name, figures]) =>
      `  ${name.padEnd(14)} ${isMeasured(figures) ? figureText(figures) : unmeasuredText(figures)}`,
  );
  const targets = report.targets.map(
    (target) => `  ${target.met ? 'met   ' : 'MISSED'} ${targetText(target)}`,
  );
  return [
    `${report.name}: ${report.rounds} rounds, ${report.tookSeconds} s`,
    ...lines,
    ...(targets.length > 0 ? ['targets', ...targets] : []),
  ].join('\n');
}

/** `RESULTS.md`. */
export function resultsPage(reports: readonly Report[]): string {
  const [first] = reports;
  if (first === undefined) return '';
  const { machine } = first;
  const busy = Math.max(...reports.map((report) => report.machine.loadBefore));
  return `${[
    '# Benchmark results',
    `Written by \`npm run bench\`${first.quick ? ' `-- --quick`: few rounds, a look rather than a measurement' : ''}. Do not edit.`,
    [
      `- Date: ${first.date}`,
      `- Machine: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGb} GB; ${machine.system}`,
      `- Node: ${machine.node}`,
      `- Load average before the benchmarks: at most ${busy}${busy > 1 ? '. **The machine was busy with other work: the times are too long, for everybody**' : ''}`,
    ].join('\n'),
    ...reports.map(section),
  ].join('\n\n')}\n`;
}

function section(report: Report): string {
  return [
    `## ${report.name}`,
    `${report.rounds} rounds, ${report.tookSeconds} s in all.`,
    report.method.map((line) => `- ${line}`).join('\n'),
    figureTable(report),
    ratioText(report),
    targetTable(report.targets),
    Object.entries(report.about)
      .map(([name, text]) => `- **${name}**: ${text}`)
      .join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function rows(report: Report): readonly (readonly [name: string, figures: Figures | Unmeasured])[] {
  return [
    ['ours', report.ours],
    ...(report.oursCold === undefined ? [] : [['oursCold', report.oursCold] as const]),
    ...Object.entries(report.peers),
  ];
}

function unmeasuredText(figures: Unmeasured): string {
  return 'missing' in figures ? `missing: ${figures.missing}` : `failed: ${figures.failed}`;
}

function figureText(figures: Figures): string {
  return Object.entries(figures)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

function figureTable(report: Report): string {
  const all = rows(report);
  const names = [
    ...new Set(
      all.flatMap(([, figures]) =>
        isMeasured(figures) ? Object.keys(figures).filter((name) => typeof figures[name] === 'number') : [],
      ),
    ),
  ];
  const cells = (figures: Figures | Unmeasured): readonly string[] =>
    isMeasured(figures)
      ? names.map((name) => String(figures[name] ?? ''))
      : [unmeasuredText(figures).replaceAll(/[\s|]+/g, ' ')];
  return table(
    ['', ...names],
    all.map(([name, figures]) => [name, ...cells(figures)]),
  );
}

/** In columns, the first to the left and figures to the right, as the formatter of this repository lays them out. */
function table(head: readonly string[], body: readonly (readonly string[])[], textColumns = [0]): string {
  const widths = head.map((name, column) =>
    Math.max(3, name.length, ...body.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        return textColumns.includes(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(' | ')} |`;
  const rule = widths.map((width, column) =>
    textColumns.includes(column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...body.map(line)].join('\n');
}

function ratioText({ ratios }: Report): string {
  const parts = Object.entries(ratios).map(([peer, ratio]) => `${ratio} × ${peer}`);
  return parts.length === 0 ? '' : `Ours, of the first figure: ${parts.join(', ')}.`;
}

function targetTable(targets: readonly Target[]): string {
  if (targets.length === 0) return '';
  return table(
    ['target', 'limit', 'measured', ''],
    targets.map(({ what, limit, measured, unit, met }) => [
      what,
      `${limit} ${unit}`,
      `${measured} ${unit}`,
      met ? 'met' : '**missed**',
    ]),
    [0, 3],
  );
}

function targetText({ what, limit, measured, unit }: Target): string {
  return `${what}: ${measured} ${unit}, limit ${limit} ${unit}`;
}
