import type { Duration } from './duration.ts';
import type { Json } from './json.ts';
import type { SurfaceKind } from './release.ts';
import type { SecretReference } from './secret.ts';

/**
 * The configuration as data: what `unship.config.ts` evaluates to. It is stored with each release, so a
 * rollback works although the bad commit broke the file; it holds references to secrets, never secrets.
 */
export interface ApplicationDefinition {
  readonly name: string;
  readonly environments: { readonly [environment: string]: EnvironmentDefinition };
}

export interface EnvironmentDefinition {
  readonly surfaces: { readonly [surface: string]: SurfaceDefinition };
  /** Asked of the live application after a switch and during the watch. */
  readonly checks?: readonly CheckDefinition[];
  readonly guard?: GuardDefinition;
  readonly notifications?: {
    readonly team?: readonly ChannelDefinition[];
    readonly users?: readonly ChannelDefinition[];
  };
  /** `required` (default): no release whose way back has not been rehearsed on a copy. */
  readonly rehearsal?: 'required' | 'off';
  /** Kinds of runs that wait for somebody else's `unship approve`. Default none. */
  readonly approvals?: readonly ('release' | 'rollback')[];
  /** Where the history is kept. Default: a file in the state folder of this machine. */
  readonly state?: StateDefinition;
}

/** State that several machines share, as `postgres(secret('UNSHIP_STATE_URL'))` of `unship/state` returns it. */
export interface StateDefinition {
  readonly provider: 'postgres';
  readonly options: { readonly url: SecretReference };
}

/** A surface, as its provider's factory returns it: `server({ … })`, `sqlite({ … })`, `postgres({ … })`, `feed({ … })`. */
export interface SurfaceDefinition<O = Json> {
  readonly provider: string;
  readonly kind: SurfaceKind;
  readonly options: O;
}

export interface ChannelDefinition<O = Json> {
  readonly provider: string;
  readonly options: O;
}

export type CheckDefinition =
  | {
      /** Path on the live address of `surface`. */
      readonly http: string;
      /** Name of a web surface; needed only when there are several. */
      readonly surface?: string;
      /** Default 200. */
      readonly status?: number;
      /** The body must contain this text. */
      readonly body?: string;
      /** A slower answer is a failure. Default 5s. */
      readonly within?: Duration;
    }
  | {
      /** Program and arguments; exit code 0 is a pass. No shell. */
      readonly command: readonly string[];
      readonly name?: string;
      /** Default 30s. */
      readonly within?: Duration;
    };

export interface GuardDefinition {
  /** How long a release is watched. Default 10m. */
  readonly bake?: Duration;
  /** Default 5s. */
  readonly every?: Duration;
  /** So many failed looks in a row are a verdict. Default 3. */
  readonly failures?: number;
  /**
   * The desktop release is published once the watch has ended healthy (`after`, the default), or at its start
   * (`during`), where the checks watch it too.
   */
  readonly desktop?: 'after' | 'during';
  /** What follows an unhealthy verdict. Default `page`: people are told and the plan is shown. */
  readonly onUnhealthy?: 'page' | 'rollback';
}
