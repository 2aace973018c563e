import { carryOut, planned } from '../carry-out.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { CommandModule } from '../context.ts';

export const start: CommandModule = {
  async run(context) {
    const application = await context.application();
    const plan = planned(await application.planServe());
    return await carryOut(context, application, plan, 'Bring it up?');
  },
};

export const stop: CommandModule = {
  async run(context) {
    const application = await context.application();
    const { name, environment } = application;
    const document = { schema: 'unship.stopped/1', application: name, environment };
    if (context.options.flag('dry-run')) {
      const screen = ['Would end the gateway and every release process. Nothing has changed.'];
      return { exit: 0, document: { ...document, stopped: false }, screen };
    }
    await confirmOrRefuse(context, `End what serves ${name} ${environment} on this machine?`);
    await application.stopServing({ ...context.runOptions(), takeOver: context.options.flag('take-over') });
    const screen = [`${name} ${environment} serves no more on this machine. Next: unship serve`];
    return { exit: 0, document: { ...document, stopped: true }, screen };
  },
};
