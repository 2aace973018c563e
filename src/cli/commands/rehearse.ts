import type { Answer, CommandContext } from '../context.ts';
import { prepared, preparedScreen, releaseRequest } from './release.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const application = await context.application();
  const ready = prepared(await application.rehearse(releaseRequest(context)));
  const failed = ready.rehearsal !== null && !ready.rehearsal.ok;
  return {
    exit: failed ? 3 : 0,
    document: { schema: 'unship.release/1', ...ready },
    screen: [...preparedScreen(ready), 'Nothing live has changed.'],
  };
}
