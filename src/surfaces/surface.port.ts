import type { SurfaceFacts } from '../domain/facts.ts';
import type { Json } from '../domain/json.ts';
import type { Release, SurfaceKind } from '../domain/release.ts';
import type { Runtime } from '../domain/runtime.ts';

/** Work that only looks: observing, measuring, validating. */
export interface LookContext {
  readonly runtime: Runtime;
  /** Aborts when the person or the time limit ends the work. */
  readonly signal: AbortSignal;
}

/** Work that changes the world, as part of one step of one run. */
export interface WorkContext extends LookContext {
  /** The same for every attempt at this step, in this and any later process: sinks deduplicate by it. */
  readonly idempotencyKey: string;
  /**
   * The lease's fencing token, growing with every change of holder. Whatever can check it (gateway, feed,
   * migration ledger) refuses work with a lower one than it has seen.
   */
  readonly fence: number;
  /**
   * Rows that a person has agreed to lose in this run, over all its steps; 0 without consent. More than that
   * would be lost: the step throws `loss-exceeds-consent` and changes nothing.
   */
  readonly maximumRowsLost: number;
  /** Tells a watching person how far it is. Costs nothing when nobody watches. */
  progress(text: string): void;
}

/** What `verify` saw, from outside: it goes into the journal and onto the screen. */
export interface Observation {
  readonly observed: string;
}

/**
 * One kind of thing a surface can do. `apply` looks at the world first, so that a second call after a crash
 * does no second effect. `verify` asks the world, never `apply`'s own word, and throws when it isn't so.
 * `undo` gets `undefined` as output when a crash came between the effect and the journal.
 */
export interface ActionHandler<I extends Json = Json, O extends Json = Json> {
  validate(context: LookContext, input: I): Promise<void>;
  apply(context: WorkContext, input: I): Promise<O>;
  verify(context: LookContext, input: I, output: O): Promise<Observation>;
  undo?(context: WorkContext, input: I, output: O | undefined): Promise<void>;
  /** For an action without undo: what can't be taken back. */
  readonly irreversible?: string;
}

/** What `observe` is asked about: the releases that a plan may go to or come from. */
export interface Query {
  /** Newest first. */
  readonly releases: readonly Release[];
  /** The commit that is to be released, when releasing. */
  readonly commit?: string;
  /** Count the rows at risk per strategy; costs time on a large database. */
  readonly countRisk: boolean;
  /** Also tell what the schema is made of, so that two of them can be compared for a person. */
  readonly describeSchema?: boolean;
}

/** A named part of the application, ready to be observed and acted on. */
export interface Surface {
  readonly name: string;
  readonly kind: SurfaceKind;
  observe(context: LookContext, query: Query): Promise<SurfaceFacts>;
  /** From now on work with a lower fence than this is refused. Throws `fenced-out`. */
  raiseFence(context: WorkContext): Promise<void>;
  readonly actions: { readonly [action: string]: ActionHandler };
}
