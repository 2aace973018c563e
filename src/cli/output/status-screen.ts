import { formatDuration } from '../../domain/duration.ts';
import type { DoctorReport, StatusReport } from '../../domain/report.ts';
import { count, labelled, table, width, wrap } from './layout.ts';
import { lost } from './plan-screen.ts';

export function statusScreen(status: StatusReport, now: number): readonly string[] {
  const lines = [...wrap(headline(status, now), width)];
  lines.push(
    ...table(
      status.surfaces.map((one) => [one.surface, one.now, one.text]),
      2,
    ),
  );
  for (const run of status.runs) {
    const way = `${run.from ?? 'nothing'} -> ${run.to ?? 'nothing'}`;
    const since = formatDuration(now - run.startedAt);
    lines.push(...labelled('Run', `${run.id}: ${run.kind} ${way}, ${run.status}, begun ${since} ago`));
  }
  const { holder } = status;
  if (holder !== null) {
    const text = `${holder.user} on ${holder.host}: ${holder.command}, ${formatDuration(now - holder.since)}`;
    lines.push(...labelled('Busy', text));
  }
  const runs = status.runs.length === 0 ? 'Runs none, ' : '';
  const open = status.open.length === 0 ? 'nothing open' : status.open.join(', ');
  const note = status.next.note === undefined ? '' : ` (${status.next.note})`;
  lines.push(
    ...wrap(`${runs}${runs === '' ? 'Open: ' : ''}${open}. Next: ${status.next.command}${note}`, width),
  );
  return lines;
}

const healthWords = { good: 'good', bad: 'UNHEALTHY', unproven: 'unproven' } as const;

function headline(status: StatusReport, now: number): string {
  const where =
    status.environment === 'production' ? status.application : `${status.application} ${status.environment}`;
  if (status.live === null) return `${where}: nothing is released yet.`;
  const { release, health, since } = status.live;
  const { wayBack } = status;
  const back =
    wayBack === null
      ? 'No way back.'
      : `${wayBack.from === release ? 'Way back' : `${wayBack.from} got half-way; way back from it`}: ${wayBack.to}, ${formatDuration(wayBack.estimateMs)}, ${lostShort(wayBack.rowsLost, wayBack.exact)}.`;
  return `${where}: ${release} ${healthWords[health]}, live ${formatDuration(now - since)}. ${back}`;
}

function lostShort(rows: number, exact: boolean): string {
  return exact ? `${count(rows)} lost` : lost(rows, exact);
}

export function doctorScreen(report: DoctorReport): readonly string[] {
  const { noWayBack, surfaces } = report;
  const head =
    noWayBack.length === 0
      ? `There is a way back for ${surfaces === 1 ? 'the surface' : `all ${surfaces} surfaces`}.`
      : `No way back for ${noWayBack.length} of ${surfaces} surface${surfaces === 1 ? '' : 's'}.`;
  return [head, ...doctorRows(report.rows)];
}

export function doctorRows(rows: DoctorReport['rows']): readonly string[] {
  const subject = Math.max(8, ...rows.map((row) => row.subject.length)) + 2;
  const indent = 6 + subject;
  return rows.flatMap((row) => {
    const text = wrap(row.text, width - indent).map((line, index) =>
      index === 0
        ? `${row.level.padEnd(6)}${row.subject.padEnd(subject)}${line}`
        : `${' '.repeat(indent)}${line}`,
    );
    const fix = row.fix === undefined ? [] : wrap(`fix: ${row.fix}`, width - indent);
    return [...text, ...fix.map((line) => `${' '.repeat(indent)}${line}`)];
  });
}
