import type { DoctorReport } from '../../domain/report.ts';
import type { Answer, CommandContext } from '../context.ts';
import { doctorScreen } from '../output/status-screen.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const configuration = await context.configuration();
  const found = await (await context.application()).doctor();
  const document =
    configuration.fallback === undefined ? found : withBrokenFile(found, configuration.fallback);
  return { exit: exitOf(document), document, screen: doctorScreen(document) };
}

/** 3: there is no way back for something. 1: there is, but something is broken. */
function exitOf(report: DoctorReport): number {
  if (report.noWayBack.length > 0) return 3;
  return report.rows.some((row) => row.level === 'FAIL') ? 1 : 0;
}

function withBrokenFile(report: DoctorReport, text: string): DoctorReport {
  const row = { level: 'FAIL', subject: 'config', text, fix: 'mend the line that is named' } as const;
  return { ...report, rows: [row, ...report.rows] };
}
