import { UnshipError } from '../../domain/errors.ts';
import { shortCommit } from '../../domain/names.ts';
import { confirmOrRefuse } from '../consent.ts';
import type { CommandModule } from '../context.ts';
import { quarantineScreen } from '../output/list-screens.ts';
import { usage } from '../parse.ts';

export const list: CommandModule = {
  async run(context) {
    const entries = await (await context.application()).quarantined();
    return {
      exit: 0,
      document: { schema: 'unship.quarantine/1', entries },
      screen: quarantineScreen(entries),
    };
  },
};

export const lift: CommandModule = {
  async run(context) {
    const commit = context.arguments[0] ?? '';
    const fixedBy = context.options.text('fixed-by');
    if (fixedBy === undefined) {
      throw usage('a quarantine is lifted by the commit that fixes or reverts it', 'add --fixed-by SHA');
    }
    const application = await context.application();
    const schema = 'unship.quarantine-lifted/1';
    if (context.options.flag('dry-run')) {
      return {
        exit: 0,
        document: { schema, commit, fixedBy, lifted: false },
        screen: [`Would: ${commit} may ship again together with ${fixedBy}. Nothing has changed.`],
      };
    }
    await confirmOrRefuse(context, `Let ${commit} ship again?`);
    const answer = await application.liftQuarantine(commit, fixedBy);
    if (answer.lifted) {
      const [bad, fix] = [shortCommit(answer.commit), shortCommit(answer.fixedBy)];
      return {
        exit: 0,
        document: { schema, ...answer },
        screen: [`${bad} may ship again together with ${fix}.`],
      };
    }
    throw new UnshipError('usage-invalid', {
      happened: `${commit} is not quarantined`,
      done: 'nothing',
      next: 'unship quarantine list',
    });
  },
};
