import { UnshipError } from '../../src/domain/errors.ts';
import type { WebFacts } from '../../src/domain/facts.ts';
import type { Json } from '../../src/domain/json.ts';
import type { ReleaseId } from '../../src/domain/release.ts';
import type { LookContext, WorkContext } from '../../src/surfaces/surface.port.ts';
import type { WebPort, WebTarget } from '../../src/surfaces/web/web.port.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './process.ts';

/** A web host as it truly is. */
export interface WebTruth {
  /** Commit of each release whose build is there. */
  readonly staged: Map<ReleaseId, string>;
  readonly running: Set<ReleaseId>;
  live: ReleaseId | null;
  /** Who holds requests back. A hold ends by itself soon after its owner has died. */
  heldBy: SimulatedProcess | null;
  fence: number;
}

export interface WebWorld {
  readonly web: WebTruth;
  hasCommit(commit: string): boolean;
  /** Told of every order that a surface lets pass, by the fence it came with. */
  ordered(fence: number): void;
}

function refuseLower(truth: { fence: number }, fence: number): void {
  if (fence < truth.fence) {
    throw new UnshipError('fenced-out', {
      happened: `fence ${truth.fence} was seen, and this run has ${fence}`,
    });
  }
  truth.fence = fence;
}

/** One web host of the simulation, as one process reaches it. */
export function simulatedWeb(world: WebWorld, network: Network, process: SimulatedProcess): WebPort {
  const { web } = world;
  const work = async <T>(context: WorkContext, name: string, effect: () => T): Promise<T> =>
    await network.command(process, context.signal, name, () => {
      refuseLower(web, context.fence);
      world.ordered(context.fence);
      return effect();
    });
  const look = async <T>(context: LookContext, question: string, answer: () => T): Promise<T> =>
    await network.ask(process, context.signal, `web ${question}`, answer);
  const mustRun = (release: ReleaseId): void => {
    if (web.running.has(release)) return;
    throw new UnshipError('target-unhealthy', { happened: `${release} is not running` });
  };
  return {
    address: null,
    observe: async (context, releases): Promise<WebFacts> =>
      await look(context, 'facts', () => ({
        kind: 'web',
        live: web.live,
        canHold: true,
        releases: Object.fromEntries(
          releases.flatMap(({ surfaces: { web: part } }) => {
            if (part === undefined) return [];
            const readiness = web.running.has(part.since)
              ? 'warm'
              : web.staged.has(part.since)
                ? 'on-disk'
                : world.hasCommit(part.commit)
                  ? 'rebuildable'
                  : 'gone';
            return [[part.since, { readiness } as const]];
          }),
        ),
        measurements: { startMs: 100, buildMs: 1000, freeDiskBytes: 1e9 },
      })),
    raiseFence: async (context) => await work(context, 'web.fence', () => {}),
    stage: async (context, { release, commit }): Promise<Json> =>
      await work(context, 'web.stage', () => {
        if (!world.hasCommit(commit)) throw new UnshipError('commit-gone', { happened: `${commit} is gone` });
        web.staged.set(release, commit);
        return { folder: release };
      }),
    unstage: async (context, { release }) =>
      await work(context, 'web.unstage', () => {
        if (web.live === release) return;
        web.running.delete(release);
        web.staged.delete(release);
      }),
    start: async (context, { release, commit }) =>
      await work(context, 'web.start', () => {
        if (!web.staged.has(release)) web.staged.set(release, commit);
        web.running.add(release);
        return { startMs: 100 };
      }),
    switchTo: async (context, { release }) =>
      await work(context, 'web.switch', () => {
        mustRun(release);
        web.live = release;
        web.heldBy = null;
      }),
    verifyLive: async (context, { release }) => {
      // Whoever asks the live address while requests are held back gets no answer.
      const live = await look(context, 'live', () => (web.heldBy === null ? web.live : null));
      if (live === release) return { observed: `answered by ${release}` };
      throw new UnshipError('wrong-release-live', {
        happened: `answered by ${live ?? 'nobody'}, not by ${release}`,
      });
    },
    inspect: async (context, { release }) =>
      await look(context, `inspect ${release}`, () => ({
        staged: web.staged.has(release),
        running: web.running.has(release),
      })),
    isHolding: async (context) => await look(context, 'holding', () => web.heldBy !== null),
    hold: async (context) =>
      await work(context, 'web.hold', () => {
        web.heldBy = process;
      }),
    resume: async (context) =>
      await work(context, 'web.resume', () => {
        web.heldBy = null;
      }),
    retire: async (context, { release }: WebTarget, how) =>
      await work(context, 'web.retire', () => {
        if (web.live === release)
          throw new UnshipError('target-unhealthy', { happened: `${release} serves, and can't be retired` });
        if (how === 'stop') web.running.delete(release);
      }),
    prune: async () => [],
    keepUp: async () => false,
    shutDown: async () => {},
    coverLogs: async () => {},
    openBuilds: async () => null,
    rehearsal: async () => {
      throw new Error('nothing is rehearsed in the simulation');
    },
  };
}
