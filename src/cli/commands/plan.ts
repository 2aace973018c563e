import { shortHash } from '../../domain/plan.ts';
import { planAnswer, planned } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { rollbackRequest } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const request = rollbackRequest(context);
  const application = await context.application();
  const plan = planned(await application.planRollback(request));
  const command = [
    'unship rollback',
    ...(request.to === undefined ? [] : [request.to]),
    ...(request.only === undefined ? [] : [`--only ${request.only.join(',')}`]),
    ...(request.strategy === undefined ? [] : [`--strategy ${request.strategy}`]),
    `--plan ${shortHash(plan.hash)}`,
  ].join(' ');
  return await planAnswer(context, application, plan, command);
}
