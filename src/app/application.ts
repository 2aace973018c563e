import type {
  Application,
  ExecuteOptions,
  ReleaseRequest,
  RollbackRequest,
  RunOptions,
} from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Facts } from '../domain/facts.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { currentRelease, planRollback, planUndo } from '../domain/planner/rollback.ts';
import { refusalError } from '../domain/refusal-error.ts';
import { isReleaseId, liveRelease, type QuarantinedCommit, type Release } from '../domain/release.ts';
import type {
  BackupReport,
  DoctorReport,
  GuardReport,
  IncidentReport,
  MigrationReport,
  PreparedRelease,
  RunResult,
  ShowReport,
  StandbyReport,
  StatusReport,
} from '../domain/report.ts';
import { endedStatuses, foldRun, type RunSummary } from '../domain/run.ts';
import type { DirectRequest } from './direct-plans.ts';
import { explainFailures, observe, releasesInQuestion } from './observe.ts';
import type { Parts } from './parts.ts';
import { type MadePlan, Runs } from './runs.ts';

/** What a run that was limited to some surfaces wrote over: an undo brings back exactly that. */
function limitOf(plan: Plan): { readonly replaced?: Release['surfaces'] } {
  const record = plan.steps.find((step) => step.action === 'unship.record-rollback');
  const input = record?.input as { readonly replaced?: Release['surfaces'] | null } | undefined;
  return input?.replaced === undefined || input.replaced === null ? {} : { replaced: input.replaced };
}

