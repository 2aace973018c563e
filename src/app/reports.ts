import { messageOf, UnshipError } from '../domain/errors.ts';
import type { Facts, SurfaceFacts } from '../domain/facts.ts';
import { shortCommit } from '../domain/names.ts';
import { currentRelease } from '../domain/planner/leaving.ts';
import { schemaLabel } from '../domain/planner/rollback-moves.ts';
import { isReleaseId, liveRelease, type Release } from '../domain/release.ts';
import type { BackupReport, MigrationReport, ShowReport, StatusReport, WayBack } from '../domain/report.ts';
import { endedStatuses, foldRun, type RunSummary } from '../domain/run.ts';
import { type DamagedJournal, damagedJournals } from './damaged-journals.ts';
import { counts } from './leases.ts';
import { look, observe } from './observe.ts';
import type { Parts } from './parts.ts';
import { type MakePlan, type WayBackNow, wayBackNow } from './way-back.ts';

function describe(seen: SurfaceFacts): { readonly now: string; readonly text: string } {
  if (seen.kind === 'web')
    return { now: seen.live ?? 'nothing', text: seen.live === null ? 'nothing serves' : 'serving' };
  if (seen.kind === 'desktop') {
    const standby = seen.standby === null ? 'no standby hotfix' : `standby hotfix ${seen.standby.version}`;
    return {
      now: seen.offered ?? 'nothing',
      text: seen.offered === null ? 'nothing offered' : `offered; ${standby}`,
    };
  }
  const newest = [...seen.backups].sort((a, b) => b.takenAt - a.takenAt)[0];
  const backup =
    newest === undefined
      ? 'no backup'
      : `backup ${new Date(newest.takenAt).toISOString().slice(0, 16).replace('T', ' ')}, ${newest.verified ? 'verified' : 'NOT verified'}`;
  return { now: schemaLabel(seen.applied), text: backup };
}

/** A release that was brought back is live since the run that did it; its own age says nothing of that. */
function liveSince(live: Release, runs: readonly RunSummary[]): number {
  const brought = runs.find(
    (run) => run.to === live.id && run.kind !== 'rehearsal' && run.kind !== 'maintenance',
  );
  return brought?.startedAt ?? live.createdAt;
}

export async function statusReport(parts: Parts, makePlan: MakePlan): Promise<StatusReport> {
  const { store, request } = parts;
  const [{ live, facts, failures }, runs, lease, history] = [
    await look(parts),
    await store.runs(20),
    await store.lease(),
    await store.planningHistory(),
  ];
  const way = live === undefined ? null : await wayBackNow(parts, makePlan);
  const wayBack = wayBackOf(way);
  const held = lease !== undefined && counts(parts, lease);
  const unended = runs.filter((run) => !endedStatuses.has(run.status));
  const damaged = await damagedJournals(store, runs);
  const current = currentRelease(history);
  const isDriven = unended.some((run) => run.to === current?.id);
  const begun = current?.deployment === 'pending' && !isDriven ? current : undefined;
  return {
    schema: 'unship.status/1',
    application: request.definition.name,
    environment: request.environment,
    live:
      live === undefined
        ? null
        : { release: live.id, health: live.health, commit: live.commit, since: liveSince(live, runs) },
    wayBack,
    surfaces: [
      ...Object.entries(facts.surfaces).map(([surface, seen]) => ({ surface, ...describe(seen) })),
      ...failures.map(({ surface, error }) => ({ surface, now: 'unknown', text: messageOf(error) })),
    ],
    runs: unended,
    holder: held
      ? { user: lease.owner.user, host: lease.owner.host, command: lease.owner.command, since: lease.since }
      : null,
    open: [
      ...(begun === undefined
        ? []
        : [`${begun.id} (${shortCommit(begun.commit)}) is begun and not finished`]),
      ...damaged.map(({ run }) => `the journal of run ${run} is damaged (unship doctor)`),
      ...history.quarantine
        .filter((entry) => entry.fixedBy === undefined)
        .map((entry) => `${entry.release} (${entry.commit.slice(0, 7)}) is quarantined`),
    ],
    next:
      lostRun(damaged) ??
      nextCommand(live, way, {
        resumable: unended.length > 0 && !held,
        begun,
        down: isDown(live, facts),
      }),
  };
}

