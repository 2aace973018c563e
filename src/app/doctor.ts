import { isUnshipError, messageOf } from '../domain/errors.ts';
import type { DatabaseFacts, SurfaceFacts } from '../domain/facts.ts';
import type { ReleaseId } from '../domain/release.ts';
import type { DoctorReport } from '../domain/report.ts';
import { timeLimit } from '../domain/time-limit.ts';
import type { DatabasePort } from '../surfaces/database/database.port.ts';
import { proofRows } from './backup-care.ts';
import { damagedJournals } from './damaged-journals.ts';
import { look } from './observe.ts';
import { databasesWithoutVariable } from './own-database.ts';
import type { Parts } from './parts.ts';
import { missingSecrets } from './secrets.ts';
import { type MakePlan, type WayBackNow, wayBackNow } from './way-back.ts';

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
  rows.push(...secretRows(parts, noWayBack));
  if (live === undefined) {
    rows.push(...(await codeRows(parts)));
    rows.push({ level: 'FAIL', subject: 'releases', text: 'nothing is released yet', fix: 'unship release' });
    noWayBack.push(...Object.keys(facts.surfaces));
  } else {
    rows.push(...wayBackRows(parts, await wayBackNow(parts, makePlan), live.id, noWayBack));
  }
  for (const [surface, seen] of Object.entries(facts.surfaces)) rows.push(...surfaceRows(surface, seen));
  rows.push(...(await proofRows(parts, oldestBackups(facts.surfaces))));
  rows.push(...(await journalRows(parts)));
  rows.push(...(await sharedStateRows(parts)));
  rows.push(...rehearsalRows(parts));
  for (const [surface, port] of [...parts.webs, ...parts.desktops]) {
    const text = await port.openBuilds();
    if (text === null) continue;
    const fix = 'allow user namespaces (unshare) on this machine: unship explain build-not-enclosed';
    rows.push({ level: 'warn', subject: surface, text, fix });
  }
  for (const [surface, port] of parts.databases) rows.push(...(await databaseProblems(parts, surface, port)));
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
  if ((parts.definition.checks ?? []).length === 0 && parts.policy.bakeMs > 0)
    rows.push({
      level: 'warn',
      subject: 'guard',
      text: 'no checks: no watch can end well, and no release proves good',
      fix: "configure checks: [{ http: '/health' }]",
    });
  if (parts.policy.bakeMs === 0)
    rows.push({
      level: 'warn',
      subject: 'guard',
      text: 'releases are not watched',
      fix: 'configure guard.bake',
    });
  const surfaces = [...new Set(noWayBack)];
  return { schema: 'unship.doctor/1', noWayBack: surfaces, surfaces: parts.surfaces.size, rows };
}

const problemsWithinMs = 20_000;

/** None where the database can't be asked: that is told already. */
async function databaseProblems(
  { runtime }: Parts,
  surface: string,
  port: DatabasePort,
): Promise<DoctorReport['rows']> {
  using limit = timeLimit(runtime.clock, problemsWithinMs);
  try {
    const problems = (await port.problems?.({ runtime, signal: limit.signal })) ?? [];
    return problems.map((problem) => ({ subject: surface, ...problem }));
  } catch (error) {
    if (!isUnshipError(error)) throw error;
    return [];
  }
}

/** A release is made from a commit: where there is none, it would be refused. */
async function codeRows({ source }: Parts): Promise<DoctorReport['rows']> {
  try {
    await source.resolve('HEAD');
    return [];
  } catch (error) {
    if (!isUnshipError(error)) throw error;
    const { happened, next } = error.details;
    const fix = next === undefined ? {} : { fix: next };
    return [{ level: 'FAIL', subject: 'code', text: happened, ...fix }];
  }
}

/** `noWayBack` takes in the surfaces that can't go back; where the reason is none of theirs, all of them can't. */
function wayBackRows(
  parts: Parts,
  way: WayBackNow,
  live: ReleaseId,
  noWayBack: string[],
): DoctorReport['rows'] {
  if (way.plan === null) {
    const { refusal } = way;
    const ofSurfaces = refusal.missing.flatMap((item) => {
      const surface = item.split(':')[0] ?? '';
      return parts.surfaces.has(surface) ? [{ surface, text: item.slice(surface.length + 1).trim() }] : [];
    });
    const told = new Set(noWayBack);
    const names = ofSurfaces.length > 0 ? ofSurfaces.map(({ surface }) => surface) : parts.surfaces.keys();
    noWayBack.push(...names);
    if (ofSurfaces.length === 0) {
      return [{ level: 'FAIL', subject: 'way back', text: refusal.happened, fix: refusal.next }];
    }
    return ofSurfaces
      .filter(({ surface }) => !told.has(surface))
      .map(({ surface, text }) => ({ level: 'FAIL', subject: surface, text, fix: refusal.next }));
  }
  const { plan, named } = way;
  const loss =
    plan.rowsLost === 0 && !plan.lossUncertain
      ? 'nothing lost'
      : `LOSES ${plan.rowsLost} row${plan.rowsLost === 1 ? '' : 's'}`;
  const from = plan.from === live ? '' : `from ${plan.from}, which got half-way, to `;
  const time = `about ${Math.max(1, Math.round(plan.estimateMs / 1000))} s`;
  return [
    {
      level: plan.rowsLost > 0 ? 'warn' : 'ok',
      subject: 'way back',
      text: `${from}${plan.to}, ${time}, ${loss}${named === null ? '' : `; further back than the last rollback, so name it: unship rollback ${named}`}`,
    },
  ];
}

