import { carryOut, planned } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { rollbackRequest } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const request = rollbackRequest(context);
  const application = await context.application();
  const plan = planned(await application.planRollback(request));
  return await carryOut(context, application, plan, `Roll back to ${plan.to}?`);
}
