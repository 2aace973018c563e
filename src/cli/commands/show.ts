import type { Answer, CommandContext } from '../context.ts';
import { showScreen } from '../output/list-screens.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const document = await (await context.application()).show(context.arguments[0] ?? '');
  return { exit: 0, document, screen: showScreen(document) };
}
