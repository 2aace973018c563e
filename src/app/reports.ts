import type { RollbackRequest } from '../domain/application.ts';
import { isUnshipError, messageOf, UnshipError } from '../domain/errors.ts';
import type { DatabaseFacts, SurfaceFacts } from '../domain/facts.ts';
import { isRefusal, type Plan, type Refusal } from '../domain/plan.ts';
import { schemaLabel } from '../domain/planner/rollback.ts';
import { isReleaseId, liveRelease, type Release } from '../domain/release.ts';
import type {
  BackupReport,
  DoctorReport,
  MigrationReport,
  ShowReport,
  StatusReport,
  WayBack,
} from '../domain/report.ts';
import { endedStatuses, foldRun, type RunSummary } from '../domain/run.ts';
import { type Observation, observe } from './observe.ts';
import type { Parts } from './parts.ts';

type MakePlan = (request: RollbackRequest) => Promise<Plan | Refusal>;

async function look(parts: Parts): Promise<Observation & { readonly live: Release | undefined }> {
  const live = liveRelease(await parts.store.planningHistory());
  const query = { releases: live === undefined ? [] : [live], countRisk: false };
  return { live, ...(await observe(parts.surfaces, query, parts.runtime)) };
}

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
  const { store, request, runtime, isOwnerAlive } = parts;
  const [{ live, facts, failures }, runs, lease, history] = [
    await look(parts),
    await store.runs(20),
    await store.lease(),
    await store.planningHistory(),
  ];
  const plan = live === undefined ? null : await makePlan({ countRisk: true });
  const wayBack: WayBack | null =
    plan === null || isRefusal(plan) || plan.to === null
      ? null
      : { to: plan.to, estimateMs: plan.estimateMs, rowsLost: plan.rowsLost, exact: !plan.lossUncertain };
  const held =
    lease !== undefined && lease.expiresAt > runtime.clock.now() && isOwnerAlive(lease.owner) !== false;
  const unended = runs.filter((run) => !endedStatuses.has(run.status));
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
    open: history.quarantine
      .filter((entry) => entry.fixedBy === undefined)
      .map((entry) => `${entry.release} (${entry.commit.slice(0, 7)}) is quarantined`),
    next: nextCommand(live, wayBack, unended.length > 0 && !held),
  };
}

function nextCommand(
  live: Release | undefined,
  wayBack: WayBack | null,
  resumable: boolean,
): StatusReport['next'] {
  if (resumable) return { command: 'unship resume', note: 'a run has not ended' };
  if (live === undefined) return { command: 'unship release', note: 'nothing is released yet' };
  if (live.health === 'bad') return { command: 'unship plan', note: 'shows the way back' };
  return wayBack === null ? { command: 'unship doctor' } : { command: 'unship plan' };
}

