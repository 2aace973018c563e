import { carryBack } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { rollbackRequest } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const request = rollbackRequest(context);
  const application = await context.application();
  return await carryBack(
    context,
    application,
    () => application.planRollback(request),
    (plan) => `Roll back to ${plan.to}?`,
  );
}
