import { carryOut, planned } from '../carry-out.ts';
import type { Answer, CommandContext, CommandModule } from '../context.ts';
import { migrationsScreen } from '../output/list-screens.ts';
import { Interrupted } from '../prompt.ts';

export const status: CommandModule = {
  async run(context) {
    const migrations = await (await context.application()).migrations();
    return {
      exit: 0,
      document: { schema: 'unship.migrations/1', migrations },
      screen: migrationsScreen(migrations),
    };
  },
};

export const writeDown: CommandModule = {
  async run(context) {
    const { definition, root, environment } = await context.configuration();
    const [version] = context.arguments;
    const surface = context.options.text('surface');
    // Of one command only, and with PostgreSQL's grammar behind it.
    const { writeDownOf } = await import('../../app/write-down.ts');
    const { writtenDownScreen } = await import('../output/written-down.ts');
    const down = await writeDownOf({
      surfaces: definition.environments[environment]?.surfaces ?? {},
      root,
      processEnvironment: context.host.environment,
      signal: context.signal,
      ...(version === undefined ? {} : { version }),
      ...(surface === undefined ? {} : { surface }),
    }).catch((error: unknown) => {
      throw context.signal.aborted ? new Interrupted() : error;
    });
    return {
      exit: 0,
      document: { schema: 'unship.written-down/1', ...down },
      screen: writtenDownScreen(down),
    };
  },
};

export const up: CommandModule = { run: (context) => migrate(context, 'up', 'Apply the migrations?') };
export const down: CommandModule = {
  run: (context) => migrate(context, 'down', 'Take the migrations back?'),
};

async function migrate(context: CommandContext, direction: 'up' | 'down', question: string): Promise<Answer> {
  const application = await context.application();
  const [to] = context.arguments;
  const surface = context.options.text('surface');
  const plan = planned(
    await application.planMigrations({
      direction,
      ...(to === undefined ? {} : { to }),
      ...(surface === undefined ? {} : { surface }),
    }),
  );
  return await carryOut(context, application, plan, question);
}
