import { formatDuration } from '../../domain/duration.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import { Input } from '../input.ts';
import type { ActionHandler, LookContext, Observation, Surface, WorkContext } from '../surface.port.ts';
import type { Retirement, WebPort, WebTarget } from './web.port.ts';

/** A web host as a surface: its port's calls as actions that can be journaled, verified and undone. */
export function webSurface(name: string, port: WebPort): Surface {
  return {
    name,
    kind: 'web',
    observe: (context, query) => port.observe(context, query.releases),
    raiseFence: (context) => port.raiseFence(context),
    actions: webActions(port),
  };
}

function target(input: Input): WebTarget {
  return {
    release: input.release('release'),
    commit: input.text('commit'),
    artifact: input.json('artifact'),
  };
}

function webActions(port: WebPort): { readonly [action: string]: ActionHandler } {
  const nothing = async (): Promise<void> => {};
  const goBack = async (context: WorkContext, previous: Input): Promise<void> => {
    await port.start(context, target(previous));
    await port.switchTo(context, target(previous));
    await port.verifyLive(context, target(previous));
  };
  const requireHold = async (context: LookContext): Promise<Observation> => {
    if (await port.isHolding(context)) return { observed: 'requests wait' };
    throw new UnshipError('hold-lost', {
      happened: 'requests are not being held back',
      done: 'nothing was changed behind it',
    });
  };
  return {
    'web.stage': {
      validate: nothing,
      apply: (context, input) => port.stage(context, target(new Input(input))),
      verify: async (context, input) => {
        const wanted = target(new Input(input));
        const { staged } = await port.inspect(context, wanted);
        if (!staged)
          throw new UnshipError('target-gone', { happened: `the build of ${wanted.release} is not there` });
        return { observed: `built ${wanted.release}` };
      },
      undo: (context, input) => port.unstage(context, target(new Input(input))),
    },
    'web.start': {
      validate: nothing,
      apply: async (context, input) => ({ ...(await port.start(context, target(new Input(input)))) }),
      verify: async (_context, input, output) => ({
        observed: `${new Input(input).release('release')} passed its health check after ${formatDuration(new Input(output).number('startMs'))}`,
      }),
      // What requests wait behind can't be stopped before they go elsewhere: the undo of the hold does both.
      undo: async (context, input) => {
        const read = new Input(input);
        if (!read.flag('held')) await port.retire(context, target(read), 'stop');
      },
    },
    'web.hold': {
      validate: nothing,
      apply: async (context): Promise<Json> => {
        await port.hold(context);
        return null;
      },
      verify: requireHold,
      // By now the schema is back: only now may the code that belongs to it have the requests again.
      undo: async (context, input) => {
        const read = new Input(input);
        const previous = read.inner('previous');
        const brought = read.inner('target');
        if (previous !== null) await goBack(context, previous);
        await port.resume(context);
        if (previous !== null && brought !== null) await port.retire(context, target(brought), 'stop');
      },
    },
    'web.switch': {
      validate: nothing,
      apply: async (context, input): Promise<Json> => {
        await port.switchTo(context, target(new Input(input).inner('target') ?? new Input(null)));
        return null;
      },
      verify: (context, input) =>
        port.verifyLive(context, target(new Input(input).inner('target') ?? new Input(null))),
      undo: async (context, input) => {
        const read = new Input(input);
        // The old code can't run before the schema is back, so requests wait, and the undo of the hold ends it.
        if (read.flag('held')) {
          await port.hold(context);
          // Behind it the schema goes back: an answer alone is no reason to believe that nobody meets it.
          await requireHold(context);
          return;
        }
        const previous = read.inner('previous');
        if (previous !== null) await goBack(context, previous);
      },
    },
    'web.resume': {
      validate: nothing,
      apply: async (context): Promise<Json> => {
        await port.resume(context);
        return null;
      },
      verify: async (context) => {
        if (await port.isHolding(context)) {
          throw new UnshipError('still-held', { happened: 'requests are still being held back' });
        }
        return { observed: 'no request is held back' };
      },
    },
    'web.retire': {
      validate: nothing,
      apply: async (context, input): Promise<Json> => {
        const read = new Input(input);
        const how: Retirement = read.text('how') === 'stop' ? 'stop' : 'keep-warm';
        await port.retire(context, target(read.inner('target') ?? new Input(null)), how);
        return null;
      },
      verify: async (context, input) => {
        const read = new Input(input);
        const retired = target(read.inner('target') ?? new Input(null));
        const { running } = await port.inspect(context, retired);
        if (running && read.text('how') === 'stop') {
          throw new UnshipError('still-running', { happened: `a process of ${retired.release} still runs` });
        }
        return { observed: running ? 'kept warm' : 'stopped' };
      },
    },
    'web.prune': {
      validate: nothing,
      apply: async (context, input) => {
        const protect = new Input(input).texts('protect') as Parameters<WebPort['prune']>[1];
        return { pruned: [...(await port.prune(context, protect))] };
      },
      verify: async (_context, _input, output) => {
        const pruned = new Input(output).texts('pruned');
        return { observed: pruned.length === 0 ? 'nothing to delete' : `deleted ${pruned.join(', ')}` };
      },
    },
  };
}
