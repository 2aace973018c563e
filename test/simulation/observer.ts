import { readDatabaseArtifact } from '../../src/domain/facts.ts';
import type { Release, ReleaseId } from '../../src/domain/release.ts';
import { releaseNumber } from '../../src/domain/release.ts';
import type { RunResult } from '../../src/domain/report.ts';
import { endedStatuses, type JournalEntry } from '../../src/domain/run.ts';
import type { FaultKind } from './faults.ts';
import { judgeJournal } from './journal-rules.ts';
import { canary, standbyVersion, type World } from './world.ts';

/** After these the world is another one than anybody could know: what holds is only that nothing false is said. */
const unknowable: readonly FaultKind[] = ['human-change'];
/** After these a run may have to wait for a person. */
const blocking: readonly FaultKind[] = [
  'human-change',
  'flipped-byte',
  'torn-sector',
  'capture-lost',
  'lost-sync',
];

function any(world: World, kinds: readonly FaultKind[]): boolean {
  return kinds.some((kind) => world.faults.happened(kind));
}

function isUnknowable(world: World): boolean {
  return world.network.lied || any(world, unknowable);
}

function recorded(world: World, id: ReleaseId): Release | undefined {
  return world.disk.content.releases.get(releaseNumber(id));
}

/** How the world differs from what a release says. */
function differences(world: World, release: Release): readonly string[] {
  const { web, database, desktop } = release.surfaces;
  const found: string[] = [];
  if (web !== undefined && world.web.live !== web.since)
    found.push(`${world.web.live} serves, not ${web.since}`);
  const applied = database === undefined ? null : readDatabaseArtifact(database.artifact);
  // A newer schema stays where the code runs on it, and what contracts it waits for a watch that ended well;
  // whether the code runs, users tell.
  if (
    release.health === 'good' &&
    applied?.applied.some((version) => !world.database.applied.includes(version))
  )
    found.push(`the schema is ${world.database.applied.join()}, not ${applied.applied.join()}`);
  // One that never came out is not offered; the good code under a higher version can't be taken back.
  const { offered, versions } = world.desktop.state;
  const isOut = desktop !== undefined && versions[desktop.label] !== undefined;
  if (isOut && offered !== desktop.label && offered !== standbyVersion)
    found.push(`${offered} is offered, not ${desktop.label}`);
  return found;
}

/** What a command has just said, held against the world as it is at that moment. */
export function judgeResult(world: World, { run, status, kind, to, from }: RunResult): readonly string[] {
  // It may be told late: what somebody else has done since is not its matter.
  if (isUnknowable(world) || run < world.disk.content.runs.length) return [];
  const said = status === 'done' ? to : status === 'undone' ? from : null;
  if (said === null || kind === 'rehearsal') return [];
  // What is taken back may never have come out; where nothing live was to move, all is as it was found.
  const steps = world.disk.content.runs[run - 1]?.parsed().steps ?? [];
  if (
    status === 'undone' &&
    steps.every(({ action }) => action.startsWith('unship.') || action === 'web.resume')
  )
    return [];
  const release = recorded(world, said);
  if (release === undefined) return [`${status}, and there is no ${said}`];
  const found = [...differences(world, release), ...isIncomplete(world, kind, status, release)];
  // A record that was lost with its sync knows of no hold; the gateway lets it go soon after its process is gone.
  const isForgotten = any(world, ['lost-sync']);
  const waits = world.web.heldBy === null || isForgotten ? [] : ['requests still wait'];
  return [...found, ...waits, ...isQuarantinedAfter(world, status, kind, from, release)].map(
    (text) => `it said ${status}, and ${text}`,
  );
}

/** What a release has left behind is recorded with it: the way back is made from that. */
function isIncomplete(
  world: World,
  kind: RunResult['kind'],
  status: RunResult['status'],
  { id, surfaces: { database } }: Release,
): readonly string[] {
  // What is carried over was another run's to record.
  const brings = kind === 'release' || kind === 'undo';
  if (!brings || status !== 'done' || database?.since !== id) return [];
  // It is made from the journal, which may be spoilt or lost.
  if (any(world, ['torn-sector', 'flipped-byte', 'lost-sync'])) return [];
  const applied = readDatabaseArtifact(database.artifact);
  const isKnown = applied !== null && applied.fingerprint !== '';
  return isKnown ? [] : [`${id} does not say what schema it left behind`];
}

