import type { ExecuteOptions, ReleaseRequest } from '../domain/application.ts';
import { UnshipError } from '../domain/errors.ts';
import type { Facts } from '../domain/facts.ts';
import { shortCommit } from '../domain/names.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { currentRelease } from '../domain/planner/leaving.ts';
import { planRelease } from '../domain/planner/release.ts';
import { liveRelease, type RehearsalRecord, type Release } from '../domain/release.ts';
import type { PreparedRelease, RunResult } from '../domain/report.ts';
import { endedStatuses, foldRun } from '../domain/run.ts';
import { explainFailures, observe, releasesInQuestion } from './observe.ts';
import { databasesWithoutVariable, wouldOpenLive } from './own-database.ts';
import type { Parts } from './parts.ts';
import {
  draftRelease,
  quarantinedAncestors,
  type ReleaseDraft,
  rehearsalPlan,
  requireStillSo,
} from './release-draft.ts';
import { missingSecrets } from './secrets.ts';

/** What the application does with a plan: keeps how it was made, and carries it out. */
export interface PlanKeeper {
  keep(make: () => Promise<Plan | Refusal>, release?: Release): Promise<Plan | Refusal>;
  execute(plan: Plan, options: ExecuteOptions): Promise<RunResult>;
}

/** `release finish` believes the live address, not the pipeline that says it has deployed. */
function requireDeployed(release: Release, facts: Facts): void {
  for (const [name, seen] of Object.entries(facts.surfaces)) {
    if (seen.kind !== 'web' || release.surfaces[name]?.since !== release.id) continue;
    if (seen.live === release.id) continue;
    throw new UnshipError('wrong-release-live', {
      happened: `${name} serves ${seen.live ?? 'no release that is known here'}, not ${release.id}`,
      done: 'nothing; the release stays open',
      next: `deploy ${release.id}, then unship release finish; or unship release abort`,
    });
  }
}

/** From a commit to the plan that releases it: drafted, rehearsed on a copy, planned. */
export class Releasing {
  readonly #parts: Parts;
  readonly #plans: PlanKeeper;

  constructor(parts: Parts, plans: PlanKeeper) {
    this.#parts = parts;
    this.#plans = plans;
  }

  async prepare(
    request: ReleaseRequest,
    rehearse: boolean,
    phase: 'whole' | 'begin',
  ): Promise<PreparedRelease | Refusal> {
    const { source, plannedReleases } = this.#parts;
    await this.#requireNoneOpen();
    for (const { name, happened } of missingSecrets(this.#parts)) {
      request.onEvent({ type: 'note', run: null, text: `warn  ${happened}; set ${name}` });
    }
    const commit = await source.resolve(request.ref ?? 'HEAD');
    const draft = await draftRelease(this.#parts, commit, request);
    const { release, changed } = draft;
    plannedReleases.set(release.id, release);
    const rehearsal = rehearse ? await this.#rehearse(request, release, changed) : null;
    if (rehearsal !== null && isRefusal(rehearsal)) return rehearsal;
    const pending: Release = rehearsal === null ? release : { ...release, rehearsal };
    const plan = await this.#plans.keep(() => this.#plan({ ...draft, release: pending }, phase), pending);
    return isRefusal(plan) ? plan : { release: pending, plan, rehearsal };
  }

  async #requireNoneOpen(): Promise<void> {
    const { store } = this.#parts;
    const open = currentRelease(await store.planningHistory());
    if (open?.deployment !== 'pending') return;
    // A run that has not ended speaks for itself when the lease is taken.
    const driven = (await store.runs(20)).some((run) => run.to === open.id && !endedStatuses.has(run.status));
    if (driven) return;
    throw new UnshipError('unfinished-run', {
      happened: `${open.id} (${shortCommit(open.commit)}) was begun and is neither finished nor aborted`,
      done: 'nothing',
      next: 'unship release finish, or unship release abort',
    });
  }

  async #plan(draft: ReleaseDraft, phase: 'whole' | 'begin'): Promise<Plan | Refusal> {
    const { store, surfaces, runtime, policy, source } = this.#parts;
    const { release, changed } = draft;
    const { commit } = release;
    const history = await store.planningHistory();
    const live = liveRelease(history);
    const query = { releases: live === undefined ? [] : [live], commit, countRisk: false };
    const { facts, failures } = await observe(surfaces, query, runtime);
    if (failures.length === 0) await requireStillSo(this.#parts, draft, live, facts);
    const plan = planRelease(history, facts, policy, {
      kind: 'release',
      release,
      changed,
      quarantinedAncestors: await quarantinedAncestors(source, history, commit),
      phase,
      reason: 'release',
    });
    return isRefusal(plan) ? explainFailures(plan, failures) : plan;
  }

  async #rehearse(
    request: ReleaseRequest,
    release: Release,
    changed: readonly string[],
  ): Promise<RehearsalRecord | Refusal> {
    // Known before anything is built: minutes of a build are not spent on a rehearsal that can't be.
    const [unnamed] = databasesWithoutVariable(this.#parts);
    if (unnamed !== undefined)
      throw wouldOpenLive(unnamed, this.#parts.definition.surfaces[unnamed]?.provider ?? '');
    const plan = await this.#plans.keep(() => rehearsalPlan(this.#parts, release, changed));
    if (isRefusal(plan)) return plan;
    const { signal, onEvent } = request;
    const result = await this.#plans.execute(plan, { signal, onEvent });
    if (result.status !== 'done') throw rehearsalError(result);
    const entries = await this.#parts.store.journal(result.run);
    const output = foldRun(plan, entries).steps['unship.rehearse']?.output;
    return output as unknown as RehearsalRecord;
  }

  /** The release that was begun and is still open. Throws `not-live` when there is none. */
  async begun(): Promise<Release> {
    const current = currentRelease(await this.#parts.store.planningHistory());
    if (current?.deployment === 'pending') return current;
    throw new UnshipError('not-live', {
      happened: 'no release was begun',
      done: 'nothing',
      next: 'unship release begin',
    });
  }

  /** The second half of a release whose web surfaces somebody else has deployed meanwhile. */
  async planFinish(): Promise<Plan | Refusal> {
    const { store, surfaces, policy, runtime } = this.#parts;
    const release = await this.begun();
    const changed = Object.keys(release.surfaces).filter(
      (name) => release.surfaces[name]?.since === release.id,
    );
    return await this.#plans.keep(async () => {
      const history = await store.planningHistory();
      const releases = releasesInQuestion(history, undefined);
      const { facts, failures } = await observe(
        surfaces,
        { releases, commit: release.commit, countRisk: false },
        runtime,
      );
      // A surface that can't be seen has not been seen to serve the release.
      if (failures[0] !== undefined) throw failures[0].error;
      requireDeployed(release, facts);
      return planRelease(history, facts, policy, {
        kind: 'release',
        release,
        changed,
        quarantinedAncestors: [],
        phase: 'finish',
        reason: 'release finish',
      });
    });
  }
}

function rehearsalError({ error, status }: RunResult): UnshipError {
  const { slug, happened, done, next } = error ?? {
    slug: 'rehearsal-failed',
    happened: `the rehearsal ended as ${status}`,
  };
  return new UnshipError(slug, {
    happened,
    done: done ?? 'nothing live was changed',
    ...(next === undefined ? {} : { next }),
  });
}
