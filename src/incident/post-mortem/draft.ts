import { formatDuration } from '../../domain/duration.ts';
import { shortCommit } from '../../domain/names.ts';
import type { Plan } from '../../domain/plan.ts';
import type { Release } from '../../domain/release.ts';
import { foldRun, type JournalEntry, type RunState, type RunStatus } from '../../domain/run.ts';
import { countText, type DataOutcome, dataLine, dataOutcome, inAll } from '../data-outcome.ts';
import { timeline, utc } from '../timeline.ts';
import { list, escapeMarkdown as md, shortMarkdown, table } from './markdown.ts';

/** What became of one message to people. */
export interface MessageRecord {
  readonly audience: 'team' | 'users';
  readonly channel: string;
  readonly outcome: 'delivered' | 'maybe-twice' | 'not-sent';
  /** Why it was not sent, or what is known about it. */
  readonly note?: string;
}

/** A rollback of the same release that did not get through, before this one took over. */
export interface EarlierAttempt {
  readonly run: number;
  readonly plan: Plan;
  readonly journal: readonly JournalEntry[];
}

/** Everything a draft is made of; what is null is not known, and the draft says so. */
export interface IncidentFacts {
  readonly incident: number | null;
  readonly run: number;
  readonly plan: Plan;
  readonly journal: readonly JournalEntry[];
  /** Oldest first. */
  readonly attempts: readonly EarlierAttempt[];
  readonly bad: Release | null;
  readonly good: Release | null;
  /** First lines of commit messages by full hash. */
  readonly subjects: { readonly [commit: string]: string };
  /** When the bad release went live, in milliseconds since the epoch. */
  readonly liveSince: number | null;
  /** What gave it away: the watch's sentence, or the reason a person gave. */
  readonly detection: { readonly at: number; readonly by: 'watch' | 'person'; readonly text: string } | null;
  readonly requests: { readonly failed: number; readonly total: number; readonly heldMs: number } | null;
  readonly messages: readonly MessageRecord[];
}

const shownLine = 300;
const unknown = '**unknown**';

/** Statuspage's words: going back ends the damage and not the incident. */
function statusWord(status: RunStatus): string {
  if (status === 'done') {
    return 'monitoring: rolled back. It is not resolved before about 30 minutes without a failure.';
  }
  if (status === 'blocked') return 'identified: the rollback is blocked and waits for a person.';
  if (status === 'failed' || status === 'undone') return `investigating: the rollback ended as ${status}.`;
  if (status === 'superseded') return 'identified: another run took over.';
  return `identified: the rollback is under way (${status}).`;
}

interface Story extends IncidentFacts {
  readonly state: RunState;
  readonly data: DataOutcome;
  /** When the last surface served the good release again; null while it doesn't. */
  readonly endedAt: number | null;
  readonly startedAt: number | null;
}

/** The moment from which people were served the good release: the last verified step that changed a surface. */
function endOfDamage(plan: Plan, state: RunState): number | null {
  const required = plan.steps.filter((step) => step.importance === 'required' && step.surface !== 'unship');
  const ends = required.map(({ id }) => state.steps[id]);
  if (ends.length === 0 || ends.some((step) => step?.status !== 'verified')) return null;
  return Math.max(...ends.map((step) => step?.endedAt ?? 0));
}

function commitText({ subjects }: IncidentFacts, release: Release | null): string {
  if (release === null) return unknown;
  if (release.commit === '') return `${md(release.id)} (commit not known)`;
  const subject = subjects[release.commit];
  const about = subject === undefined || subject === '' ? '' : `, “${shortMarkdown(subject, 120)}”`;
  return `${md(release.id)} (${md(shortCommit(release.commit))}${about})`;
}

/** Where nobody gave one, a plan says what it is. */
function isReason(text: string): boolean {
  return text !== '' && text !== 'rollback';
}

function summary(story: Story): string {
  const { plan, attempts, liveSince, detection, startedAt, endedAt } = story;
  const reasons = [...new Set([...attempts, { plan }].map((run) => run.plan.reason))].filter(isReason);
  const detected =
    detection === null
      ? unknown
      : `${utc(detection.at)} by ${detection.by === 'watch' ? 'the watch' : 'a person'}: ${shortMarkdown(detection.text, shownLine)}`;
  const took = startedAt === null || endedAt === null ? unknown : formatDuration(endedAt - startedAt);
  return list([
    `Bad release: ${commitText(story, story.bad)}`,
    `Went back to: ${commitText(story, story.good)}`,
    `Live from: ${liveSince === null ? unknown : utc(liveSince)}`,
    `Noticed: ${detected}`,
    `Reason given: ${reasons.length === 0 ? unknown : shortMarkdown(reasons.join('; '), shownLine)}`,
    `The way back took: ${took}`,
  ]);
}

