import { carryOut, planned } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const backup = context.arguments[0] ?? '';
  const application = await context.application();
  const plan = planned(await application.planRestore({ backup }));
  return await carryOut(context, application, plan, `Restore ${backup}?`);
}
