import type { OpenRequest } from '../domain/application.ts';
import type { EnvironmentDefinition } from '../domain/definition.ts';
import type { Policy } from '../domain/planner/request.ts';
import type { Release } from '../domain/release.ts';
import type { Runtime } from '../domain/runtime.ts';
import type { Check } from '../guard/check.port.ts';
import type { Channel } from '../incident/communication.port.ts';
import type { LeaseOwner, Store } from '../store/store.port.ts';
import type { DatabasePort } from '../surfaces/database/database.port.ts';
import type { DesktopPort } from '../surfaces/desktop/desktop.port.ts';
import type { Source } from '../surfaces/source.port.ts';
import type { Surface } from '../surfaces/surface.port.ts';
import type { WebPort } from '../surfaces/web/web.port.ts';
import type { DraftFolder } from './draft-folder.ts';

/** The ports of one environment by surface name, live or on a copy, and the surfaces made of them. */
export interface Ports {
  readonly webs: ReadonlyMap<string, WebPort>;
  readonly databases: ReadonlyMap<string, DatabasePort>;
  readonly desktops: ReadonlyMap<string, DesktopPort>;
  readonly surfaces: ReadonlyMap<string, Surface>;
}

/** Everything one opened application is made of. */
export interface Parts extends Ports {
  readonly request: OpenRequest;
  readonly definition: EnvironmentDefinition;
  readonly policy: Policy;
  readonly runtime: Runtime;
  readonly store: Store;
  readonly source: Source;
  readonly owner: LeaseOwner;
  /** Null where it can't be told from here. */
  isOwnerAlive(owner: LeaseOwner): boolean | null;
  readonly channels: readonly Channel[];
  readonly drafts: DraftFolder;
  /** Releases that are being prepared and not stored yet, by id. */
  readonly plannedReleases: Map<string, Release>;
  /** The configured checks against the given web surfaces: live ones, or those of a rehearsal. */
  checks(webs: ReadonlyMap<string, WebPort>): Promise<readonly Check[]>;
}
