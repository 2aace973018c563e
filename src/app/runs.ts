import type { ExecuteOptions, RunOptions } from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import { shortHash } from '../domain/plan.ts';
import type { Release } from '../domain/release.ts';
import type { RunResult } from '../domain/report.ts';
import { endedStatuses, foldRun, isPastNoReturn, type RunSummary } from '../domain/run.ts';
import { assertRegressionAccepted, regressionOf, securityFixesLost } from '../domain/security-fix.ts';
import { type BegunRun, type DriveOptions, Engine, type RunOutcome } from '../engine/engine.ts';
import type { Session } from '../engine/session.ts';
import type { Lease, LeaseMode, Store } from '../store/store.port.ts';
import { fenceOff } from './fence-off.ts';
import { Leases } from './leases.ts';
import { ownHandler } from './own-actions.ts';
import type { Parts } from './parts.ts';
import { runEventTranslator } from './run-events.ts';
import { runResult } from './run-result.ts';
import { placeHere, requireHere } from './surface-places.ts';

/** How far a plan may lie back and still be run without looking again, in ms, if no run came between. */
const freshForMs = 3000;

/** A plan with the means to make it again: at run time the world is looked at once more. */
export interface MadePlan {
  readonly plan: Plan;
  readonly madeAt: number;
  /** Fence of the last lease when the facts were observed; null while somebody held it, and may have changed them. */
  readonly fence: number | null;
  remake(): Promise<Plan>;
  /** Rows that would be lost as this plan was shown before; undefined when it never was. */
  readonly shownBefore: number | undefined;
  /** The release that the plan brings; it is recorded with the run. */
  readonly release?: Release;
}

/** Why somebody does it is no part of what is done: the plan keeps its hash. */
function withReason(plan: Plan, reason: string | undefined): Plan {
  if (reason === undefined) return plan;
  const steps = plan.steps.map((step) =>
    step.action === 'unship.record-rollback'
      ? { ...step, input: { ...(step.input as { readonly [key: string]: Json }), reason } }
      : step,
  );
  return { ...plan, reason, steps };
}

function surfacesOf({ steps }: Plan): ReadonlySet<string> {
  return new Set(steps.map(({ surface }) => surface));
}

