import type { ExecuteOptions, RunOptions } from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import { shortHash } from '../domain/plan.ts';
import type { Release } from '../domain/release.ts';
import type { RunResult } from '../domain/report.ts';
import { endedStatuses, foldRun, isPastNoReturn, type RunSummary } from '../domain/run.ts';
import { Engine, type RunOutcome } from '../engine/engine.ts';
import { Session } from '../engine/session.ts';
import type { LeaseMode } from '../store/store.port.ts';
import { ownHandler } from './own-actions.ts';
import type { Parts } from './parts.ts';
import { runEventTranslator } from './run-events.ts';
import { runResult } from './run-result.ts';

/** How far a plan may lie back and still be run without looking again, in ms, if no run came between. */
const freshForMs = 3000;

/** A plan with the means to make it again: at run time the world is looked at once more. */
export interface MadePlan {
  readonly plan: Plan;
  readonly madeAt: number;
  /** Fence of the last lease when the facts were observed. */
  readonly fence: number;
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

/** Starts, resumes and ends runs under the lease of this environment. */
export class Runs {
  readonly #parts: Parts;
  readonly #engine: Engine;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#engine = new Engine({
      store: parts.store,
      runtime: parts.runtime,
      handler: (step, run) =>
        step.surface === 'unship'
          ? ownHandler(parts, step, run)
          : parts.surfaces.get(step.surface)?.actions[step.action],
      undone: async (plan, fence) => await this.#forgetPending(plan, fence),
    });
  }

  /** A release that was undone before it was live is none that could be taken back. */
  async #forgetPending(plan: Plan, fence: number): Promise<void> {
    if (plan.kind !== 'release' || plan.to === null) return;
    const release = await this.#parts.store.release(plan.to);
    if (release?.deployment !== 'pending') return;
    await this.#parts.store.saveRelease(fence, { ...release, deployment: 'rolled-back' });
  }

  async #session(mode: LeaseMode, plan: Plan | null): Promise<Session> {
    const { store, runtime, owner } = this.#parts;
    const kind = plan?.kind ?? null;
    const answer = await Session.open({
      store,
      runtime,
      owner,
      mode,
      kind,
      isAlive: this.#parts.isOwnerAlive,
    });
    if (answer.granted) return answer.session;
    const { holder } = answer;
    const since = Math.round((runtime.clock.now() - holder.since) / 1000);
    const run = holder.run === null ? '' : ` (run ${holder.run})`;
    throw new UnshipError('busy', {
      happened: `${holder.owner.user} on ${holder.owner.host} holds ${this.#parts.request.environment} with \`${holder.owner.command}\`${run}, process ${holder.owner.pid}, for ${since} s`,
      done: 'nothing',
      next:
        holder.kind === 'release'
          ? 'wait, or unship rollback, which goes before a release'
          : 'wait for it (unship status --watch), or --take-over if it hangs',
    });
  }

  /** Runs that a new one of this kind has to deal with: a rollback ends them, everything else must not pass them by. */
  async #settleUnended(session: Session, plan: Plan): Promise<void> {
    const unended = (await this.#parts.store.runs(20)).filter((run) => !endedStatuses.has(run.status));
    const decisive = plan.kind === 'rollback' || plan.kind === 'undo';
    const blocking = unended.find((run) => run.kind !== 'rehearsal');
    if (!decisive && blocking !== undefined) {
      throw new UnshipError('unfinished-run', {
        happened: `run ${blocking.id} (${blocking.kind}${blocking.to === null ? '' : ` to ${blocking.to}`}) is ${blocking.status}`,
        done: 'nothing',
        next: `unship resume ${blocking.id}, or unship cancel ${blocking.id}`,
      });
    }
    for (const run of unended) {
      await this.#parts.store.append(session.fence, run.id, {
        type: 'run',
        status: 'superseded',
        note: `by ${this.#parts.request.command}`,
      });
    }
  }

  async #verifiedPlan(made: MadePlan, session: Session): Promise<Plan> {
    const age = this.#parts.runtime.clock.now() - made.madeAt;
    if (session.fence === made.fence + 1 && age >= 0 && age < freshForMs) return made.plan;
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

  /** Work of a moment that is no run: it holds the lease while it writes. */
  async underLease<T>(work: (fence: number) => Promise<T>): Promise<T> {
    const session = await this.#session('normal', null);
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
    const session = await this.#session(mode, plan);
    try {
      const current = withReason(await this.#verifiedPlan(made, session), options.reason);
      const consent = await this.#consent(made, current, options);
      await this.#settleUnended(session, current);
      if (made.release !== undefined) await this.#saveConfiguration();
      return await this.#drive(current, options, (drive) =>
        this.#engine.start(current, session, consent, drive, made.release),
      );
    } finally {
      await session.close();
    }
  }

  /** The way back must not depend on a file that a bad commit can break. */
  async #saveConfiguration(): Promise<void> {
    const { store, request } = this.#parts;
    await store.saveConfiguration(request.definitionHash, request.definition as unknown as Json);
  }

  async resume(run: RunSummary, options: RunOptions): Promise<RunResult> {
    const plan = await this.#planOf(run.id);
    const session = await this.#session(options.takeOver === true ? 'take-over' : 'normal', plan);
    try {
      return await this.#drive(plan, options, (drive) => this.#engine.resume(run.id, session, drive));
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
      const driven =
        holder?.run === run.id &&
        holder.expiresAt > runtime.clock.now() &&
        this.#parts.isOwnerAlive(holder.owner) !== false;
      if (!driven) return await this.resume(run, options);
      await runtime.clock.sleep(200, options.signal);
    }
    return await this.report(run.id);
  }

  /** The result of a run as its journal tells it now. */
  async report(run: number): Promise<RunResult> {
    const plan = await this.#planOf(run);
    const entries = await this.#parts.store.journal(run);
    const state = foldRun(plan, entries);
    const timing = { startedAt: entries[0]?.at ?? 0, endedAt: entries.at(-1)?.at ?? 0 };
    return await runResult(this.#parts, plan, state, { run, status: state.status }, timing);
  }

  async #planOf(run: number): Promise<Plan> {
    const plan = await this.#parts.store.plan(run);
    if (plan !== undefined) return plan;
    throw new UnshipError('unknown-run', { happened: `there is no run ${run}` });
  }

  async #drive(
    plan: Plan,
    options: RunOptions,
    work: (drive: Parameters<Engine['start']>[3]) => Promise<RunOutcome>,
  ): Promise<RunResult> {
    const translate = runEventTranslator(plan, options.onEvent);
    const startedAt = this.#parts.runtime.clock.now();
    const outcome = await work({ signal: options.signal, onEvent: translate });
    const state = foldRun(plan, await this.#parts.store.journal(outcome.run));
    const endedAt = this.#parts.runtime.clock.now();
    return await runResult(this.#parts, plan, state, outcome, { startedAt, endedAt });
  }
}
