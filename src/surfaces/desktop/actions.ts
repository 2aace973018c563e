import { UnshipError } from '../../domain/errors.ts';
import type { DesktopFacts } from '../../domain/facts.ts';
import type { Json } from '../../domain/json.ts';
import { Input } from '../input.ts';
import type { ActionHandler, LookContext, Surface } from '../surface.port.ts';
import type { DesktopPort, DesktopTarget } from './desktop.port.ts';

/** A desktop feed as a surface. */
export function desktopSurface(name: string, port: DesktopPort): Surface {
  return {
    name,
    kind: 'desktop',
    observe: (context, query) => port.observe(context, query),
    raiseFence: (context) => port.raiseFence(context),
    actions: desktopActions(port),
  };
}

function target(input: Input): DesktopTarget {
  return {
    release: input.release('release'),
    commit: input.text('commit'),
    version: input.text('version'),
    artifact: input.json('artifact'),
  };
}

function desktopActions(port: DesktopPort): { readonly [action: string]: ActionHandler } {
  const nothing = async (): Promise<void> => {};
  const done = async (work: Promise<void>): Promise<Json> => {
    await work;
    return null;
  };
  // What it answers to an order is no reason to believe that clients meet it so.
  const look = (context: LookContext): Promise<DesktopFacts> =>
    port.observe(context, { releases: [], countRisk: false });
  const version = (input: Json): string => new Input(input).text('version');
  return {
    'desktop.stage': {
      validate: nothing,
      apply: (context, input) => port.stage(context, target(new Input(input))),
      verify: (context, input) => port.verifyStaged(context, target(new Input(input))),
      undo: (context, input) => port.unstage(context, target(new Input(input))),
    },
    'desktop.publish': {
      validate: nothing,
      apply: (context, input) => done(port.publish(context, target(new Input(input)))),
      verify: (context, input) => port.verifyOffered(context, version(input)),
      undo: async (context, input) => {
        const previous = new Input(input).optionalText('previous');
        await port.pull(context, version(input), previous);
        await port.verifyOffered(context, previous);
      },
    },
    'desktop.halt': {
      validate: nothing,
      apply: (context, input) => done(port.halt(context, version(input))),
      verify: async (context, input) => {
        const { offered } = await look(context);
        if (offered === version(input)) {
          throw new UnshipError('feed-mismatch', { happened: `${offered} is still offered` });
        }
        return { observed: `${version(input)} halted, ${offered ?? 'nothing'} offered` };
      },
      undo: async (context, input) => {
        await port.unhalt(context, version(input));
        const { versions } = await look(context);
        if (versions[version(input)]?.status === 'halted')
          throw new UnshipError('feed-mismatch', { happened: `${version(input)} is still halted` });
      },
    },
    'desktop.pull': {
      validate: nothing,
      apply: (context, input) =>
        done(port.pull(context, version(input), new Input(input).optionalText('to'))),
      verify: (context, input) => port.verifyOffered(context, new Input(input).optionalText('to')),
      undo: async (context, input) => {
        await port.unpull(context, version(input));
        const { versions } = await look(context);
        // One that the feed has never known was not pulled.
        if (versions[version(input)] !== undefined) await port.verifyOffered(context, version(input));
      },
    },
    'desktop.unpull': {
      validate: nothing,
      apply: (context, input) => done(port.unpull(context, version(input))),
      verify: (context, input) => port.verifyOffered(context, version(input)),
      undo: async (context, input) => {
        const before = new Input(input).optionalText('offered');
        await port.pull(context, version(input), before);
        await port.verifyOffered(context, before);
      },
    },
    'desktop.publish-standby': {
      irreversible: 'clients that have installed it keep it',
      validate: nothing,
      apply: (context, input) => done(port.publishStandby(context, version(input))),
      verify: (context, input) => port.verifyOffered(context, version(input)),
    },
  };
}
