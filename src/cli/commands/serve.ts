import { carryOut, planned } from '../carry-out.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { CommandModule } from '../context.ts';

export const start: CommandModule = {
  async run(context) {
    const application = await context.application();
    return await carryOut(context, application, planned(await application.planServe()), 'Bring it up?');
  },
};

export const stop: CommandModule = {
  async run(context) {
    const application = await context.application();
    const dry = context.options.flag('dry-run');
    const document = { schema: 'unship.serve/1', stopped: !dry };
    if (dry)
      return { exit: 0, document, screen: ['Would end gateway and application. Nothing has changed.'] };
    await confirmOrRefuse(context, `Stop serving ${application.name} ${application.environment}?`);
    await application.stopServing(context.runOptions());
    return {
      exit: 0,
      document,
      screen: ['Gateway and application have ended. unship serve brings them back.'],
    };
  },
};
