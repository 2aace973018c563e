import { runAnswer } from '../carry-out.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { Answer, CommandContext } from '../context.ts';
import { runNumber } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const wanted = runNumber(context);
  const application = await context.application();
  const what = wanted === undefined ? 'the run under way' : `run ${wanted}`;
  if (context.options.flag('dry-run')) {
    const screen = [`Would end ${what} and undo what it did. Nothing has changed.`];
    return {
      exit: 0,
      document: { schema: 'unship.dry-run/1', would: 'cancel', run: wanted ?? null },
      screen,
    };
  }
  await confirmOrRefuse(context, `End ${what} and undo what it did?`);
  const options = {
    ...context.runOptions(),
    takeOver: context.options.flag('take-over'),
    acceptsSecurityRegression: context.options.flag('accept-security-regression'),
  };
  const result = await application.cancel(wanted, options);
  const answer = runAnswer(result, 'undone');
  // It had ended before the word reached it: what was asked for did not happen.
  return result.status === 'done' ? { ...answer, exit: 3 } : answer;
}