/** Is there a way back right now, and what is missing: a row a question, each with what mends it. */
export async function doctorReport(parts: Parts, makePlan: MakePlan): Promise<DoctorReport> {
  const { live, facts, failures } = await look(parts);
  const rows: { level: 'ok' | 'warn' | 'FAIL'; subject: string; text: string; fix?: string }[] = [];
  const noWayBack: string[] = [];
  for (const { surface, error } of failures) {
    noWayBack.push(surface);
    const fix = isUnshipError(error) ? error.details.next : undefined;
    rows.push({
      level: 'FAIL',
      subject: surface,
      text: isUnshipError(error) ? error.details.happened : messageOf(error),
      ...(fix === undefined ? {} : { fix }),
    });
  }
  if (live === undefined) {
    rows.push({ level: 'FAIL', subject: 'releases', text: 'nothing is released yet', fix: 'unship release' });
    noWayBack.push(...Object.keys(facts.surfaces));
  } else {
    const plan = await makePlan({ countRisk: true });
    if (isRefusal(plan) && plan.slug === 'already-there') {
      rows.push({ level: 'warn', subject: 'way back', text: plan.happened, fix: plan.next });
    } else if (isRefusal(plan)) {
      for (const item of plan.missing) {
        const surface = item.split(':')[0] ?? '';
        const subject = facts.surfaces[surface] === undefined ? 'releases' : surface;
        rows.push({
          level: 'FAIL',
          subject,
          text: item.includes(': ') ? item.slice(item.indexOf(': ') + 2) : `missing: ${item}`,
          fix: plan.next,
        });
        if (!noWayBack.includes(subject)) noWayBack.push(subject);
      }
    } else {
      const loss =
        plan.rowsLost === 0 && !plan.lossUncertain ? 'nothing lost' : `LOSES ${plan.rowsLost} rows`;
      rows.push({
        level: plan.rowsLost > 0 ? 'warn' : 'ok',
        subject: 'way back',
        text: `${plan.to}, about ${Math.max(1, Math.round(plan.estimateMs / 1000))} s, ${loss}`,
      });
    }
  }
  for (const [surface, seen] of Object.entries(facts.surfaces)) rows.push(...surfaceRows(surface, seen));
  rows.push(...rehearsalRows(parts));
  for (const [surface, port] of [...parts.webs, ...parts.desktops]) {
    const text = await port.openBuilds();
    if (text !== null) {
      const fix = 'allow user namespaces (unshare) on this machine: unship explain build-not-enclosed';
      rows.push({ level: 'warn', subject: surface, text, fix });
    }
  }
  for (const [surface, port] of parts.desktops) {
    const problems = await port.standbyProblems();
    rows.push(
      ...problems.map((text) => ({ level: 'warn' as const, subject: surface, text: `standby: ${text}` })),
    );
  }
  if (parts.channels.length === 0) {
    rows.push({
      level: 'warn',
      subject: 'team',
      text: 'no channel: nobody is told',
      fix: 'configure notifications.team',
    });
  }
  if (parts.policy.bakeMs === 0)
    rows.push({
      level: 'warn',
      subject: 'guard',
      text: 'releases are not watched',
      fix: 'configure guard.bake',
    });
  return { schema: 'unship.doctor/1', noWayBack, surfaces: parts.surfaces.size, rows };
}

function rehearsalRows(parts: Parts): DoctorReport['rows'] {
  if (parts.policy.rehearsal === 'off') {
    return [
      {
        level: 'warn',
        subject: 'rehearsal',
        text: 'off: nobody knows whether the way back works',
        fix: "remove rehearsal: 'off'",
      },
    ];
  }
  const unnamed = [...parts.databases.keys()].filter((surface) => {
    const options = parts.definition.surfaces[surface]?.options as
      | { readonly environment?: unknown }
      | undefined;
    return options?.environment === undefined;
  });
  if (parts.webs.size === 0) return [];
  return unnamed.map((surface) => ({
    level: 'FAIL' as const,
    subject: surface,
    text: 'no variable tells the application where it is: a rehearsal would open the live one, so none is done',
    fix: `name it in ${surface}: sqlite({ …, environment: 'NAME' })`,
  }));
}

function surfaceRows(surface: string, seen: SurfaceFacts): DoctorReport['rows'] {
  if (seen.kind === 'web') {
    const ready = Object.values(seen.releases).map((item) => item.readiness);
    const text =
      seen.live === null
        ? 'nothing serves'
        : `${seen.live} serves; ${ready.filter((item) => item === 'warm').length} warm, ${ready.filter((item) => item === 'on-disk').length} on disk`;
    return [{ level: seen.live === null ? 'warn' : 'ok', subject: surface, text }];
  }
  if (seen.kind === 'desktop') {
    return seen.standby === null
      ? [
          {
            level: 'warn',
            subject: surface,
            text: 'no standby hotfix: who has a bad version waits for a build',
            fix: 'build the good code under a higher version into the standby folder',
          },
        ]
      : [{ level: 'ok', subject: surface, text: `standby hotfix ${seen.standby.version} is ready` }];
  }
  return databaseRows(surface, seen);
}

function databaseRows(surface: string, seen: DatabaseFacts): DoctorReport['rows'] {
  const without = seen.migrations.filter((migration) => migration.down === 'missing');
  const verified = seen.backups.filter((backup) => backup.verified).length;
  return [
    ...without.map((migration) => ({
      level: 'warn' as const,
      subject: surface,
      text: `${migration.name} has no down migration`,
      fix: 'write its down part',
    })),
    verified > 0
      ? { level: 'ok' as const, subject: surface, text: `${verified} verified backups` }
      : { level: 'warn' as const, subject: surface, text: 'no backup yet', fix: 'unship backup' },
  ];
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
