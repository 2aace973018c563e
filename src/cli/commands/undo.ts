import { carryBack } from '../carry-out.ts';
import type { Answer, CommandContext } from '../context.ts';
import { runNumber } from './rollback-request.ts';

export async function run(context: CommandContext): Promise<Answer> {
  const wanted = runNumber(context);
  const application = await context.application();
  const question = wanted === undefined ? 'Undo it?' : `Undo run ${wanted}?`;
  return await carryBack(
    context,
    application,
    () => application.planUndo(wanted),
    () => question,
  );
}
