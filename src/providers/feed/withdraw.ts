import { UnshipError } from '../../domain/errors.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { Feed } from './feed.ts';
import { followState, isUsable, placeFiles } from './folder.ts';
import { type FeedState, halted, pulled, unhalted, unpulled } from './offer.ts';
import { publicStateName } from './state.ts';

async function change(
  feed: Feed,
  context: WorkContext,
  transition: (state: FeedState) => FeedState,
): Promise<FeedState> {
  return await feed.store.change(context, transition, (state) =>
    followState(context, feed.folder, state, publicStateName),
  );
}

/** Versions whose files lie in the feed in full size, so that they can be offered at once. */
async function usableVersions(feed: Feed): Promise<ReadonlySet<string>> {
  const usable = new Set<string>();
  for (const [version, { manifest }] of Object.entries((await feed.store.read()).versions)) {
    if (await isUsable(feed.folder, manifest)) usable.add(version);
  }
  return usable;
}

/** Puts back what is missing of a version before it is offered again. Throws `target-gone`. */
async function mend(feed: Feed, context: WorkContext, version: string): Promise<void> {
  const record = (await feed.store.read()).versions[version];
  if (record === undefined) {
    throw new UnshipError('target-gone', { happened: `${version} was never published here` });
  }
  await placeFiles(context, feed.folder, record.manifest, await feed.staging.sources(record.manifest));
}

/**
 * Nothing is read but names and sizes: halting must not wait for anything. What is fallen back to was offered
 * before, and `verifyOffered` reads its bytes.
 */
export async function haltVersion(feed: Feed, context: WorkContext, version: string): Promise<void> {
  const usable = await usableVersions(feed);
  await change(feed, context, (state) => halted(state, version, (other) => usable.has(other)));
}

export async function unhaltVersion(feed: Feed, context: WorkContext, version: string): Promise<void> {
  if ((await feed.store.read()).versions[version]?.status === 'halted') await mend(feed, context, version);
  await change(feed, context, (state) => unhalted(state, version));
}

async function refuseWithdrawn(feed: Feed, version: string): Promise<void> {
  const status = (await feed.store.read()).versions[version]?.status;
  if (status === undefined || status === 'published') return;
  throw new UnshipError('target-gone', {
    happened: `${version} is ${status} itself`,
    done: 'clients are offered nothing',
    next: 'unship plan with another release',
  });
}

/** The bad version goes first, whatever becomes of the good one: should its files be gone, nothing is offered. */
export async function pullVersion(
  feed: Feed,
  context: WorkContext,
  version: string,
  to: string | null,
): Promise<void> {
  if (to !== null) {
    try {
      await refuseWithdrawn(feed, to);
      await mend(feed, context, to);
    } catch (error) {
      await change(feed, context, (state) => pulled(state, version, null));
      throw error;
    }
  }
  await change(feed, context, (state) => pulled(state, version, to));
}

export async function unpullVersion(feed: Feed, context: WorkContext, version: string): Promise<void> {
  await mend(feed, context, version);
  await change(feed, context, (state) => unpulled(state, version));
}
