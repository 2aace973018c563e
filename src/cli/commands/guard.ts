import { formatDuration } from '../../domain/duration.ts';
import type { GuardReport } from '../../domain/report.ts';
import type { Answer, CommandContext } from '../context.ts';
import { labelled, table } from '../output/layout.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  const once = context.options.flag('once') || context.options.flag('dry-run');
  const document = await application.guard({ ...context.runOptions(), once });
  return { exit: document.verdict === 'healthy' ? 0 : 1, document, screen: guardScreen(document) };
}

const words = { pass: 'ok', fail: 'FAIL', unknown: 'warn' } as const;
const endings = {
  healthy: 'is healthy',
  unhealthy: 'is UNHEALTHY',
  inconclusive: 'could not be judged',
} as const;

function guardScreen(report: GuardReport): readonly string[] {
  const rows = report.checks.map((one) => [words[one.verdict], one.check, one.seen, formatDuration(one.ms)]);
  const next = report.verdict === 'unhealthy' ? labelled('Next', 'unship plan') : [];
  const reason = report.reason === undefined ? [] : labelled('Seen', report.reason);
  return [
    `${report.release ?? 'What is live'} ${endings[report.verdict]}.`,
    ...reason,
    ...table(rows, 2),
    ...next,
  ];
}
