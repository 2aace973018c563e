import type { CommandModule } from '../context.ts';
import { incidentsScreen, showScreen } from '../output/list-screens.ts';

export const list: CommandModule = {
  async run(context) {
    const limit = context.options.count('limit', 20);
    const incidents = await (await context.application()).incidents(limit);
    return {
      exit: 0,
      document: { schema: 'unship.incidents/1', incidents },
      screen: incidentsScreen(incidents),
    };
  },
};

export const show: CommandModule = {
  async run(context) {
    // `incident show 12` and `show 12` (a run) must not be confused, so the id says what it is of.
    const id = (context.arguments[0] ?? '').replace(/^incident[ -]?/, '');
    const document = await (await context.application()).show(`incident-${id}`);
    return { exit: 0, document, screen: showScreen(document) };
  },
};
