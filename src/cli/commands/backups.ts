import type { Answer, CommandContext } from '../context.ts';
import { backupsScreen } from '../output/list-screens.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const backups = await (await context.application()).backups();
  return { exit: 0, document: { schema: 'unship.backups/1', backups }, screen: backupsScreen(backups) };
}