/** What was taken back must not come again. */
function isQuarantinedAfter(
  world: World,
  status: RunResult['status'],
  kind: RunResult['kind'],
  from: ReleaseId | null,
  to: Release,
): readonly string[] {
  const bad = from === null ? undefined : recorded(world, from);
  if (kind !== 'rollback' || status !== 'done' || bad === undefined || bad.commit === to.commit) return [];
  const kept = world.disk.content.quarantine.some(({ commit }) => commit === bad.commit);
  return kept ? [] : [`the commit of ${bad.id} may ship again`];
}

/** What must hold at the end, once nothing has gone wrong for a while. */
export function judgeEnd(world: World, agreed: number): readonly string[] {
  const violations: string[] = [];
  const { content } = world.disk;
  const open = content.runs.filter(({ summary }) => !endedStatuses.has(summary.status));
  // More would be lost by now than a person has agreed to: whether it is worth it, only a person knows.
  const undecided = open.filter(
    ({ entries }) => !entries.some(({ text }) => text.includes('loss-exceeds-consent')),
  );
  if (undecided.length > 0 && !any(world, blocking)) {
    violations.push(...undecided.map(({ summary }) => `run ${summary.id} stays ${summary.status}`));
  }
  if (open.length === 0 && !isUnknowable(world) && !any(world, ['lost-sync'])) {
    const live = [...content.releases.values()].filter(({ deployment }) => deployment === 'live');
    if (live.length !== 1) violations.push(`${live.length} releases are recorded as live`);
    for (const release of live) {
      violations.push(
        ...differences(world, release).map((text) => `${release.id} is recorded as live, and ${text}`),
      );
      const bad = content.quarantine.find(
        ({ commit, fixedBy }) => commit === release.commit && fixedBy === undefined,
      );
      if (bad !== undefined) violations.push(`${release.id} is live and quarantined`);
    }
    if (!world.isUsable()) violations.push('nobody can use it');
  }
  violations.push(...lostWrites(world, agreed), ...world.monitor.found, ...tooMany(world));
  if (!any(world, ['torn-sector', 'flipped-byte', 'lost-sync'])) {
    for (const run of content.runs) {
      const entries = run.entries.map(({ text }) => JSON.parse(text) as JournalEntry);
      violations.push(...judgeJournal(run.parsed(), entries).map((text) => `run ${run.summary.id}: ${text}`));
    }
  }
  const kept = [
    ...content.runs.flatMap(({ plan, entries }) => [plan, ...entries.map(({ text }) => text)]),
    ...content.incidents.map((incident) => JSON.stringify(incident)),
    ...content.signals.map((signal) => JSON.stringify(signal)),
    ...world.messages.map(({ text }) => text),
    ...world.drafts.values(),
  ];
  if (kept.some((text) => text.includes(canary))) violations.push('a secret was written down or sent');
  return violations;
}

/** An effect with a key happens once, however often it was asked for. */
function tooMany(world: World): readonly string[] {
  const tried = (...actions: readonly string[]): number =>
    world.disk.content.runs
      .flatMap((run) => run.parsed().steps)
      .filter(({ action }) => actions.includes(action)).length;
  const found: string[] = [];
  if (any(world, ['lost-sync'])) return found;
  const messages = world.messages.length;
  // Beside its steps, a run tells once how it ended.
  if (messages > tried('unship.notify') + world.disk.content.runs.length)
    found.push(`${messages} messages were sent`);
  const backups = [...world.database.backups.keys()].filter((id) => id.startsWith('backup-')).length;
  if (backups > tried('database.backup')) found.push(`${backups} backups were taken`);
  return found;
}

/**
 * Every word that was acknowledged is there as it was written, unless somebody agreed to lose it: `agreed` is how many
 * were on the screen when somebody did.
 */
function lostWrites(world: World, agreed: number): readonly string[] {
  const { database, migrations } = world;
  const missing = world.acknowledged.filter(({ id }) => !database.rows.has(id));
  const found: string[] = [];
  const unexplained = missing.filter(({ id }) => !database.lost.has(id));
  if (unexplained.length > 0) found.push(`${unexplained.length} acknowledged writes are gone`);
  if (missing.length > agreed) found.push(`${missing.length} writes are gone, and ${agreed} were agreed to`);
  const isRewritten = database.applied.some((version) => migrations.get(version)?.rewrites);
  if (isRewritten || any(world, ['capture-lost', 'human-change'])) return found;
  const changed = world.acknowledged.filter(({ id, body }) => (database.rows.get(id) ?? body) !== body);
  if (changed.length > 0) found.push(`${changed.length} acknowledged writes are not as they were written`);
  return found;
}
