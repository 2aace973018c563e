import type { Answer, CommandContext } from '../context.ts';
import { releasesScreen } from '../output/list-screens.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const limit = context.options.count('limit', 20);
  const releases = await (await context.application()).releases(limit);
  return { exit: 0, document: { schema: 'unship.releases/1', releases }, screen: releasesScreen(releases) };
}
