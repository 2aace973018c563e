import { readDatabaseArtifact } from '../../src/domain/facts.ts';
import type { Release, ReleaseId } from '../../src/domain/release.ts';
import { releaseNumber } from '../../src/domain/release.ts';
import type { RunResult } from '../../src/domain/report.ts';
import { endedStatuses } from '../../src/domain/run.ts';
import type { FaultKind } from './faults.ts';
import { canary, standbyVersion, type World } from './world.ts';

/** After these the world is another one than anybody could know: what holds is only that nothing false is said. */
const unknowable: readonly FaultKind[] = ['human-change', 'reply-stale'];
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
  if (any(world, unknowable) || run < world.disk.content.runs.length) return [];
  const said = status === 'done' ? to : status === 'undone' ? from : null;
  if (said === null || kind === 'rehearsal') return [];
  const release = recorded(world, said);
  if (release === undefined) return [`${status}, and there is no ${said}`];
  return differences(world, release).map((text) => `it said ${status}, and ${text}`);
}

/** What must hold at the end, once nothing has gone wrong for a while. */
export function judgeEnd(world: World): readonly string[] {
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
  if (open.length === 0 && !any(world, [...unknowable, 'lost-sync'])) {
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
  violations.push(...lostWrites(world));
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

/** Every word that was acknowledged is there as it was written, unless somebody agreed to lose it. */
function lostWrites(world: World): readonly string[] {
  const { database, migrations } = world;
  const consented = world.disk.content.runs
    .flatMap(({ entries }) =>
      entries.map(({ text }) => /"type":"consent","rowsLost":(\d+)/.exec(text)?.[1] ?? 0),
    )
    .reduce((sum: number, rows) => sum + Number(rows), 0);
  const missing = world.acknowledged.filter(({ id }) => !database.rows.has(id));
  const found: string[] = [];
  const unexplained = missing.filter(({ id }) => !database.lost.has(id));
  if (unexplained.length > 0) found.push(`${unexplained.length} acknowledged writes are gone`);
  // What somebody agreed to stands in the journal, where it may be spoilt or lost.
  if (missing.length > consented && !any(world, ['lost-sync', 'torn-sector', 'flipped-byte']))
    found.push(`${missing.length} writes are gone, and ${consented} were agreed to`);
  const isRewritten = database.applied.some((version) => migrations.get(version)?.rewrites);
  if (isRewritten || any(world, ['capture-lost', 'human-change'])) return found;
  const changed = world.acknowledged.filter(({ id, body }) => (database.rows.get(id) ?? body) !== body);
  if (changed.length > 0) found.push(`${changed.length} acknowledged writes are not as they were written`);
  return found;
}