function secretRows(parts: Parts, noWayBack: string[]): DoctorReport['rows'] {
  return missingSecrets(parts).map(({ name, surface, happened }) => {
    if (surface !== null) noWayBack.push(surface);
    return {
      level: surface === null ? 'warn' : 'FAIL',
      subject: surface ?? 'secret',
      text: happened,
      fix: `set ${name}`,
    };
  });
}

function oldestBackups(surfaces: { readonly [surface: string]: SurfaceFacts }): ReadonlyMap<string, number> {
  return new Map(
    Object.entries(surfaces).flatMap(([surface, seen]) =>
      seen.kind === 'database' && seen.backups.length > 0
        ? [[surface, Math.min(...seen.backups.map((backup) => backup.takenAt))]]
        : [],
    ),
  );
}

/** Journals that doctor verifies: runs further back are no longer gone back to. */
const verifiedRuns = 200;

async function journalRows({ store }: Parts): Promise<DoctorReport['rows']> {
  const damaged = await damagedJournals(store, await store.runs(verifiedRuns));
  return damaged.map(({ run, hasEnded, happened, done }) => ({
    level: hasEnded ? ('warn' as const) : ('FAIL' as const),
    subject: 'journal',
    text: `of run ${run}: ${happened}. Done: ${done}`,
    fix: hasEnded
      ? 'nothing rests on it any more; look for what changed the state'
      : 'unship rollback, which does not read it and ends this run',
  }));
}

async function sharedStateRows(parts: Parts): Promise<DoctorReport['rows']> {
  if (parts.definition.state === undefined) return [];
  const { stateRows } = await import('./shared-state.ts');
  return await stateRows(parts);
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
  return databasesWithoutVariable(parts).map((surface) => ({
    level: 'FAIL' as const,
    subject: surface,
    text: 'no variable tells the application where it is: a rehearsal would open the live one, so none is done',
    fix: `name it in ${surface}: ${parts.definition.surfaces[surface]?.provider ?? 'sqlite'}({ …, environment: 'NAME' })`,
  }));
}

function surfaceRows(surface: string, seen: SurfaceFacts): DoctorReport['rows'] {
  if (seen.kind === 'web') {
    const ready = Object.values(seen.releases).map((item) => item.readiness);
    const text =
      seen.live === null
        ? 'nothing serves'
        : `${seen.live} serves; ${ready.filter((item) => item === 'warm').length} warm, ${ready.filter((item) => item === 'on-disk').length} on disk`;
    return seen.live === null
      ? [{ level: 'warn', subject: surface, text, fix: 'unship serve' }]
      : [{ level: 'ok', subject: surface, text }];
  }
  if (seen.kind === 'desktop') {
    return seen.standby === null
      ? [
          {
            level: 'warn',
            subject: surface,
            text: 'no standby hotfix: who has a bad version waits for a build',
            fix: 'build the good code under a higher version, then unship desktop standby --from FOLDER',
          },
        ]
      : [{ level: 'ok', subject: surface, text: `standby hotfix ${seen.standby.version} is ready` }];
  }
  return databaseRows(surface, seen);
}

function databaseRows(surface: string, seen: DatabaseFacts): DoctorReport['rows'] {
  const without = seen.migrations.filter((migration) => migration.down === 'missing');
  const { noBackup } = seen.measurements;
  const verified = seen.backups.filter((backup) => backup.verified).length;
  return [
    ...without.map((migration) => ({
      level: 'warn' as const,
      subject: surface,
      text: `${migration.name} has no down migration`,
      fix: 'write its down part',
    })),
    ...(noBackup === undefined
      ? []
      : [{ level: 'FAIL' as const, subject: surface, text: noBackup.reason, fix: noBackup.next }]),
    verified > 0
      ? { level: 'ok' as const, subject: surface, text: `${verified} verified backups` }
      : { level: 'warn' as const, subject: surface, text: 'no backup yet', fix: 'unship backup' },
  ];
}
