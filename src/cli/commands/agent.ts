import type { Answer, CommandContext } from '../context.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  context.terminal.note([`Agent of ${application.name} ${application.environment}. Ctrl-C ends it.`]);
  await application.agent(context.runOptions());
  return { exit: 0, document: { schema: 'unship.agent/1', ended: true }, screen: ['The agent has ended.'] };
}
