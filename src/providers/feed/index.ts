import { isAbsolute, join } from 'node:path';
import { openBuilds } from '../../builds/build.ts';
import type { Json } from '../../domain/json.ts';
import type { DesktopPort, DesktopTarget } from '../../surfaces/desktop/desktop.port.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { LookContext, Observation } from '../../surfaces/surface.port.ts';
import { checkOffers, folderReader, urlReader } from './client-view.ts';
import { type Feed, makeFeed } from './feed.ts';
import { feedNamesIn, readFeeds } from './folder.ts';
import { observeFeed, versionAtCommit } from './observe.ts';
import { feedNamesOf } from './offer.ts';
import type { FeedOptions } from './options.ts';
import { addStandby, publishStandby, publishTarget } from './publish.ts';
import { disposeRehearsal, layOutRehearsal } from './rehearsal.ts';
import { stageTarget, unstageTarget, verifyStaged } from './stage.ts';
import { findStandbyFolders } from './standby.ts';
import { haltVersion, pullVersion, unhaltVersion, unpullVersion } from './withdraw.ts';

async function verifyOffered(feed: Feed, context: LookContext, version: string | null): Promise<Observation> {
  const state = await feed.store.read();
  const names = new Set([...feedNamesOf(state), ...(await feedNamesIn(feed.folder))]);
  const built = version === null ? undefined : state.versions[version]?.manifest.feeds;
  const present = await readFeeds(feed.folder);
  const expected = new Map<string, string | null>();
  for (const name of [...names].sort()) {
    // A platform that this version was never built for keeps what the state gives it: an older version or none.
    const uncovered = built !== undefined && built[name] === undefined;
    const kept = present[name]?.stagingPercentage === 0 ? null : (present[name]?.version ?? null);
    const allowed = kept !== null && state.versions[kept]?.status === 'published' ? kept : null;
    expected.set(name, uncovered ? allowed : version);
  }
  const { url } = feed.options;
  const reader =
    url === undefined ? folderReader(feed.folder) : urlReader(url, () => context.runtime.ids.random());
  if (version !== null && expected.size === 0) expected.set('latest.yml', version);
  return { observed: await checkOffers(context, reader, expected) };
}

function portOf(feed: Feed): DesktopPort {
  return {
    observe: (context, query) => observeFeed(feed, context, query),
    raiseFence: async (context) => {
      await feed.store.change(context, (state) => state);
    },
    versionAt: (_context, commit) => versionAtCommit(feed, commit),
    stage: (context, target): Promise<Json> => stageTarget(feed, context, target),
    verifyStaged: (context, target) => verifyStaged(feed, context, target),
    unstage: (context, target) => unstageTarget(feed, context, target),
    publish: (context, target: DesktopTarget) => publishTarget(feed, context, target),
    halt: (context, version) => haltVersion(feed, context, version),
    unhalt: (context, version) => unhaltVersion(feed, context, version),
    pull: (context, version, to) => pullVersion(feed, context, version, to),
    unpull: (context, version) => unpullVersion(feed, context, version),
    publishStandby: (context, version) => publishStandby(feed, context, version),
    verifyOffered: (context, version) => verifyOffered(feed, context, version),
    addStandby: (context, standby) => addStandby(feed, context, standby),
    async standbyProblems() {
      return (await findStandbyFolders(feed.environment.root, feed.options.standby)).problems;
    },
    openBuilds: async () =>
      feed.options.build === undefined ? null : openBuilds(feed.options.protectedBranches),
    async rehearsal(folder) {
      const folders = await layOutRehearsal(folder, { folder: feed.folder, state: await feed.store.read() });
      const copy = makeFeed({ ...feed.options, folder: folders.feed }, feed.environment, {
        state: folders.state,
        staging: feed.staging.folder,
        rehearsal: true,
      });
      return { port: portOf(copy), dispose: () => disposeRehearsal(folders) };
    },
  };
}

/**
 * A folder on any static host, as electron-updater's generic provider reads it. Files are replaced whole and
 * never deleted; what may no longer be offered is published as halted.
 */
export function createFeed(options: FeedOptions, environment: ProviderEnvironment): DesktopPort {
  const folder = isAbsolute(options.folder) ? options.folder : join(environment.root, options.folder);
  return portOf(
    makeFeed({ ...options, folder }, environment, {
      state: environment.folder,
      staging: join(environment.folder, 'staged'),
      rehearsal: false,
    }),
  );
}
