import type {
  Application,
  ExecuteOptions,
  ReleaseRequest,
  RollbackRequest,
  RunOptions,
  StandbyRequest,
} from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { refusalError } from '../domain/refusal-error.ts';
import { isReleaseId, liveRelease, type QuarantinedCommit, type Release } from '../domain/release.ts';
import type {
  BackupReport,
  DoctorReport,
  GuardReport,
  IncidentReport,
  LiftedQuarantine,
  MigrationReport,
  PreparedRelease,
  RunResult,
  ShowReport,
  StandbyReport,
  StatusReport,
} from '../domain/report.ts';
import { endedStatuses, type RunSummary } from '../domain/run.ts';
import { madeAtRest } from './at-rest.ts';
import type { DirectRequest } from './direct-plans.ts';
import type { DueWork } from './due-runs.ts';
import { rollbackPlan, undoPlan } from './going-back.ts';
import { load } from './loaded-when-needed.ts';
import type { Parts } from './parts.ts';
import type { Releasing } from './releasing.ts';
import { type MadePlan, Runs } from './runs.ts';

/** One application in one environment, open: plans are made here and handed to the engine. */
export class RunningApplication implements Application {
  readonly name: string;
  readonly environment: string;
  readonly #parts: Parts;
  readonly #runs: Runs;
  readonly #made = new WeakMap<Plan, MadePlan>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#runs = new Runs(parts);
    this.name = parts.request.definition.name;
    this.environment = parts.request.environment;
  }

  /**
   * Makes a plan and keeps how it was made, so that it can be made again under the lease. Only what a person is
   * shown is remembered as shown: a status that looks every 2 seconds must not raise what was consented to.
   */
  async #keep(
    make: () => Promise<Plan | Refusal>,
    { release, isShown = true }: { readonly release?: Release; readonly isShown?: boolean } = {},
  ): Promise<Plan | Refusal> {
    const { store } = this.#parts;
    const { answer: plan, fence, madeAt } = await madeAtRest(this.#parts, make, isShown);
    if (isRefusal(plan)) return plan;
    const shownBefore = plan.rowsLost > 0 ? await store.shownRowsLost(plan.hash) : undefined;
    this.#made.set(plan, {
      plan,
      madeAt,
      shownBefore,
      fence,
      remake: async () => {
        const again = await make();
        if (!isRefusal(again)) return again;
        throw new UnshipError('plan-stale', { happened: again.happened, done: 'nothing', next: again.next });
      },
      ...(release === undefined ? {} : { release }),
    });
    // Where nothing is lost there is nothing to consent to, and a rollback need not wait for one write more.
    if (isShown && plan.rowsLost > 0) await store.rememberPlan(plan.hash, plan.rowsLost, madeAt);
    return plan;
  }

  async planRollback(request: RollbackRequest): Promise<Plan | Refusal> {
    return await this.#planRollback(request, true);
  }

  async #planRollback(
    request: RollbackRequest,
    isShown: boolean,
    quarantine = true,
  ): Promise<Plan | Refusal> {
    return await this.#keep(() => rollbackPlan(this.#parts, request, quarantine), { isShown });
  }

  async planUndo(run?: number): Promise<Plan | Refusal> {
    const summary = await this.#finishedRun(run);
    const done = await this.#parts.store.plan(summary.id);
    if (done === undefined || summary.from === null) {
      throw new UnshipError('unknown-run', { happened: `run ${summary.id} has nothing to undo` });
    }
    const { id, from: to } = summary;
    if (summary.kind === 'release') return await this.planRollback({ to, countRisk: true });
    return await this.#keep(() => undoPlan(this.#parts, { run: id, to, done }));
  }

  async #finishedRun(run: number | undefined): Promise<RunSummary> {
    if (run !== undefined) return await this.#run(run);
    const recent = await this.#parts.store.runs(50);
    const found = recent.find((item) => item.kind !== 'rehearsal' && item.status === 'done');
    if (found !== undefined) return found;
    throw new UnshipError('unknown-run', { happened: 'no finished run to undo' });
  }

  async #run(id: number): Promise<RunSummary> {
    const found = await this.#parts.store.run(id);
    if (found !== undefined) return found;
    throw new UnshipError('unknown-run', { happened: `there is no run ${id}` });
  }

  async #direct(request: DirectRequest): Promise<Plan | Refusal> {
    const { directPlan } = await load.directPlans();
    return await directPlan(this.#parts, request);
  }

  async planRestore(request: Parameters<Application['planRestore']>[0]): Promise<Plan | Refusal> {
    await (await load.backupCare()).fetchBackup(this.#parts, request);
    return await this.#keep(() => this.#direct({ kind: 'restore', backup: request.backup }));
  }

  async planMigrations(request: Parameters<Application['planMigrations']>[0]): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'migrations', ...request }));
  }

  async planDesktop(request: Parameters<Application['planDesktop']>[0]): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'desktop', ...request }));
  }

  async #releasing(): Promise<Releasing> {
    const { Releasing } = await load.releasing();
    return new Releasing(this.#parts, {
      keep: (make, release) => this.#keep(make, release === undefined ? {} : { release }),
      execute: (plan, options) => this.execute(plan, options),
    });
  }

  async prepareRelease(request: ReleaseRequest): Promise<PreparedRelease | Refusal> {
    const rehearse = this.#parts.policy.rehearsal === 'required' && !request.dryRun;
    return await (await this.#releasing()).prepare(request, rehearse, 'whole');
  }

  async rehearse(request: ReleaseRequest): Promise<PreparedRelease | Refusal> {
    return await (await this.#releasing()).prepare(request, true, 'whole');
  }

  async execute(plan: Plan, options: ExecuteOptions): Promise<RunResult> {
    const made = this.#made.get(plan);
    if (made === undefined)
      throw new UnshipError('plan-stale', { happened: 'this plan was not made here', done: 'nothing' });
    const result = await this.#runs.execute(made, options);
    return await this.#follow(plan, result, options);
  }

  /** What a run's end brings with it: people are told, and a policy may take the release back at once. */
  async #follow(plan: Plan, result: RunResult, options: RunOptions): Promise<RunResult> {
    const { afterRun } = await load.incident();
    await afterRun(this.#parts, plan, result);
    // A way back has more urgent things to do; the next release, agent or cron job does it.
    if (plan.kind === 'release') await (await load.upkeep()).coverLogs(this.#parts);
    if (plan.kind !== 'release' || result.error?.slug !== 'guard-unhealthy') return result;
    const back = await this.#policyRollback();
    if (back === undefined) {
      await (await load.unfollowed()).markFollowed(this.#parts, result.run);
      return result;
    }
    options.onEvent({
      type: 'note',
      run: result.run,
      text: `rolling back to ${back.to}: the policy says so`,
    });
    const rolledBack = await this.execute(back, { ...options, reason: result.error.happened });
    return { ...rolledBack, error: result.error, notDone: [...rolledBack.notDone] };
  }

  /** What takes an unhealthy release back without asking; undefined where a person has to decide. */
  async #policyRollback(): Promise<Plan | undefined> {
    if (this.#parts.definition.guard?.onUnhealthy !== 'rollback') return undefined;
    const back = await this.planRollback({ countRisk: true });
    // Losing data is never a policy's decision.
    if (isRefusal(back) || back.rowsLost > 0 || back.lossUncertain) return undefined;
    // Nor is bringing a known weakness back.
    return back.securityFixesLost === undefined ? back : undefined;
  }

  async resume(run: number | undefined, options: RunOptions): Promise<RunResult> {
    return await this.#goOn(run === undefined ? await this.#onlyUnended() : await this.#run(run), options);
  }

  async #goOn(summary: RunSummary, options: RunOptions, isDue = false): Promise<RunResult> {
    const plan = await this.#parts.store.plan(summary.id);
    const result = await this.#runs.resume(summary, options, isDue);
    return plan === undefined ? result : await this.#follow(plan, result, options);
  }

  async #onlyUnended(): Promise<RunSummary> {
    const unended = (await this.#parts.store.runs(50)).filter((run) => !endedStatuses.has(run.status));
    const [only, ...others] = unended;
    if (only !== undefined && others.length === 0) return only;
    throw new UnshipError('unknown-run', {
      happened:
        only === undefined
          ? 'every run has ended'
          : `${unended.length} runs have not ended: ${unended.map(({ id }) => id).join(', ')}`,
      done: 'nothing',
      next: only === undefined ? 'unship runs' : 'name one of them',
    });
  }

  #dueWork(options: RunOptions): DueWork {
    return {
      isHeld: (holder) => this.#runs.isHeld(holder, options),
      goOn: (run) => this.#goOn(run, options, true),
      follow: (plan, result) => this.#follow(plan, result, options),
    };
  }

  async resumeDue(options: RunOptions): Promise<readonly RunResult[]> {
    const { resumeDueRuns } = await load.dueRuns();
    const { proveRestores } = await load.backupCare();
    try {
      return await resumeDueRuns(this.#parts, options, this.#dueWork(options));
    } finally {
      await proveRestores(this.#parts, options);
    }
  }

  async cancel(run: number | undefined, options: RunOptions): Promise<RunResult> {
    return await this.#runs.cancel(
      run === undefined ? await this.#onlyUnended() : await this.#run(run),
      options,
    );
  }

  async approve(run: number, step?: string): Promise<boolean> {
    const { store, runtime, request } = this.#parts;
    const { status } = await this.#run(run);
    if (endedStatuses.has(status)) {
      throw new UnshipError('usage-invalid', {
        happened: `run ${run} is ${status} and waits for nothing`,
        done: 'nothing',
        next: `unship show ${run}`,
      });
    }
    const waits = (await store.plan(run))?.steps.filter((item) => item.action === 'unship.approval') ?? [];
    if (!waits.some((item) => step === undefined || item.id === step)) {
      throw new UnshipError('usage-invalid', {
        happened:
          step === undefined
            ? `run ${run} waits for no approval`
            : `run ${run} has no step ${step} to approve`,
        done: 'nothing',
        next: `unship show ${run}`,
      });
    }
    return await store.signal({ run, name: 'approval', payload: request.user, at: runtime.clock.now() });
  }

  async beginRelease(request: ReleaseRequest): Promise<RunResult | Refusal> {
    const prepared = await (await this.#releasing()).prepare(request, false, 'begin');
    if (isRefusal(prepared)) return prepared;
    const { signal, onEvent, acceptsSecurityRegression = false } = request;
    return await this.execute(prepared.plan, { signal, onEvent, acceptsSecurityRegression });
  }

  async finishRelease(options: RunOptions): Promise<RunResult> {
    const plan = await (await this.#releasing()).planFinish();
    if (isRefusal(plan)) throw refusalError(plan);
    return await this.execute(plan, options);
  }

  async abortRelease(options: RunOptions): Promise<RunResult> {
    const begun = await (await this.#releasing()).begun();
    const isFirst = liveRelease(await this.#parts.store.planningHistory()) === undefined;
    const plan = isFirst
      ? await this.#keep(async () => await (await load.abortFirst()).planAbortOfFirst(this.#parts, begun))
      : await this.#planRollback({ countRisk: true }, true, false);
    if (isRefusal(plan)) throw refusalError(plan);
    return await this.execute(plan, options);
  }

  async adopt(ref?: string): Promise<Release> {
    const { adoptLive } = await load.adopt();
    return await adoptLive(this.#parts, this.#runs, ref);
  }

  async planServe(): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'serve' }));
  }

  async stopServing(): Promise<void> {
    await Promise.all([...this.#parts.webs.values()].map((port) => port.shutDown()));
  }

  async guard(options: RunOptions & { readonly once: boolean }): Promise<GuardReport> {
    const { guardReport } = await load.watch();
    return await guardReport(this.#parts, options);
  }

  async status(): Promise<StatusReport> {
    const { statusReport } = await load.reports();
    return await statusReport(this.#parts, (request) => this.#planRollback(request, false));
  }

  async doctor(): Promise<DoctorReport> {
    const { doctorReport } = await load.doctor();
    return await doctorReport(this.#parts, (request) => this.#planRollback(request, false));
  }

  async releases(limit: number): Promise<readonly Release[]> {
    return await this.#parts.store.recentReleases(limit);
  }

  async releasesOf(plan: Plan): Promise<readonly Release[]> {
    const { store } = this.#parts;
    const named = [plan.from, plan.to].flatMap((id) => (id === null ? [] : [store.release(id)]));
    return (await Promise.all(named)).filter((release) => release !== undefined);
  }

  async runs(limit: number): Promise<readonly RunSummary[]> {
    return await this.#parts.store.runs(limit);
  }

  async show(id: string): Promise<ShowReport> {
    const { showReport } = await load.reports();
    return await showReport(this.#parts, id);
  }

  async quarantined(): Promise<readonly QuarantinedCommit[]> {
    return (await this.#parts.store.planningHistory()).quarantine;
  }

  async liftQuarantine(named: string, fixedBy: string): Promise<LiftedQuarantine> {
    const { source, store } = this.#parts;
    // What a rollback says names the release first.
    const release = isReleaseId(named) ? await store.release(named) : undefined;
    const commit = release === undefined ? await source.resolve(named) : release.commit;
    const fix = await source.resolve(fixedBy);
    return { commit, fixedBy: fix, lifted: await store.liftQuarantine(commit, fix) };
  }

  async backup(options: RunOptions): Promise<readonly BackupReport[]> {
    const plan = await this.#keep(() => this.#direct({ kind: 'backup' }));
    if (isRefusal(plan)) throw refusalError(plan);
    const result = await this.execute(plan, options);
    if (result.status !== 'done' && result.error !== undefined) {
      throw new UnshipError(result.error.slug, {
        happened: result.error.happened,
        done: 'no backup was taken',
      });
    }
    return await this.backups();
  }

  async backups(): Promise<readonly BackupReport[]> {
    const { backupReports } = await load.reports();
    return await backupReports(this.#parts);
  }

  async migrations(): Promise<readonly MigrationReport[]> {
    const { migrationReports } = await load.reports();
    return await migrationReports(this.#parts);
  }

  async prepareStandby(request: StandbyRequest, options: RunOptions): Promise<StandbyReport> {
    const { standbyReport } = await load.standby();
    return await standbyReport(this.#parts, this.#runs, request, options);
  }

  async incidents(limit: number): Promise<readonly IncidentReport[]> {
    return await this.#parts.store.incidents(limit);
  }

  async agent(options: RunOptions): Promise<void> {
    const { runAgent } = await load.dueRuns();
    await runAgent(this.#parts, options, this.#dueWork(options));
  }

  async close(): Promise<void> {
    await this.#parts.store.close();
  }
}
