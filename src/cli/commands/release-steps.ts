import { refusalError } from '../../domain/refusal-error.ts';
import { runAnswer } from '../carry-out.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { Answer, CommandContext, CommandModule } from '../context.ts';
import { releaseRequest, remember } from './release.ts';

export const begin: CommandModule = {
  async run(context) {
    const application = await context.application();
    if (context.options.flag('dry-run'))
      return would('take a backup, migrate and leave the release open', 'begin');
    await confirmOrRefuse(context, 'Begin a release?');
    const answer = await application.beginRelease(releaseRequest(context));
    if ('refused' in answer) throw refusalError(answer);
    const [newest] = await application.releases(1);
    if (newest !== undefined) await remember(context, application, newest);
    // The run waits for `finish`: that is what was asked for, and CI is to go on to its own deploy.
    return { ...runAnswer(answer), exit: answer.status === 'waiting' || answer.status === 'done' ? 0 : 1 };
  },
};

export const finish: CommandModule = {
  async run(context) {
    const application = await context.application();
    if (context.options.flag('dry-run'))
      return would('verify what is live, record it and watch it', 'finish');
    await confirmOrRefuse(context, 'Finish the release that was begun?');
    return runAnswer(await application.finishRelease(runOptions(context)));
  },
};

export const abort: CommandModule = {
  async run(context) {
    const application = await context.application();
    if (context.options.flag('dry-run')) return would('take back what begin did', 'abort');
    await confirmOrRefuse(context, 'Abort the release that was begun?');
    const result = await application.abortRelease(runOptions(context));
    return runAnswer(result, 'undone');
  },
};

function runOptions(context: CommandContext): ReturnType<CommandContext['runOptions']> {
  return {
    ...context.runOptions(),
    takeOver: context.options.flag('take-over'),
    acceptsSecurityRegression: context.options.flag('accept-security-regression'),
  };
}

function would(text: string, command: string): Answer {
  const document = { schema: 'unship.dry-run/1', would: `release ${command}` };
  return { exit: 0, document, screen: [`Would ${text}. Nothing has changed.`] };
}