/** A release is on record as live, and nobody serves it: its gateway was ended, or the machine. */
function isDown(live: Release | undefined, facts: Facts): boolean {
  const webs = Object.entries(facts.surfaces).filter(([name]) => live?.surfaces[name] !== undefined);
  return webs.some(([, seen]) => seen.kind === 'web' && seen.live === null);
}

/** A run that can't go on: a rollback does without its journal, and ends it. */
function lostRun(damaged: readonly DamagedJournal[]): StatusReport['next'] | undefined {
  const unended = damaged.find(({ hasEnded }) => !hasEnded);
  if (unended === undefined) return undefined;
  return { command: 'unship rollback', note: `run ${unended.run} can't be continued` };
}

function wayBackOf(way: WayBackNow | null): WayBack | null {
  const plan = way?.plan ?? null;
  if (plan === null || plan.from === null || plan.to === null) return null;
  const { from, to, estimateMs, rowsLost, lossUncertain } = plan;
  return { from, to, estimateMs, rowsLost, exact: !lossUncertain };
}

function nextCommand(
  live: Release | undefined,
  way: WayBackNow | null,
  {
    resumable,
    begun,
    down,
  }: { readonly resumable: boolean; readonly begun: Release | undefined; readonly down: boolean },
): StatusReport['next'] {
  if (resumable) return { command: 'unship resume', note: 'a run has not ended' };
  if (begun !== undefined) return { command: 'unship release finish', note: 'or unship release abort' };
  if (down) return { command: 'unship serve', note: 'nothing serves' };
  if (live === undefined) return { command: 'unship release', note: 'nothing is released yet' };
  if (way === null || way.plan === null) return { command: 'unship doctor' };
  return live.health === 'bad'
    ? { command: way.command, note: 'shows the way back' }
    : { command: way.command };
}

export async function backupReports(parts: Parts): Promise<readonly BackupReport[]> {
  const { facts } = await look(parts);
  return Object.entries(facts.surfaces).flatMap(([surface, seen]) =>
    seen.kind === 'database' ? seen.backups.map((backup) => ({ ...backup, surface })) : [],
  );
}

export async function migrationReports(parts: Parts): Promise<readonly MigrationReport[]> {
  const live = liveRelease(await parts.store.planningHistory());
  const commit = await parts.source.resolve('HEAD');
  const query = { releases: live === undefined ? [] : [live], commit, countRisk: false };
  const { facts } = await observe(parts.surfaces, query, parts.runtime);
  return Object.entries(facts.surfaces).flatMap(([surface, seen]) => {
    if (seen.kind !== 'database') return [];
    const known = new Map(seen.migrations.map((migration) => [migration.version, migration]));
    const row = (version: string, state: 'applied' | 'pending'): MigrationReport => {
      const migration = known.get(version);
      return {
        surface,
        version,
        name: migration?.name ?? version,
        state: migration === undefined ? 'missing' : state,
        down: migration?.down ?? 'missing',
      };
    };
    return [
      ...seen.applied.map((version) => row(version, 'applied')),
      ...seen.pending.map((version) => row(version, 'pending')),
    ];
  });
}

/** Anything that has an id. Throws `unknown-release` or `unknown-run` when nothing is called so. */
export async function showReport(parts: Parts, id: string): Promise<ShowReport> {
  const { store } = parts;
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
  const backup = (await backupReports(parts)).find((item) => item.id === id);
  if (backup !== undefined) return { schema: 'unship.show/1', type: 'backup', backup };
  const entry = (await store.planningHistory()).quarantine.find(
    (item) => id.length >= 7 && item.commit.startsWith(id),
  );
  if (entry !== undefined) return { schema: 'unship.show/1', type: 'quarantine', entry };
  throw new UnshipError(isReleaseId(id) ? 'unknown-release' : 'unknown-run', {
    happened: `nothing here is called ${id}`,
    next: 'unship releases, unship runs, unship backups or unship incident list',
  });
}
