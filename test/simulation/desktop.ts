import { UnshipError } from '../../src/domain/errors.ts';
import type { DesktopFacts } from '../../src/domain/facts.ts';
import type { Manifest } from '../../src/providers/feed/manifest.ts';
import {
  emptyState,
  type FeedState,
  halted,
  published,
  pulled,
  unhalted,
  unpulled,
} from '../../src/providers/feed/offer.ts';
import type { DesktopPort } from '../../src/surfaces/desktop/desktop.port.ts';
import type { LookContext, WorkContext } from '../../src/surfaces/surface.port.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './process.ts';

/** A feed of desktop releases as it truly is: the state of the real one, without its files. */
export interface DesktopTruth {
  state: FeedState;
  readonly staged: Map<string, string>;
  standby: { readonly version: string; readonly commit: string } | null;
}

export function publishedFirst(version: string, commit: string): FeedState {
  return published(emptyState, manifestOf(version, commit));
}

function manifestOf(version: string, commit: string): Manifest {
  return { version, commit, files: [], feeds: {} };
}

export interface DesktopWorld {
  readonly desktop: DesktopTruth;
  /** Version that the code of a commit says it has; null when the commit is not known. */
  desktopVersionAt(commit: string): string | null;
  ordered(fence: number): void;
}

/** One feed of the simulation, as one process reaches it. */
export function simulatedDesktop(
  world: DesktopWorld,
  network: Network,
  process: SimulatedProcess,
): DesktopPort {
  const { desktop } = world;
  const work = async <T>(context: WorkContext, name: string, effect: () => T): Promise<T> =>
    await network.command(process, context.signal, name, () => {
      const { fence } = desktop.state;
      if (context.fence < fence) {
        throw new UnshipError('fenced-out', {
          happened: `fence ${fence} was seen, and this run has ${context.fence}`,
        });
      }
      desktop.state = { ...desktop.state, fence: context.fence };
      world.ordered(context.fence);
      return effect();
    });
  const change = async (
    context: WorkContext,
    name: string,
    transition: (state: FeedState) => FeedState,
  ): Promise<void> =>
    await work(context, name, () => {
      desktop.state = transition(desktop.state);
    });
  const look = async <T>(context: LookContext, question: string, answer: () => T): Promise<T> =>
    await network.ask(process, context.signal, `desktop ${question}`, answer);
  return {
    observe: async (context, query): Promise<DesktopFacts> =>
      await look(context, `facts ${query.commit ?? ''}`, () => ({
        kind: 'desktop',
        offered: desktop.state.offered,
        versions: Object.fromEntries(
          Object.entries(desktop.state.versions).map(([version, { status, manifest }]) => [
            version,
            { status: version === desktop.state.offered ? 'offered' : status, commit: manifest.commit },
          ]),
        ),
        atCommit: query.commit === undefined ? null : world.desktopVersionAt(query.commit),
        standby: desktop.standby,
        measurements: { clients: {} },
      })),
    raiseFence: async (context) => await work(context, 'desktop.fence', () => {}),
    versionAt: async (_context, commit) => world.desktopVersionAt(commit),
    stage: async (context, { version, commit }) =>
      await work(context, 'desktop.stage', () => {
        desktop.staged.set(version, commit);
        return { version };
      }),
    verifyStaged: async (context, { version }) =>
      await look(context, `staged ${version}`, () => {
        if (desktop.staged.has(version)) return { observed: `${version} is whole` };
        throw new UnshipError('artifact-invalid', { happened: `${version} was not taken in` });
      }),
    unstage: async (context, { version }) =>
      await work(context, 'desktop.unstage', () => {
        if (desktop.state.versions[version] === undefined) desktop.staged.delete(version);
      }),
    publish: async (context, { version, commit }) =>
      await change(context, 'desktop.publish', (state) => {
        const status = state.versions[version]?.status ?? 'published';
        if (!desktop.staged.has(version) || status !== 'published')
          throw new UnshipError('artifact-invalid', { happened: `${version} can't be published` });
        return published(state, manifestOf(version, commit));
      }),
    halt: async (context, version) =>
      await change(context, 'desktop.halt', (state) => halted(state, version, () => true)),
    unhalt: async (context, version) =>
      await change(context, 'desktop.unhalt', (state) => unhalted(state, version)),
    pull: async (context, version, to) =>
      await change(context, 'desktop.pull', (state) => pulled(state, version, to)),
    unpull: async (context, version) =>
      await change(context, 'desktop.unpull', (state) => unpulled(state, version)),
    addStandby: async () => {
      throw new Error('nothing is handed over in the simulation');
    },
    standbyProblems: async () => [],
    openBuilds: async () => null,
    publishStandby: async (context, version) =>
      await change(context, 'desktop.publish-standby', (state) => {
        const commit = state.versions[version]?.manifest.commit ?? desktop.standby?.commit;
        if (commit === undefined)
          throw new UnshipError('artifact-invalid', { happened: `there is no standby ${version}` });
        desktop.standby = null;
        return published(state, manifestOf(version, commit));
      }),
    verifyOffered: async (context, version) => {
      const offered = await look(context, 'offered', () => desktop.state.offered);
      if (offered === version) return { observed: `offered: ${offered ?? 'nothing'}` };
      throw new UnshipError('feed-mismatch', { happened: `${offered ?? 'nothing'} is offered` });
    },
    rehearsal: async () => {
      throw new Error('nothing is rehearsed in the simulation');
    },
  };
}
