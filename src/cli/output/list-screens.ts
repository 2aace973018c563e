import { formatDuration } from '../../domain/duration.ts';
import { shortCommit } from '../../domain/names.ts';
import { shortHash, topologicalOrder } from '../../domain/plan.ts';
import type { QuarantinedCommit, Release } from '../../domain/release.ts';
import type { BackupReport, IncidentReport, MigrationReport, ShowReport } from '../../domain/report.ts';
import type { JournalEntry, RunSummary } from '../../domain/run.ts';
import { bytes, clockTime, count, dateTime, labelled, table } from './layout.ts';
import { lost } from './plan-screen.ts';

export function releasesScreen(releases: readonly Release[]): readonly string[] {
  if (releases.length === 0) return ['Nothing is released yet.'];
  const rows = releases.map((release) => [
    release.id,
    release.deployment,
    release.health,
    release.commit === '' ? '-' : shortCommit(release.commit),
    surfacesText(release),
    dateTime(release.createdAt),
  ]);
  return table([['', 'is', 'health', 'commit', 'surfaces', 'made'], ...rows], 4);
}

/** `web r42, desktop 1.1.0 (since r40)`: what was carried over names the release it came with. */
export function surfacesText(release: Release): string {
  return Object.entries(release.surfaces)
    .map(([name, one]) => `${name} ${one.label}${one.since === release.id ? '' : ` (since ${one.since})`}`)
    .join(', ');
}

export function runsScreen(runs: readonly RunSummary[]): readonly string[] {
  if (runs.length === 0) return ['Nothing was run yet.'];
  const rows = runs.map((run) => [
    String(run.id),
    run.kind,
    run.status,
    `${run.from ?? 'nothing'} -> ${run.to ?? 'nothing'}`,
    formatDuration(run.updatedAt - run.startedAt),
    dateTime(run.startedAt),
  ]);
  return table([['run', 'kind', 'is', 'way', 'took', 'begun'], ...rows], 3);
}

export function quarantineScreen(entries: readonly QuarantinedCommit[]): readonly string[] {
  if (entries.length === 0) return ['No commit is quarantined.'];
  const rows = entries.map((entry) => [
    shortCommit(entry.commit),
    entry.release,
    entry.fixedBy === undefined
      ? entry.reason
      : `lifted, fixed by ${shortCommit(entry.fixedBy)}; ${entry.reason}`,
    dateTime(entry.since),
  ]);
  return table([['commit', 'of', 'why', 'since'], ...rows], 2);
}

export function backupsScreen(backups: readonly BackupReport[]): readonly string[] {
  if (backups.length === 0) return ['There is no backup.'];
  const rows = backups.map((one) => [
    one.verified ? 'ok' : 'FAIL',
    one.id,
    one.surface,
    one.release,
    `${one.applied.at(-1) ?? 'no migrations'}${one.bytes === undefined ? '' : `, ${bytes(one.bytes)}`}`,
    dateTime(one.takenAt),
  ]);
  return table([['', 'backup', 'of', 'before', 'schema', 'taken'], ...rows], 4);
}

export function migrationsScreen(migrations: readonly MigrationReport[]): readonly string[] {
  if (migrations.length === 0) return ['There are no migrations.'];
  return table(
    migrations.map((one) => [
      one.down === 'missing' ? 'FAIL' : one.state === 'missing' ? 'warn' : 'ok',
      one.surface,
      one.version,
      one.name,
      one.state,
      { written: 'down written', missing: 'no down migration', 'restore-only': 'restore only' }[one.down],
    ]),
    3,
  );
}

export function incidentsScreen(incidents: readonly IncidentReport[]): readonly string[] {
  if (incidents.length === 0) return ['There is no incident.'];
  const rows = incidents.map((one) => [
    String(one.id),
    one.release ?? '-',
    String(one.run),
    titleOf(one),
    dateTime(one.openedAt),
  ]);
  return table([['id', 'of', 'run', 'what', 'opened'], ...rows], 3);
}

function titleOf(incident: IncidentReport): string {
  return incident.draft.match(/^#+\s*(.+)$/m)?.[1] ?? '';
}

export function showScreen(report: ShowReport): readonly string[] {
  switch (report.type) {
    case 'release':
      return releaseScreen(report.release);
    case 'run':
      return runDetails(report);
    case 'incident':
      // Breaks addresses and mentions for those who render Markdown; a terminal would only spell it out.
      return report.incident.draft.replaceAll('\u2060', '').split('\n');
    case 'backup':
      return [...backupsScreen([report.backup]), ...labelled('Location', report.backup.location)];
    case 'quarantine':
      return quarantineScreen([report.entry]);
  }
}

function releaseScreen(release: Release): readonly string[] {
  const { rehearsal } = release;
  return [
    `${release.id}: ${release.deployment}, ${release.health}`,
    ...labelled('Commit', release.commit === '' ? 'not known' : release.commit),
    ...labelled('Made', `${dateTime(release.createdAt)} by ${release.createdBy}`),
    ...labelled('Surfaces', surfacesText(release)),
    ...labelled('Settings', release.configurationHash),
    ...(rehearsal === undefined
      ? labelled('Way back', 'not rehearsed')
      : labelled('Way back', rehearsalText(rehearsal))),
  ];
}

export function rehearsalText(rehearsal: NonNullable<Release['rehearsal']>): string {
  if (!rehearsal.ok) return `FAILED when rehearsed: ${rehearsal.note ?? 'see the run'}`;
  const note = rehearsal.note === undefined ? '' : `; ${rehearsal.note}`;
  return `${formatDuration(rehearsal.wayBackMs)}, ${lost(rehearsal.rowsLost, true)} (rehearsed)${note}`;
}

function runDetails(report: Extract<ShowReport, { type: 'run' }>): readonly string[] {
  const { run, plan, state, journal } = report;
  const steps = topologicalOrder(plan.steps).map((step, index) => {
    const seen = state.steps[step.id];
    const took =
      seen?.startedAt === undefined || seen.endedAt === undefined
        ? ''
        : formatDuration(seen.endedAt - seen.startedAt);
    const text = seen?.error?.message ?? seen?.observed ?? step.title;
    return [stepWord(seen?.status), String(index + 1), step.id, text, took];
  });
  return [
    `Run ${run.id}: ${run.kind} ${run.from ?? 'nothing'} -> ${run.to ?? 'nothing'}, ${run.status}`,
    ...labelled('Plan', `${shortHash(run.planHash)}, ${run.label}`),
    ...labelled('Begun', `${dateTime(run.startedAt)}, ${formatDuration(run.updatedAt - run.startedAt)}`),
    ...(plan.reason === '' ? [] : labelled('Reason', plan.reason)),
    '',
    ...table(steps, 3),
    '',
    ...timeline(journal),
    ...labelled('', `${count(journal.length)} journal entries; --json has them all`),
  ];
}

function stepWord(status: string | undefined): string {
  if (status === 'verified') return 'ok';
  if (status === 'failed' || status === 'undo-failed') return 'FAIL';
  if (status === 'undone' || status === 'undoing') return 'undo';
  return status === undefined || status === 'pending' ? '' : 'wait';
}

/** What was no step: changes of the run itself, and notes. */
function timeline(journal: readonly JournalEntry[]): readonly string[] {
  return journal.flatMap((entry) => {
    if (entry.type === 'run') {
      return labelled(
        clockTime(entry.at),
        `${entry.status}${entry.note === undefined ? '' : `: ${entry.note}`}`,
      );
    }
    return entry.type === 'note' ? labelled(clockTime(entry.at), entry.text) : [];
  });
}
