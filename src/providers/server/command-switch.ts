import { basicEnvironment, type CommandResult, runCommand } from '../../builds/command.ts';
import { type Command, commandLine } from '../../domain/command.ts';
import { UnshipError } from '../../domain/errors.ts';
import { isReleaseId, type ReleaseId } from '../../domain/release.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { WebTarget } from '../../surfaces/web/web.port.ts';
import { passFence } from './fence.ts';
import { disposeGateway } from './gateway-switch.ts';
import { stagedName, surfaceFolder } from './layout.ts';
import { askLive, assertAnswers, wrongRelease } from './live.ts';
import {
  gatewayStatus,
  keepGatewayUp,
  type ProcessParts,
  retireProcess,
  startProcess,
  stateOf,
} from './processes.ts';
import type { TrafficSwitch } from './switch.ts';

export interface OwnCommands {
  readonly activate: Command;
  readonly live: Command;
}

const commandWithinMs = 60_000;

/** The operator's own commands decide who serves; with `start` configured, the process is supervised here. */
export function createCommandSwitch(
  parts: ProcessParts,
  commands: OwnCommands,
  url: string | null,
): TrafficSwitch {
  const { options, environment, layout, location } = parts;
  const supervised = options.start !== undefined;
  const run = (
    command: Command,
    context: LookContext,
    more: { [name: string]: string },
  ): Promise<CommandResult> =>
    runCommand(commandLine(command), {
      folder: environment.root,
      environment: { ...basicEnvironment(), ...options.environment, ...more },
      withinMs: commandWithinMs,
      signal: context.signal,
      maskInto: environment.maskInto,
    });
  const live = async (context: LookContext): Promise<ReleaseId | null> => {
    const result = await run(commands.live, context, {});
    if (result.failure !== null) throw failed('live', result, 'nothing was changed');
    const said = result.stdout.trim();
    return isReleaseId(said) ? said : null;
  };
  const status = (context: LookContext) =>
    supervised ? gatewayStatus(parts, context) : Promise.resolve(null);
  const variables = async (context: LookContext, target: WebTarget): Promise<{ [name: string]: string }> => {
    const port = (await status(context))?.releases[target.release]?.port;
    return {
      UNSHIP_RELEASE: target.release,
      UNSHIP_COMMIT: target.commit,
      UNSHIP_FOLDER: surfaceFolder(layout, stagedName(target), options),
      ...(port === undefined ? {} : { UNSHIP_PORT: String(port) }),
    };
  };
  const unsupported = (): Promise<never> =>
    Promise.reject(
      new UnshipError('hold-unsupported', { happened: 'traffic is switched by commands of your own' }),
    );
  return {
    address: url,
    canHold: false,
    look: async (context) => {
      const [found, said] = await Promise.all([status(context), live(context).catch(() => null)]);
      return { ...stateOf(layout, found), live: said };
    },
    raiseFence: ({ fence }) => passFence(layout, fence),
    start: async (context, target) => {
      if (!supervised) return { startMs: 0, cold: false };
      const { startMs, already } = await startProcess(parts, context, target);
      return { startMs, cold: !already };
    },
    switchTo: async (context, target) => {
      await passFence(layout, context.fence);
      if ((await live(context)) === target.release) return;
      const result = await run(commands.activate, context, await variables(context, target));
      if (result.failure !== null)
        throw failed('activate', result, 'the switch may or may not have been made');
    },
    verifyLive: async (context, target) => {
      const said = await live(context);
      if (said !== target.release)
        throw wrongRelease(`the live command says ${said ?? 'nothing'}`, target.release);
      if (url === null) return { observed: `the live command says ${said}` };
      const answer = await askLive(`${url}${options.health ?? '/'}`, context.signal);
      assertAnswers(url, answer);
      return { observed: `the live command says ${said}; GET ${url}: ${answer.status}` };
    },
    hold: unsupported,
    resume: unsupported,
    retire: async (context, target, how) => {
      if (!supervised) return;
      // The gateway does not know who serves here, so it can't refuse by itself.
      if ((await live(context)) === target.release) {
        throw new UnshipError('still-serving', {
          happened: `${target.release} serves`,
          done: 'it was left running',
        });
      }
      await retireProcess(parts, context, target.release, how);
    },
    keepUp: async (context) => supervised && (await keepGatewayUp(parts, context)),
    dispose: () => disposeGateway(location.folder),
  };
}

function failed(which: string, { failure, tail }: CommandResult, done: string): UnshipError {
  return new UnshipError('command-failed', {
    happened: `the ${which} command failed: ${failure}\n${tail}`,
    done,
  });
}
