import { resolve } from 'node:path';
import { shortCommit } from '../../domain/names.ts';
import { carryOut, planned } from '../carry-out.ts';
import type { Answer, CommandContext, CommandModule } from '../context.ts';
import { usage } from '../parse.ts';

export const halt: CommandModule = { run: (context) => change(context, 'halt') };
export const pull: CommandModule = { run: (context) => change(context, 'pull') };

export const standby: CommandModule = {
  async run(context) {
    const application = await context.application();
    const [ref] = context.arguments;
    const folder = context.options.text('from');
    const from = folder === undefined ? undefined : resolve(context.cwd, folder);
    const surface = context.options.text('surface');
    if (from === undefined && ref !== undefined)
      throw usage('REF goes with --from FOLDER', 'add --from FOLDER');
    if (from !== undefined && context.options.flag('dry-run')) {
      const document = { schema: 'unship.dry-run/1', would: 'desktop standby', from };
      return { exit: 0, document, screen: [`Would take ${from} in. Nothing has changed.`] };
    }
    const document = await application.prepareStandby(
      {
        ...(surface === undefined ? {} : { surface }),
        ...(from === undefined ? {} : { from }),
        ...(ref === undefined ? {} : { ref }),
      },
      context.runOptions(),
    );
    const { version, commit } = document;
    return {
      exit: 0,
      document,
      screen: [`${document.surface}: ${version} stands by, from ${shortCommit(commit)}.`],
    };
  },
};

function versionRequest(context: CommandContext): { readonly version?: string; readonly surface?: string } {
  const [version] = context.arguments;
  const surface = context.options.text('surface');
  return { ...(version === undefined ? {} : { version }), ...(surface === undefined ? {} : { surface }) };
}

async function change(context: CommandContext, action: 'halt' | 'pull'): Promise<Answer> {
  const application = await context.application();
  const request = versionRequest(context);
  const plan = planned(await application.planDesktop({ action, ...request }));
  const version = request.version ?? 'the offered version';
  return await carryOut(context, application, plan, `${action === 'halt' ? 'Halt' : 'Pull'} ${version}?`);
}