function impact({ liveSince, endedAt, requests }: Story): string {
  const served = liveSince === null || endedAt === null ? unknown : formatDuration(endedAt - liveSince);
  const failed =
    requests === null ? unknown : `${countText(requests.failed)} of ${countText(requests.total)}`;
  return list([
    'Severity: to be rated by a person (none, minor, major, critical)',
    `Time from going live to being back: ${served}`,
    `Requests that failed during the rollback: ${failed}`,
    `Writes held back: ${requests === null ? unknown : formatDuration(requests.heldMs)}`,
    `Users who met the failure: ${unknown}`,
  ]);
}

function affected({ plan, state, attempts }: Story): string {
  const through = { plan, state };
  const earlier = attempts.map((attempt) => ({ ...attempt, state: foldRun(attempt.plan, attempt.journal) }));
  // What the last one had nothing to do with any more, the attempt before it has done.
  const told = [through, ...earlier.reverse()].flatMap((run) =>
    run.plan.changes.map((change) => ({ change, run })),
  );
  const shown = told.filter(
    ({ change }, index) => told.findIndex((other) => other.change.surface === change.surface) === index,
  );
  if (shown.length === 0) return 'No surface was changed.';
  const rows = shown.map(({ change: { surface, kind, now, after, what }, run }) => {
    const steps = run.plan.steps.filter((step) => step.surface === surface && step.importance === 'required');
    const isThrough = steps.every(({ id }) => run.state.steps[id]?.status === 'verified');
    const cells = [surface, kind, now, after, what].map((text) => shortMarkdown(text, 120));
    return [...cells, isThrough ? 'verified' : '**not finished**'];
  });
  return table(['surface', 'kind', 'before', 'after', 'what was done', 'state'], rows);
}

function dataSection({ plan, data, attempts }: Story): string {
  const counted = [...attempts, { plan }].findLast((run) => run.plan.risk.tables.length > 0) ?? { plan };
  const dropped = [...attempts, { plan }].flatMap((run) => run.plan.risk.dropped);
  const tables = counted.plan.risk.tables.map((of) => [
    md(of.table),
    ...[of.kept, of.archived, of.lost, of.editedSince].map(countText),
  ]);
  const facts = [
    `In short: ${md(dataLine(data, plan))}`,
    ...data.archives.map((path) => `Archived rows lie in ${md(path)}; they go nowhere by themselves.`),
    ...data.safetyBackups.map((id) => `State just before the restore: backup ${md(id)}`),
    ...(data.givenBack > 0 ? [`Values given back: ${countText(data.givenBack)}`] : []),
    ...(data.withheld > 0
      ? [
          `Recorded values and rows that were NOT given back: ${countText(data.withheld)}; they lie in ${data.records.length === 0 ? 'the backup from before the migration' : data.records.map(md).join(', ')}`,
        ]
      : []),
    ...(data.keptEdits > 0
      ? [`Later edits by the application left alone: ${countText(data.keptEdits)}`]
      : []),
    ...[...new Set(dropped)].map((name) => `Went away with the schema: ${md(name)}`),
  ];
  const figures =
    tables.length === 0
      ? ''
      : `\n\nAs counted for the plan:\n\n${table(['table', 'kept', 'archived', 'lost', 'edited since'], tables)}`;
  return `${list(facts)}${figures}`;
}

function timelineSection({ plan, journal, attempts, liveSince, detection }: Story): string {
  const before = [
    ...(liveSince === null ? [] : [{ at: liveSince, text: `${plan.from ?? 'the release'} went live` }]),
    ...(detection === null ? [] : [{ at: detection.at, text: `noticed: ${detection.text}` }]),
  ];
  const runs = [...attempts, { plan, journal }].flatMap((run) => timeline(run.plan, run.journal));
  const story = [...before, ...runs].sort((a, b) => a.at - b.at);
  const rows = story.map((entry) => [
    utc(entry.at),
    'ms' in entry && entry.ms !== undefined ? formatDuration(entry.ms) : '',
    shortMarkdown(entry.text, shownLine),
  ]);
  return table(['time (UTC)', 'took', 'what'], rows);
}

const outcomeTexts: { readonly [outcome in MessageRecord['outcome']]: string } = {
  delivered: 'sent',
  'maybe-twice': 'sent, perhaps twice',
  'not-sent': '**not sent**',
};

function messagesSection({ messages }: Story): string {
  const lines = messages.map(({ audience, channel, outcome, note }) => {
    const why = note === undefined || note === '' ? '' : `: ${shortMarkdown(note, shownLine)}`;
    return `${audience} by ${md(channel)}: ${outcomeTexts[outcome]}${why}`;
  });
  const untold = (['team', 'users'] as const)
    .filter((audience) => !messages.some((message) => message.audience === audience))
    .map((audience) => `${audience}: **not told**, no channel was used`);
  return list([...lines, ...untold]);
}

