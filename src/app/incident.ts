import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import type { Json } from '../domain/json.ts';
import type { Plan } from '../domain/plan.ts';
import type { Release, ReleaseId } from '../domain/release.ts';
import type { RunResult } from '../domain/report.ts';
import { foldRun, idempotencyKey, type JournalEntry } from '../domain/run.ts';
import { timeLimit } from '../domain/time-limit.ts';
import { releaseUnhealthy, runBlocked, runDone } from '../incident/communication/messages.ts';
import type { Message } from '../incident/communication.port.ts';
import {
  draftIncident as draft,
  type EarlierAttempt,
  type IncidentFacts,
  type MessageRecord,
} from '../incident/post-mortem/draft.ts';
import { Input } from '../surfaces/input.ts';
import type { WorkContext } from '../surfaces/surface.port.ts';
import type { Parts } from './parts.ts';

/** Longest time for telling people after a run has ended, in ms. */
const tellWithinMs = 15_000;

/** `unship.incident`: opens the incident of this run and drafts it from the journal; a second call rewrites it. */
export async function draftIncident(parts: Parts, run: number, context: WorkContext): Promise<Json> {
  return { draft: await writeDraft(parts, run, context.runtime.clock.now()) };
}

/** Writes the draft as it can be told now, and returns the file's path. */
async function writeDraft(parts: Parts, run: number, now: number): Promise<string> {
  const { store } = parts;
  const plan = await store.plan(run);
  if (plan === undefined) throw new UnshipError('unknown-run', { happened: `there is no run ${run}` });
  const known = await store.incidentOfRun(run);
  const incident = known ?? (await store.openIncident({ run, release: plan.from, openedAt: now, draft: '' }));
  const text = draft(await factsOf(parts, run, plan, incident.id));
  await store.saveIncidentDraft(incident.id, text);
  return await parts.drafts.save(incident.id, text);
}

async function factsOf(parts: Parts, run: number, plan: Plan, incident: number): Promise<IncidentFacts> {
  const { store, source } = parts;
  const journal = await store.journal(run);
  const releaseOf = async (id: ReleaseId | null): Promise<Release | null> =>
    id === null ? null : ((await store.release(id)) ?? null);
  const [bad, good] = [await releaseOf(plan.from), await releaseOf(plan.to)];
  const commits = [bad, good].flatMap((release) =>
    release === null || release.commit === '' ? [] : [release.commit],
  );
  const subjects = await Promise.all(
    commits.map(async (commit) => [commit, await source.subject(commit).catch(() => '')] as const),
  );
  return {
    incident,
    run,
    plan,
    journal,
    attempts: await earlierAttempts(parts, run, plan),
    bad,
    good,
    subjects: Object.fromEntries(subjects.filter(([, subject]) => subject !== '')),
    ...(await releaseStory(parts, plan.from)),
    requests: null,
    messages: messageRecords(plan, journal),
  };
}

/** Rollbacks of the same release that this run superseded, with nothing that ended in between; oldest first. */
async function earlierAttempts(parts: Parts, run: number, plan: Plan): Promise<readonly EarlierAttempt[]> {
  const attempts: EarlierAttempt[] = [];
  for (const earlier of await parts.store.runs(50)) {
    if (earlier.id >= run || earlier.kind === 'rehearsal') continue;
    const { id, kind, status, from } = earlier;
    if (kind !== 'rollback' || status !== 'superseded' || from !== plan.from) break;
    const itsPlan = await parts.store.plan(id);
    if (itsPlan === undefined) break;
    attempts.unshift({ run: id, plan: itsPlan, journal: await readableJournal(parts, id) });
  }
  return attempts;
}

/** A damaged journal of another run must not keep the rollback from being told; what it held is not known then. */
async function readableJournal(parts: Parts, run: number): Promise<readonly JournalEntry[]> {
  return await parts.store.journal(run).catch((error: unknown) => {
    if (isUnshipError(error) && error.slug === 'journal-corrupt') return [];
    throw error;
  });
}

