import { confirmOrRefuse } from '../consent.ts';
import type { Answer, CommandContext } from '../context.ts';
import { runNumber } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const number = runNumber(context) ?? 0;
  const step = context.arguments[1];
  const application = await context.application();
  const what = step === undefined ? `run ${number}` : `${step} of run ${number}`;
  if (context.options.flag('dry-run')) {
    const document = { schema: 'unship.dry-run/1', would: 'approve', run: number };
    return { exit: 0, document, screen: [`Would approve ${what}. Nothing has changed.`] };
  }
  await confirmOrRefuse(context, `Approve ${what}?`);
  const first = await application.approve(number, step);
  return {
    exit: first ? 0 : 3,
    document: { schema: 'unship.approval/1', run: number, step: step ?? null, approved: first },
    screen: [
      first ? `Approved ${what}.` : `Somebody's word on ${what} was there first; nothing has changed.`,
    ],
  };
}