/** What could not be verified: said, so that nobody takes silence for proof. */
function notKnown({ plan, state, data, requests, detection, liveSince }: Story): readonly string[] {
  const unverified = plan.steps.filter(({ id, importance }) => {
    const status = state.steps[id]?.status ?? 'pending';
    return importance === 'required' && status !== 'verified' && status !== 'undone';
  });
  const givenUp = plan.steps.filter(
    ({ id, importance }) => importance === 'best-effort' && state.steps[id]?.status === 'failed',
  );
  const why = (id: string): string =>
    shortMarkdown(state.steps[id]?.error?.message ?? 'no reason', shownLine);
  return [
    ...unverified.map(({ id, title }) => {
      const status = state.steps[id]?.status ?? 'pending';
      return `${md(title)} (${md(id)}): ${status === 'pending' ? 'not begun' : `${status}, its effect was not observed`}`;
    }),
    ...givenUp.map(({ id, title }) => `${md(title)} was given up: ${why(id)}`),
    ...data.unknown.map((id) => `What ${md(id)} did to the data`),
    ...(plan.risk.exact ? [] : ['The exact number of rows at risk: the counts are lower bounds']),
    ...(requests === null ? ['How many requests failed'] : []),
    ...(liveSince === null ? ['When the bad release went live'] : []),
    ...(detection === null ? ['How and when it was noticed'] : []),
    ...plan.warnings.map((warning) => shortMarkdown(warning, shownLine)),
    'How many people met the failure, and what they saw',
    'The cause: nothing here has looked for it',
  ];
}

function actions({ plan, data, bad }: Story): string {
  const todo = [
    'Analyse the cause of the failure.',
    'Create a ticket to fix the underlying issue.',
    'Improve testing: which test would have caught this?',
    'Improve the deployment process: which check or stage would have stopped this?',
    ...(bad === null || bad.commit === ''
      ? []
      : [
          `Release the fix of ${md(shortCommit(bad.commit))}, then lift its quarantine with: unship quarantine lift --fixed-by SHA ${md(shortCommit(bad.commit))}`,
        ]),
    ...(data.archives.length === 0 ? [] : ['Decide what becomes of the archived rows.']),
    ...(data.withheld === 0 ? [] : ['Decide what becomes of the recorded rows that were not given back.']),
    ...(data.lost === 0 ? [] : [`Tell those whose data was lost (${countText(data.lost)} rows).`]),
    ...(plan.changes.some(({ kind }) => kind === 'desktop')
      ? ['Tell desktop users to update, and follow how many still run the bad version.']
      : []),
  ];
  return todo.map((text) => `- [ ] ${text} Owner: … Due: … Ticket: …`).join('\n');
}

function questions({ data, detection }: Story): string {
  return list([
    'What did users see first, and how did we hear of it?',
    detection?.by === 'watch'
      ? 'Did the watch see it as early as it could have?'
      : 'Which check would have seen it before a person did?',
    'What contributed? (There is more than one cause.)',
    'What worked well, and where were we lucky?',
    'Who is waiting for an answer from us?',
    ...(data.archives.length + data.lost === 0 ? [] : ['Who owns the rows that were archived or lost?']),
  ]);
}

function tookOver(attempts: readonly EarlierAttempt[]): string {
  if (attempts.length === 0) return '';
  return ` and of ${attempts.map((attempt) => `run ${attempt.run}`).join(', ')}, which it took over from`;
}

/** A draft for people to correct and complete, in Markdown. Pure: the same facts give the same text. */
export function draftIncident(facts: IncidentFacts): string {
  const { plan, journal, attempts, incident, run } = facts;
  const state = foldRun(plan, journal);
  const earlier = attempts.map((attempt) => ({
    data: dataOutcome(attempt.plan, foldRun(attempt.plan, attempt.journal)),
  }));
  const story: Story = {
    ...facts,
    state,
    data: inAll({ plan, data: dataOutcome(plan, state) }, earlier),
    startedAt: (attempts[0]?.journal ?? journal)[0]?.at ?? null,
    endedAt: endOfDamage(plan, state),
  };
  const number = incident === null ? '' : ` ${incident}`;
  const movement = `${plan.from ?? 'a release'} rolled back to ${plan.to ?? 'nothing'}`;
  const sections: readonly (readonly [title: string, text: string])[] = [
    ['Summary', summary(story)],
    ['Impact', impact(story)],
    ['What was affected', affected(story)],
    ['Data', dataSection(story)],
    ['Timeline', timelineSection(story)],
    ['What people were told', messagesSection(story)],
    ['What is not known', list(notKnown(story))],
    ['Next actions', actions(story)],
    ['Questions for people', questions(story)],
  ];
  const parts = [
    `# Incident${number}: ${md(plan.application)} ${md(plan.environment)}, ${md(movement)}`,
    `**Status: ${statusWord(state.status)}**`,
    `Draft, made from the journal of run ${run}${tookOver(attempts)}. It tells what was recorded and seen; causes and blame it does not know.`,
    ...sections.map(([title, text]) => `## ${title}\n\n${text}`),
  ];
  return `${parts.join('\n\n')}\n`;
}
