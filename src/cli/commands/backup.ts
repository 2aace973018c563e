import type { Answer, CommandContext } from '../context.ts';
import { backupsScreen } from '../output/list-screens.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  if (context.options.flag('dry-run')) {
    const document = { schema: 'unship.dry-run/1', would: 'backup' };
    return { exit: 0, document, screen: ['Would back up every database. Nothing has changed.'] };
  }
  const backups = await application.backup(context.runOptions());
  const failed = backups.some((one) => !one.verified);
  return {
    exit: failed ? 1 : 0,
    document: { schema: 'unship.backups/1', backups },
    screen: backupsScreen(backups),
  };
}
