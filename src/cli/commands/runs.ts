import type { Answer, CommandContext } from '../context.ts';
import { runsScreen } from '../output/list-screens.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const limit = context.options.count('limit', 20);
  const runs = await (await context.application()).runs(limit);
  return { exit: 0, document: { schema: 'unship.runs/1', runs }, screen: runsScreen(runs) };
}