/** When the bad release went live and what gave it away, from the run that released it. */
async function releaseStory(
  parts: Parts,
  bad: ReleaseId | null,
): Promise<Pick<IncidentFacts, 'liveSince' | 'detection'>> {
  const release = (await parts.store.runs(50)).find((item) => item.kind === 'release' && item.to === bad);
  if (release === undefined) return { liveSince: null, detection: null };
  const entries = await readableJournal(parts, release.id);
  const live = entries.find(
    (entry) => entry.type === 'step' && entry.step === 'unship.record-live' && entry.status === 'verified',
  );
  const failed = entries.find(
    (entry) => entry.type === 'step' && entry.step === 'unship.watch' && entry.status === 'failed',
  );
  const text = failed?.type === 'step' ? (failed.error?.message ?? '') : '';
  return {
    liveSince: live?.at ?? null,
    detection: failed === undefined ? null : { at: failed.at, by: 'watch', text },
  };
}

function messageRecords(plan: Plan, journal: readonly JournalEntry[]): readonly MessageRecord[] {
  const state = foldRun(plan, journal);
  return plan.steps
    .filter((step) => step.action === 'unship.notify')
    .flatMap((step): MessageRecord[] => {
      const seen = state.steps[step.id];
      if (seen?.status === 'verified') {
        return [{ audience: 'team', channel: 'team', outcome: 'delivered', note: seen.observed ?? '' }];
      }
      return seen?.status === 'failed'
        ? [{ audience: 'team', channel: 'team', outcome: 'not-sent', note: seen.error?.message ?? 'failed' }]
        : [];
    });
}

/** `unship.notify`: says on every channel what this run has done. Fails when one channel could not be reached. */
export async function tellTeam(parts: Parts, run: number, context: WorkContext, input: Json): Promise<Json> {
  new Input(input).text('message');
  const plan = await parts.store.plan(run);
  if (plan === undefined) throw new UnshipError('unknown-run', { happened: `there is no run ${run}` });
  const journal = await parts.store.journal(run);
  const state = foldRun(plan, journal);
  const ms = context.runtime.clock.now() - (journal[0]?.at ?? context.runtime.clock.now());
  const incident = await parts.store.incidentOfRun(run);
  const attempt = state.steps['unship.notify']?.attempt ?? 1;
  return {
    summary: await send(parts, context, runDone({ run, plan, state, ms }, incident?.id ?? null), attempt),
  };
}

async function send(parts: Parts, context: WorkContext, message: Message, attempt: number): Promise<string> {
  const told = await Promise.all(
    parts.channels.map(async (channel) => {
      try {
        return { name: channel.name, delivery: await channel.send(context, message, attempt) };
      } catch (error) {
        return {
          name: channel.name,
          error: isUnshipError(error) ? error.details.happened : messageOf(error),
        };
      }
    }),
  );
  const failed = told.flatMap((item) => (item.error === undefined ? [] : [`${item.name}: ${item.error}`]));
  if (failed.length > 0) throw new UnshipError('channel-failed', { happened: failed.join('; ') });
  return told
    .map(({ name, delivery }) => (delivery === 'delivered' ? `told ${name}` : `told ${name}, maybe twice`))
    .join(', ');
}

/**
 * What follows a run that did not end well, outside its plan: a release that failed its watch is told to the
 * team, a blocked rollback too, with a draft of where it stands. It never changes the run's result.
 */
export async function afterRun(parts: Parts, plan: Plan, result: RunResult): Promise<void> {
  const blocked = result.status === 'blocked';
  const unhealthy = plan.kind === 'release' && result.error?.slug === 'guard-unhealthy';
  const through = plan.kind === 'rollback' && result.status === 'done';
  const { runtime, policy } = parts;
  // The draft was made by a step of the run, when the run was still under way: now its end can be told.
  if (blocked || through) await writeDraft(parts, result.run, runtime.clock.now()).catch(() => undefined);
  if (!blocked && !unhealthy) return;
  if (parts.channels.length === 0) return;
  using limit = timeLimit(runtime.clock, tellWithinMs);
  const context: WorkContext = {
    runtime,
    signal: limit.signal,
    idempotencyKey: idempotencyKey(policy.application, policy.environment, result.run, 'after'),
    fence: 0,
    maximumRowsLost: 0,
    progress: () => {},
  };
  const message = blocked
    ? runBlocked({
        run: result.run,
        plan,
        state: foldRun(plan, await parts.store.journal(result.run)),
        ms: result.ms,
      })
    : releaseUnhealthy({
        application: policy.application,
        environment: policy.environment,
        release: plan.to ?? 'r0',
        reason: result.error?.happened ?? '',
        wayBack: null,
        automatic: parts.definition.guard?.onUnhealthy === 'rollback',
      });
  // People who can't be reached must not hide how the run ended; the result itself is on the screen.
  await send(parts, context, message, 1).catch(() => undefined);
}
