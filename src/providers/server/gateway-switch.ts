import { isUnshipError } from '../../domain/errors.ts';
import { askGateway, commandGateway } from '../../gateway/client.ts';
import { askLive, assertAnswers, wrongRelease } from './live.ts';
import {
  drainMsOf,
  gatewayStatus,
  keepGatewayUp,
  type ProcessParts,
  retireProcess,
  startProcess,
  stateOf,
} from './processes.ts';
import type { TrafficSwitch } from './switch.ts';

/** A hold that a living run does not end is ended after so long. */
const longestHoldMs = 10 * 60_000;

/** Traffic goes through the gateway; the switch is one word to it. `port` is where it really listens. */
export function createGatewaySwitch(parts: ProcessParts, host: string, port: number): TrafficSwitch {
  const { options, layout, location } = parts;
  const address = `http://${reachable(host)}:${port}`;
  return {
    address,
    canHold: true,
    look: async (context) => stateOf(layout, await gatewayStatus(parts, context)),
    raiseFence: async ({ fence, signal }) => {
      await commandGateway(location, { command: 'fence', fence, ownerPid: process.pid }, { signal });
    },
    start: async (context, target) => {
      const began = context.runtime.clock.monotonic();
      const { startMs, already } = await startProcess(parts, context, target);
      return already
        ? { startMs: Math.round(context.runtime.clock.monotonic() - began), cold: false }
        : { startMs, cold: true };
    },
    switchTo: async ({ fence, signal }, { release }) => {
      await commandGateway(location, { command: 'switch', fence, release }, { signal });
    },
    verifyLive: async ({ signal }, { release }) => {
      const url = `${address}${options.health ?? '/'}`;
      const answer = await askLive(url, signal);
      if (answer.release !== release) {
        throw wrongRelease(`GET ${url}: ${answer.status} from ${answer.release ?? 'no release'}`, release);
      }
      assertAnswers(url, answer);
      return { observed: `GET ${url}: ${answer.status} from ${release}` };
    },
    hold: async ({ fence, signal, progress }) => {
      const drainMs = drainMsOf(options);
      const { inFlight } = await commandGateway(
        location,
        { command: 'hold', fence, ownerPid: process.pid, drainMs, maxMs: longestHoldMs },
        { signal, timeoutMs: drainMs + 10_000 },
      );
      if (inFlight > 0) progress(`${inFlight} requests were still under way after ${drainMs / 1000} s`);
    },
    resume: async ({ fence, signal }) => {
      await commandGateway(location, { command: 'resume', fence }, { signal });
    },
    retire: (context, { release }, how) => retireProcess(parts, context, release, how),
    keepUp: (context) => keepGatewayUp(parts, context),
    dispose: () => disposeGateway(location.folder),
  };
}

/** Ends a gateway and all it runs, whatever fence it has seen; one that is dead already is fine. */
export async function disposeGateway(folder: string): Promise<void> {
  try {
    const { fence } = await askGateway(folder, { command: 'status' });
    await askGateway(folder, { command: 'shutdown', fence, stopReleases: true }, { timeoutMs: 30_000 });
  } catch (error) {
    if (!isUnshipError(error) || error.slug !== 'gateway-unreachable') throw error;
  }
}

/** A listener on all addresses is reached at this machine's own. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
