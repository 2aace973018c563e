import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { FeedOptions } from './options.ts';
import { Staging } from './staging.ts';
import { FeedStore } from './state.ts';

/** One feed and where its parts lie: what every operation on it is given. */
export interface Feed {
  readonly options: FeedOptions;
  readonly environment: ProviderEnvironment;
  /** Absolute path of the folder that clients read. */
  readonly folder: string;
  readonly store: FeedStore;
  readonly staging: Staging;
  /** A copy: it shares what is staged with the live feed, and must leave that alone. */
  readonly rehearsal: boolean;
}

export function makeFeed(
  options: FeedOptions,
  environment: ProviderEnvironment,
  where: { readonly state: string; readonly staging: string; readonly rehearsal: boolean },
): Feed {
  const { url, ...offline } = options;
  return {
    // Clients of the live address see nothing of a rehearsal.
    options: where.rehearsal || url === undefined ? offline : options,
    environment,
    folder: options.folder,
    store: new FeedStore(where.state, options.folder),
    staging: new Staging(where.staging),
    rehearsal: where.rehearsal,
  };
}
