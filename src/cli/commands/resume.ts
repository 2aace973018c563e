import type { RunResult } from '../../domain/report.ts';
import { runAnswer } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { usage } from '../parse.ts';
import { runNumber } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const wanted = runNumber(context);
  const { options } = context;
  if (options.flag('due') && wanted !== undefined) throw usage('--due takes no run: it takes what is due');
  const application = await context.application();
  const runOptions = { ...context.runOptions(), takeOver: options.flag('take-over') };
  if (options.flag('dry-run')) {
    const status = await application.status();
    const due = status.runs.filter((one) => wanted === undefined || one.id === wanted);
    const screen = due.map((one) => `Would go on with run ${one.id}: ${one.kind}, ${one.status}.`);
    const document = { schema: 'unship.runs/1', runs: due };
    return { exit: 0, document, screen: [...screen, 'Nothing has changed.'] };
  }
  if (!options.flag('due')) return runAnswer(await application.resume(wanted, runOptions));
  return all(await application.resumeDue(runOptions));
}

/** The worst of them decides: cron's mail is to say so. */
function all(results: readonly RunResult[]): Answer {
  const answers = results.map((result) => runAnswer(result));
  const exits = answers.map((answer) => answer.exit).filter((code) => code !== 0);
  const exit = exits.find((code) => code === 1) ?? exits[0] ?? 0;
  return {
    exit,
    document: { schema: 'unship.resumed/1', runs: results },
    screen: results.length === 0 ? ['Nothing is due.'] : answers.flatMap((answer) => answer.screen),
  };
}