/** Starts, resumes and ends runs under the lease of this environment. */
export class Runs {
  readonly #parts: Parts;
  readonly #engine: Engine;
  readonly #leases: Leases;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#leases = new Leases(parts);
    this.#engine = new Engine({
      store: parts.store,
      runtime: parts.runtime,
      handler: (step, run) =>
        step.surface === 'unship'
          ? ownHandler(parts, step, run)
          : parts.surfaces.get(step.surface)?.actions[step.action],
      undone: async (plan, fence) => await this.#forgetPending(plan, fence),
      fenceOff: async (plan, fence) => await fenceOff(parts, fence, surfacesOf(plan)),
    });
  }

  /** A release that was undone before it was live is none that could be taken back. */
  async #forgetPending(plan: Plan, fence: number): Promise<void> {
    if (plan.kind !== 'release' || plan.to === null) return;
    const release = await this.#parts.store.release(plan.to);
    if (release?.deployment !== 'pending') return;
    await this.#parts.store.saveRelease(fence, { ...release, deployment: 'rolled-back' });
  }

  /** A rollback ends whatever is under way; everything else must not pass it by. */
  async #refuseBesideUnended({ kind }: Plan): Promise<void> {
    if (kind === 'rollback' || kind === 'undo') return;
    const unended = await this.#parts.store.unendedRuns();
    const blocking = unended.find((run) => run.kind !== 'rehearsal');
    if (blocking === undefined) return;
    throw new UnshipError('unfinished-run', {
      happened: `run ${blocking.id} (${blocking.kind}${blocking.to === null ? '' : ` to ${blocking.to}`}) is ${blocking.status}`,
      done: 'nothing',
      next: `unship resume ${blocking.id}, or unship cancel ${blocking.id}`,
    });
  }

  async #supersedeUnended(store: Store, fence: number): Promise<void> {
    for (const run of await store.unendedRuns()) {
      const note = `by ${this.#parts.request.command}`;
      await store.append(fence, run.id, [{ type: 'run', status: 'superseded', note }]);
    }
  }

  /** Made so lately that nothing but another run, which the fence would tell, can have changed it. */
  #isRecent(made: MadePlan): boolean {
    const age = this.#parts.runtime.clock.now() - made.madeAt;
    return age >= 0 && age < freshForMs;
  }

  async #remade(made: MadePlan): Promise<Plan> {
    const now = await made.remake();
    if (now.hash === made.plan.hash) return now;
    throw new UnshipError('plan-stale', {
      happened: `the state is no longer the one of plan ${shortHash(made.plan.hash)}; it would now be ${shortHash(now.hash)}`,
      done: 'nothing',
    });
  }

  /** Consent carries a ceiling: the figure that was on the screen when it was given. */
  async #consent(
    made: MadePlan,
    plan: Plan,
    options: ExecuteOptions,
  ): Promise<{ rowsLost: number; by: string } | null> {
    assertRegressionAccepted(plan, options.acceptsSecurityRegression, this.#parts.request.command);
    if (plan.rowsLost === 0 && !plan.lossUncertain) return null;
    if (options.acceptedLossHash !== plan.hash) {
      throw new UnshipError('consent-missing', {
        happened: `${plan.rowsLost} rows would be lost${plan.lossUncertain ? ', perhaps more' : ''}`,
        done: 'nothing',
        next: `unship plan --details, then repeat with --accept-data-loss=${shortHash(plan.hash)}`,
      });
    }
    const { store, runtime, request } = this.#parts;
    const shown = options.consentedBeforehand === true ? made.shownBefore : undefined;
    const ceiling = shown ?? made.plan.rowsLost;
    if (plan.rowsLost > ceiling) {
      // Whoever repeats the same command has still seen only the old figure.
      await store.rememberPlan(plan.hash, ceiling, runtime.clock.now());
      throw new UnshipError('loss-exceeds-consent', {
        happened: `${plan.rowsLost} rows would be lost now; ${ceiling} were shown`,
        done: 'nothing',
      });
    }
    return { rowsLost: ceiling, by: request.user };
  }

  /** Whether somebody drives runs here now. */
  async isHeld(holder: Lease | undefined, options: RunOptions): Promise<boolean> {
    return await this.#leases.isHeld(holder, options);
  }

  /** Work of a moment that is no run: it holds the lease while it writes. */
  async underLease<T>(work: (fence: number) => Promise<T>): Promise<T> {
    const session = await this.#leases.session('normal', null);
    try {
      return await work(session.fence);
    } finally {
      await session.close();
    }
  }

  /** Carries a plan out, under the lease, if the world is still the one it was made for. */
  async execute(made: MadePlan, options: ExecuteOptions): Promise<RunResult> {
    const { plan } = made;
    const mode: LeaseMode =
      options.takeOver === true
        ? 'take-over'
        : plan.kind === 'rollback' || plan.kind === 'undo'
          ? 'supersede'
          : 'normal';
    await requireHere(this.#parts, plan, options.takeOver);
    const { session, begun } = await this.#takeAndBegin(mode, made, options);
    try {
      await placeHere(this.#parts, plan, session.fence);
      return await this.#drive(begun.plan, options, (drive) => this.#engine.start(begun, session, drive));
    } finally {
      await session.close();
    }
  }

  /** The lease and the run: in one write when the plan is still fresh, else with another look in between. */
  async #takeAndBegin(
    mode: LeaseMode,
    made: MadePlan,
    options: ExecuteOptions,
  ): Promise<{ readonly session: Session; readonly begun: BegunRun }> {
    const { store } = this.#parts;
    const { fence } = made;
    if (fence !== null && this.#isRecent(made)) {
      const consent = await this.#consent(made, made.plan, options);
      const taken = await store.together('begin', async (state) => {
        const session = await this.#leases.take(state, mode, made.plan);
        const isAlone = session.fence === fence + 1 && (await state.unendedRuns()).length === 0;
        if (!isAlone) return { session };
        return { session, begun: await this.#begin(state, session, made, made.plan, consent, options) };
      });
      taken.session.keep();
      if (taken.begun !== undefined) return { session: taken.session, begun: taken.begun };
      return await this.#beginAnew(taken.session, made, options);
    }
    return await this.#beginAnew(await this.#leases.session(mode, made.plan, options), made, options);
  }

  async #beginAnew(
    session: Session,
    made: MadePlan,
    options: ExecuteOptions,
  ): Promise<{ readonly session: Session; readonly begun: BegunRun }> {
    const { store } = this.#parts;
    try {
      await this.#refuseBesideUnended(made.plan);
      await fenceOff(this.#parts, session.fence);
      const plan = await this.#remade(made);
      const consent = await this.#consent(made, plan, options);
      // Both or neither: a release that was ended with nothing in its place would be taken back by nobody.
      const begun = await store.together('begin', async (state) => {
        await this.#supersedeUnended(state, session.fence);
        return await this.#begin(state, session, made, plan, consent, options);
      });
      return { session, begun };
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async #begin(
    store: Store,
    { fence }: Session,
    made: MadePlan,
    plan: Plan,
    consent: { readonly rowsLost: number; readonly by: string } | null,
    options: ExecuteOptions,
  ): Promise<BegunRun> {
    if (made.release !== undefined) await this.#saveConfiguration(store);
    return await this.#engine.begin(store, fence, withReason(plan, options.reason), consent, made.release);
  }

  /** The way back must not depend on a file that a bad commit can break. */
  async #saveConfiguration(store: Store): Promise<void> {
    const { request } = this.#parts;
    await store.saveConfiguration(request.definitionHash, request.definition as unknown as Json);
  }

  /** `isDue`: it goes on because it is due, and stays due where it is interrupted; nobody wanted it paused. */
  async resume(run: RunSummary, options: RunOptions, isDue = false): Promise<RunResult> {
    const { store } = this.#parts;
    const plan = await this.#planOf(run.id);
    await requireHere(this.#parts, plan, options.takeOver);
    const session = await this.#leases.session(
      options.takeOver === true ? 'take-over' : 'normal',
      plan,
      options,
    );
    try {
      await placeHere(this.#parts, plan, session.fence);
      // Whoever drove it before may be frozen, with an order on its way that what comes now would not expect.
      await fenceOff(this.#parts, session.fence, surfacesOf(plan));
      const result = await this.#drive(plan, options, (drive) => this.#engine.resume(run.id, session, drive));
      if (isDue && (await store.run(run.id))?.status === 'paused') {
        await store.append(session.fence, run.id, [{ type: 'run', status: run.status, note: 'stays due' }]);
      }
      return result;
    } finally {
      await session.close();
    }
  }

  /** Asks the run to end; where no process drives it, this one undoes it. */
  async cancel(run: RunSummary, options: RunOptions): Promise<RunResult> {
    const { store, runtime } = this.#parts;
    const plan = await this.#planOf(run.id);
    const state = foldRun(plan, await store.journal(run.id));
    if (isPastNoReturn(plan, state)) {
      throw new UnshipError('past-no-return', {
        happened: `run ${run.id} is past its point of no return`,
        done: 'nothing',
      });
    }
    await this.#requireWhole(run);
    await this.#requireNoRegression(plan, options);
    await store.signal({
      run: run.id,
      name: 'cancel',
      payload: this.#parts.request.user,
      at: runtime.clock.now(),
    });
    while (!options.signal.aborted) {
      const summary = await store.run(run.id);
      if (summary !== undefined && endedStatuses.has(summary.status)) break;
      const holder = await store.lease();
      const driven = holder?.run === run.id && (await this.#leases.isHeld(holder, options));
      if (!driven) return await this.resume(run, options);
      await runtime.clock.sleep(200, options.signal);
    }
    return await this.report(run.id);
  }

  /**
   * What took over from a run that was half-way begins there, and undone it would end there, where nobody would go on
   * from: records would say one thing and servers another. A run is superseded only by the one that follows it.
   */
  async #requireWhole({ id, kind }: RunSummary): Promise<void> {
    const runs = await this.#parts.store.runs(50);
    const before = runs.find((run) => run.id < id && run.kind !== 'rehearsal');
    if (before?.status !== 'superseded' || kind === 'rehearsal') return;
    throw new UnshipError('past-no-return', {
      happened: `run ${id} took over from run ${before.id} (${before.kind}), which was half-way`,
      done: 'nothing',
      next: `unship resume ${id}; once it has ended, unship undo`,
    });
  }

  /** Undoing a release that serves takes back what it fixed, as a rollback would. */
  async #requireNoRegression(plan: Plan, options: RunOptions): Promise<void> {
    const { store, request } = this.#parts;
    if (plan.kind !== 'release' || plan.from === null || plan.to === null) return;
    const [before, release] = [await store.release(plan.from), await store.release(plan.to)];
    if (before === undefined || release?.deployment !== 'live') return;
    const lost = regressionOf(securityFixesLost(release, before));
    const back = { ...plan, from: release.id, to: before.id, ...lost };
    assertRegressionAccepted(back, options.acceptsSecurityRegression, request.command);
  }

  /** The result of a run as its journal tells it now. */
  async report(run: number): Promise<RunResult> {
    const plan = await this.#planOf(run);
    const entries = await this.#parts.store.journal(run);
    const state = foldRun(plan, entries);
    const ms = Math.max(0, (entries.at(-1)?.at ?? 0) - (entries[0]?.at ?? 0));
    return await runResult(this.#parts, plan, state, { run, status: state.status }, ms);
  }

  async #planOf(run: number): Promise<Plan> {
    const plan = await this.#parts.store.plan(run);
    if (plan !== undefined) return plan;
    throw new UnshipError('unknown-run', { happened: `there is no run ${run}` });
  }

  async #drive(
    plan: Plan,
    options: RunOptions,
    work: (drive: DriveOptions) => Promise<RunOutcome>,
  ): Promise<RunResult> {
    const translate = runEventTranslator(plan, options.onEvent);
    const { clock } = this.#parts.runtime;
    const startedAt = clock.monotonic();
    const outcome = await work({ signal: options.signal, onEvent: translate });
    const state = foldRun(plan, await this.#parts.store.journal(outcome.run));
    const ms = Math.round(clock.monotonic() - startedAt);
    return await runResult(this.#parts, plan, state, outcome, ms);
  }
}