/** `release finish` believes the live address, not the pipeline that says it has deployed. */
function requireDeployed(release: Release, facts: Facts): void {
  for (const [name, seen] of Object.entries(facts.surfaces)) {
    if (seen.kind !== 'web' || release.surfaces[name]?.since !== release.id || seen.live === release.id)
      continue;
    throw new UnshipError('wrong-release-live', {
      happened: `${name} serves ${seen.live ?? 'no release that is known here'}, not ${release.id}`,
      done: 'nothing; the release stays open',
      next: `deploy ${release.id}, then unship release finish; or unship release abort`,
    });
  }
}

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
    const { store, runtime } = this.#parts;
    const fence = await store.lastFence();
    const madeAt = runtime.clock.now();
    const plan = await make();
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
    const { store, surfaces, policy, runtime } = this.#parts;
    const make = async (): Promise<Plan | Refusal> => {
      const history = await store.planningHistory(request.to);
      const query = { releases: releasesInQuestion(history, request.to), countRisk: request.countRisk };
      const { facts, failures } = await observe(surfaces, query, runtime);
      const plan = planRollback(history, facts, policy, {
        kind: 'rollback',
        reason: 'rollback',
        quarantine,
        ...(request.to === undefined ? {} : { to: request.to }),
        ...(request.only === undefined ? {} : { only: request.only }),
        ...(request.strategy === undefined ? {} : { strategy: request.strategy }),
      });
      return isRefusal(plan) ? explainFailures(plan, failures) : plan;
    };
    return await this.#keep(make, { isShown });
  }

  async planUndo(run?: number): Promise<Plan | Refusal> {
    const { store, surfaces, policy, runtime } = this.#parts;
    const summary = await this.#finishedRun(run);
    const plan = await store.plan(summary.id);
    if (plan === undefined || summary.from === null) {
      throw new UnshipError('unknown-run', { happened: `run ${summary.id} has nothing to undo` });
    }
    const to = summary.from;
    const limit = limitOf(plan);
    if (summary.kind === 'release') return await this.planRollback({ to, countRisk: true });
    return await this.#keep(async () => {
      const history = await store.planningHistory(to);
      const question = releasesInQuestion(history, to);
      // As they were before a limited run: the record says otherwise by now.
      const asBefore = question
        .filter((release) => release.id === to && limit.replaced !== undefined)
        .map((release) => ({ ...release, surfaces: { ...release.surfaces, ...limit.replaced } }));
      const query = { releases: [...question, ...asBefore], countRisk: true };
      const { facts, failures } = await observe(surfaces, query, runtime);
      const undo = planUndo(history, facts, policy, {
        kind: 'undo',
        run: summary.id,
        to,
        ...limit,
        reason: `undo of run ${summary.id}`,
      });
      return isRefusal(undo) ? explainFailures(undo, failures) : undo;
    });
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
    const { directPlan } = await import('./direct-plans.ts');
    return await directPlan(this.#parts, request);
  }

  async planRestore(request: { readonly backup: string }): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'restore', backup: request.backup }));
  }

  async planMigrations(request: Parameters<Application['planMigrations']>[0]): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'migrations', ...request }));
  }

  async planDesktop(request: Parameters<Application['planDesktop']>[0]): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'desktop', ...request }));
  }

  async prepareRelease(request: ReleaseRequest): Promise<PreparedRelease | Refusal> {
    const rehearse = this.#parts.policy.rehearsal === 'required' && !request.dryRun;
    return await this.#prepare(request, rehearse, 'whole');
  }

  async rehearse(request: ReleaseRequest): Promise<PreparedRelease | Refusal> {
    return await this.#prepare(request, true, 'whole');
  }

  async #prepare(
    request: ReleaseRequest,
    rehearse: boolean,
    phase: 'whole' | 'begin',
  ): Promise<PreparedRelease | Refusal> {
    const { store, source, surfaces, policy, runtime, plannedReleases } = this.#parts;
    const open = currentRelease(await store.planningHistory());
    const driven = (await store.runs(20)).some(
      (run) => run.to === open?.id && !endedStatuses.has(run.status),
    );
    if (open?.deployment === 'pending' && !driven) {
      throw new UnshipError('unfinished-run', {
        happened: `${open.id} (${open.commit.slice(0, 7)}) was begun and is neither finished nor aborted`,
        done: 'nothing',
        next: 'unship release finish, or unship release abort',
      });
    }
    const commit = await source.resolve(request.ref ?? 'HEAD');
    const { draftRelease, quarantinedAncestors, rehearsalPlan } = await import('./release-draft.ts');
    const { planRelease } = await import('../domain/planner/release.ts');
    let { release, changed } = await draftRelease(this.#parts, commit, request.only);
    plannedReleases.set(release.id, release);
    let rehearsal: PreparedRelease['rehearsal'] = null;
    if (rehearse) {
      const plan = await this.#keep(() => rehearsalPlan(this.#parts, release, changed));
      if (isRefusal(plan)) return plan;
      const result = await this.execute(plan, { signal: request.signal, onEvent: request.onEvent });
      const output = await this.#rehearsalOutput(result);
      rehearsal = { at: runtime.clock.now(), ok: true, ...output };
      release = { ...release, rehearsal };
    }
    const pending: Release = release;
    const plan = await this.#keep(
      async () => {
        const history = await store.planningHistory();
        const live = liveRelease(history);
        const query = { releases: live === undefined ? [] : [live], commit, countRisk: false };
        const { facts, failures } = await observe(surfaces, query, runtime);
        const made = planRelease(history, facts, policy, {
          kind: 'release',
          release: pending,
          changed,
          quarantinedAncestors: await quarantinedAncestors(source, history, commit),
          phase,
          reason: 'release',
        });
        return isRefusal(made) ? explainFailures(made, failures) : made;
      },
      { release: pending },
    );
    return isRefusal(plan) ? plan : { release: pending, plan, rehearsal };
  }

  async #rehearsalOutput(result: RunResult): Promise<{ wayBackMs: number; rowsLost: number; note?: string }> {
    if (result.status !== 'done') {
      const error = result.error ?? {
        slug: 'rehearsal-failed',
        happened: `the rehearsal ended as ${result.status}`,
      };
      throw new UnshipError(error.slug, {
        happened: error.happened,
        done: error.done ?? 'nothing live was changed',
        ...(error.next === undefined ? {} : { next: error.next }),
      });
    }
    const plan = await this.#parts.store.plan(result.run);
    const entries = await this.#parts.store.journal(result.run);
    const output = plan === undefined ? undefined : foldRun(plan, entries).steps['unship.rehearse']?.output;
    const {
      wayBackMs = 0,
      rowsLost = 0,
      note,
    } = (output ?? {}) as { wayBackMs?: number; rowsLost?: number; note?: string };
    return { wayBackMs, rowsLost, ...(note === undefined || note === '' ? {} : { note }) };
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
    const { afterRun } = await import('./incident.ts');
    await afterRun(this.#parts, plan, result);
    const automatic = this.#parts.definition.guard?.onUnhealthy === 'rollback';
    if (plan.kind !== 'release' || result.error?.slug !== 'guard-unhealthy' || !automatic) return result;
    const back = await this.planRollback({ countRisk: true });
    // Losing data is never a policy's decision.
    if (isRefusal(back) || back.rowsLost > 0 || back.lossUncertain) return result;
    options.onEvent({
      type: 'note',
      run: result.run,
      text: `rolling back to ${back.to}: the policy says so`,
    });
    const rolledBack = await this.execute(back, { ...options, reason: result.error.happened });
    return { ...rolledBack, error: result.error, notDone: [...rolledBack.notDone] };
  }

  async resume(run: number | undefined, options: RunOptions): Promise<RunResult> {
    const summary = run === undefined ? await this.#onlyUnended() : await this.#run(run);
    const plan = await this.#parts.store.plan(summary.id);
    const result = await this.#runs.resume(summary, options);
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

  async resumeDue(options: RunOptions): Promise<readonly RunResult[]> {
    const { store, runtime, isOwnerAlive } = this.#parts;
    const results: RunResult[] = [];
    for (const run of (await store.runs(50)).toReversed()) {
      if (!['running', 'waiting', 'undoing'].includes(run.status)) continue;
      const holder = await store.lease();
      const held =
        holder !== undefined &&
        holder.expiresAt > runtime.clock.now() &&
        isOwnerAlive(holder.owner) !== false;
      if (held) continue;
      results.push(await this.resume(run.id, options));
    }
    return results;
  }

  async cancel(run: number | undefined, options: RunOptions): Promise<RunResult> {
    return await this.#runs.cancel(
      run === undefined ? await this.#onlyUnended() : await this.#run(run),
      options,
    );
  }

  async approve(run: number): Promise<boolean> {
    const { store, runtime, request } = this.#parts;
    await this.#run(run);
    return await store.signal({ run, name: 'approval', payload: request.user, at: runtime.clock.now() });
  }

  async beginRelease(request: ReleaseRequest): Promise<RunResult | Refusal> {
    const prepared = await this.#prepare(request, false, 'begin');
    if (isRefusal(prepared)) return prepared;
    return await this.execute(prepared.plan, { signal: request.signal, onEvent: request.onEvent });
  }

  async #pending(): Promise<Release> {
    const current = currentRelease(await this.#parts.store.planningHistory());
    if (current?.deployment === 'pending') return current;
    throw new UnshipError('not-live', {
      happened: 'no release was begun',
      done: 'nothing',
      next: 'unship release begin',
    });
  }

  async finishRelease(options: RunOptions): Promise<RunResult> {
    const { store, surfaces, policy, runtime } = this.#parts;
    const release = await this.#pending();
    const plan = await this.#keep(async () => {
      const history = await store.planningHistory();
      const query = {
        releases: releasesInQuestion(history, undefined),
        commit: release.commit,
        countRisk: false,
      };
      const { facts } = await observe(surfaces, query, runtime);
      requireDeployed(release, facts);
      const changed = Object.keys(release.surfaces).filter(
        (name) => release.surfaces[name]?.since === release.id,
      );
      const { planRelease } = await import('../domain/planner/release.ts');
      return planRelease(history, facts, policy, {
        kind: 'release',
        release,
        changed,
        quarantinedAncestors: [],
        phase: 'finish',
        reason: 'release finish',
      });
    });
    if (isRefusal(plan)) throw refusalError(plan);
    return await this.execute(plan, options);
  }

  async abortRelease(options: RunOptions): Promise<RunResult> {
    await this.#pending();
    const plan = await this.#planRollback({ countRisk: true }, true, false);
    if (isRefusal(plan)) throw refusalError(plan);
    return await this.execute(plan, options);
  }

  async adopt(ref?: string): Promise<Release> {
    const { adoptLive } = await import('./adopt.ts');
    return await adoptLive(this.#parts, this.#runs, ref);
  }

  async planServe(): Promise<Plan | Refusal> {
    return await this.#keep(() => this.#direct({ kind: 'serve' }));
  }

  async stopServing(): Promise<void> {
    await Promise.all([...this.#parts.webs.values()].map((port) => port.shutDown()));
  }

  async guard(options: RunOptions & { readonly once: boolean }): Promise<GuardReport> {
    const { runtime, store, webs } = this.#parts;
    const { look } = await import('../guard/guard.ts');
    const checks = await look({ runtime, signal: options.signal }, await this.#parts.checks(webs));
    const live = liveRelease(await store.planningHistory());
    const failed = checks.some((check) => check.verdict === 'fail');
    const passed = checks.length > 0 && checks.every((check) => check.verdict === 'pass');
    return {
      schema: 'unship.guard/1',
      verdict: failed ? 'unhealthy' : passed ? 'healthy' : 'inconclusive',
      release: live?.id ?? null,
      checks,
    };
  }

  async status(): Promise<StatusReport> {
    const { statusReport } = await import('./reports.ts');
    return await statusReport(this.#parts, (request) => this.#planRollback(request, false));
  }

  async doctor(): Promise<DoctorReport> {
    const { doctorReport } = await import('./reports.ts');
    return await doctorReport(this.#parts, (request) => this.#planRollback(request, false));
  }

  async releases(limit: number): Promise<readonly Release[]> {
    return await this.#parts.store.recentReleases(limit);
  }

  async runs(limit: number): Promise<readonly RunSummary[]> {
    return await this.#parts.store.runs(limit);
  }

  async show(id: string): Promise<ShowReport> {
    const { store } = this.#parts;
    if (isReleaseId(id)) {
      const release = await store.release(id);
      if (release !== undefined) return { schema: 'unship.show/1', type: 'release', release };
    }
    if (/^\d+$/.test(id)) {
      const [run, plan] = [await store.run(Number(id)), await store.plan(Number(id))];
      if (run !== undefined && plan !== undefined) {
        const journal = await store.journal(run.id);
        return { schema: 'unship.show/1', type: 'run', run, plan, state: foldRun(plan, journal), journal };
      }
    }
    const incident = /^(?:incident[ -]?)(\d+)$/.exec(id);
    const found = incident === null ? undefined : await store.incident(Number(incident[1]));
    if (found !== undefined) return { schema: 'unship.show/1', type: 'incident', incident: found };
    const backup = (await this.backups()).find((item) => item.id === id);
    if (backup !== undefined) return { schema: 'unship.show/1', type: 'backup', backup };
    const entry = (await this.quarantined()).find((item) => id.length >= 7 && item.commit.startsWith(id));
    if (entry !== undefined) return { schema: 'unship.show/1', type: 'quarantine', entry };
    throw new UnshipError(isReleaseId(id) ? 'unknown-release' : 'unknown-run', {
      happened: `nothing here is called ${id}`,
      next: 'unship releases, unship runs, unship backups or unship incident list',
    });
  }

  async quarantined(): Promise<readonly QuarantinedCommit[]> {
    return (await this.#parts.store.planningHistory()).quarantine;
  }

  async liftQuarantine(commit: string, fixedBy: string): Promise<boolean> {
    const { source, store } = this.#parts;
    const [bad, fix] = [await source.resolve(commit), await source.resolve(fixedBy)];
    return await store.liftQuarantine(bad, fix);
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
    const { backupReports } = await import('./reports.ts');
    return await backupReports(this.#parts);
  }

  async migrations(): Promise<readonly MigrationReport[]> {
    const { migrationReports } = await import('./reports.ts');
    return await migrationReports(this.#parts);
  }

  async prepareStandby(
    request: { readonly surface?: string; readonly version?: string },
    options: RunOptions,
  ): Promise<StandbyReport> {
    const { desktops, runtime, store } = this.#parts;
    const surface = request.surface ?? [...desktops.keys()][0];
    const port = surface === undefined ? undefined : desktops.get(surface);
    if (surface === undefined || port === undefined) {
      throw new UnshipError('unknown-surface', {
        happened: `there is no desktop surface ${request.surface ?? ''}`,
        done: 'nothing',
      });
    }
    const live = liveRelease(await store.planningHistory());
    const facts = await port.observe(
      { runtime, signal: options.signal },
      { releases: live === undefined ? [] : [live], countRisk: false },
    );
    if (facts.standby !== null) return { schema: 'unship.standby/1', surface, ...facts.standby };
    throw new UnshipError('artifact-invalid', {
      happened: `no standby hotfix lies ready for ${surface}`,
      done: 'nothing',
      next: 'build the last good code under a higher version into the folder that `standby` of the surface names',
    });
  }

  async incidents(limit: number): Promise<readonly IncidentReport[]> {
    return await this.#parts.store.incidents(limit);
  }

  /** Goes on with what is due, every few seconds, until it is told to end; it may be killed at any time. */
  async agent(options: RunOptions): Promise<void> {
    const { clock } = this.#parts.runtime;
    while (!options.signal.aborted) {
      await this.resumeDue(options).catch((error: unknown) => {
        options.onEvent({
          type: 'note',
          run: null,
          text: error instanceof Error ? error.message : String(error),
        });
      });
      await clock.sleep(3000, options.signal);
    }
  }

  async close(): Promise<void> {
    await this.#parts.store.close();
  }
}
