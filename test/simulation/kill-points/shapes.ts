import type { EnvironmentDefinition, GuardDefinition } from '../../../src/domain/definition.ts';
import type { Migration } from '../database.ts';
import type { PlannedFault } from '../faults.ts';
import { commitHash, standbyVersion, World } from '../world.ts';
import { Steady } from './continued.ts';
import type { Person } from './person.ts';

type Act = (person: Person) => Promise<void>;

/** One kind of plan, with the world that makes it so. */
export interface Shape {
  readonly name: string;
  /** How its runs end, oldest first; those before it have ended well. */
  readonly ends: readonly string[];
  readonly guard?: GuardDefinition;
  readonly approvals?: EnvironmentDefinition['approvals'];
  /** Of the release that follows the good one. */
  readonly migrations?: readonly Omit<Migration, 'version'>[];
  /** Its checks fail. */
  readonly isBad?: boolean;
  readonly hasStandby?: boolean;
  /** What goes wrong by itself while `act` happens, each time at the same place. */
  readonly planned?: readonly PlannedFault[];
  /** What has happened before. */
  readonly before?: Act;
  /** Where whoever did that was killed; absent: nowhere. */
  readonly leftWhere?: (world: World) => boolean;
  /** What is done, and killed. */
  readonly act: Act;
  /** What people do first when they come back to it, where it is not done yet; true when they did it. */
  readonly first?: (person: Person) => Promise<boolean>;
  /** How it may end as well, where what makes it another shape came too late. */
  readonly otherwise?: Act;
}

const expanding = { oldCodeRuns: true, newCodeRuns: false, rewrites: false, down: 'written' } as const;
const contracting = { oldCodeRuns: false, newCodeRuns: true, rewrites: false, down: 'written' } as const;
const breaking = { oldCodeRuns: false, newCodeRuns: false, rewrites: true, down: 'written' } as const;
const restoreOnly = { ...breaking, down: 'restore-only' } as const;

const release: Act = (person) => person.release();
const rollback: Act = (person) => person.rollback();

/** People write for a while with what was released, so that going back has something to lose. */
const releaseAndUse: Act = async (person) => {
  await person.release();
  await person.world.time.sleep(5_000);
};

/** So long after the beginning of a release somebody wants it back: while it is watched, with everything done. */
const cancelAfterMs = 1_500;

const cancelled: Act = async (person) => {
  const { world } = person;
  const releasing = person.release();
  await world.time.sleep(cancelAfterMs);
  if (!person.isInterrupted) await cancelUnlessAsked('release')(person);
  await releasing;
};

/** The watch has ended well, and the next moment the desktop release would be out: beyond that nobody can go back. */
function isWatched({ disk }: World): boolean {
  const entries = disk.content.runs.at(-1)?.entries ?? [];
  return entries.some(({ text }) => text.includes('"unship.watch","status":"applied"'));
}

/** The backup's content is live, and the journal does not know it yet. */
function isRestored({ database }: World): boolean {
  return database.restored !== null;
}

function isCancelAsked({ world }: Person): boolean {
  return world.disk.content.signals.some(({ name }) => name === 'cancel');
}

/** Whoever was killed before the word was written down says it again. */
const cancelUnlessAsked =
  (kind: 'release' | 'rollback') =>
  async (person: Person): Promise<boolean> => {
    // The first of its kind; what took over from it is another's, and is gone on with.
    const meant = person.world.disk.content.runs.find(({ summary }) => summary.kind === kind)?.summary.id;
    const isOpen = person.open.some(({ summary }) => summary.id === meant);
    if (isCancelAsked(person) || !isOpen) return false;
    await person.cancel();
    return true;
  };

/** What cron does of its own accord, soon enough: an unhealthy release whose end nobody saw is taken back. */
async function letCronFollow(person: Person): Promise<boolean> {
  const { world } = person;
  if (world.disk.content.runs.at(-1)?.summary.status !== 'failed') return false;
  await world.time.sleep(31_000);
  await person.resumeDue();
  return true;
}

export const shapes: readonly Shape[] = [
  { name: 'release-code', ends: ['release done'], act: release },
  { name: 'release-held', ends: ['release done'], migrations: [breaking], act: release },
  { name: 'release-contracting', ends: ['release done'], migrations: [expanding, contracting], act: release },
  {
    name: 'release-approved',
    ends: ['release done'],
    approvals: ['release'],
    guard: { desktop: 'during' },
    act: release,
  },
  {
    name: 'release-unhealthy',
    ends: ['release failed', 'rollback done'],
    migrations: [expanding],
    isBad: true,
    guard: { onUnhealthy: 'rollback' },
    act: release,
    first: letCronFollow,
  },
  {
    name: 'release-cancelled',
    ends: ['release undone'],
    migrations: [breaking],
    act: cancelled,
    first: cancelUnlessAsked('release'),
    otherwise: release,
  },
  {
    name: 'cancel',
    ends: ['release undone'],
    migrations: [expanding],
    before: release,
    leftWhere: isWatched,
    act: (person) => person.cancel(),
    first: cancelUnlessAsked('release'),
  },
  {
    name: 'rollback-keep-schema',
    ends: ['release done', 'rollback done'],
    migrations: [expanding],
    // The order to switch is lost once: what takes back is stubborn.
    planned: [{ kind: 'connection-reset', place: 'call', at: 6 }],
    before: release,
    act: rollback,
  },
  {
    name: 'rollback-migrate-down',
    ends: ['release done', 'rollback done'],
    migrations: [breaking],
    before: releaseAndUse,
    act: rollback,
  },
  {
    name: 'rollback-restore',
    ends: ['release done', 'rollback done'],
    migrations: [restoreOnly],
    before: releaseAndUse,
    act: rollback,
  },
  {
    name: 'rollback-cancelled',
    ends: ['release done', 'rollback undone'],
    migrations: [restoreOnly],
    before: async (person) => {
      await releaseAndUse(person);
      await person.rollback();
    },
    leftWhere: isRestored,
    act: (person) => person.cancel(),
    first: cancelUnlessAsked('rollback'),
  },
  {
    name: 'rollback-standby',
    ends: ['release done', 'rollback done'],
    approvals: ['rollback'],
    hasStandby: true,
    before: release,
    act: rollback,
  },
  {
    name: 'undo',
    ends: ['release done', 'rollback done', 'undo done'],
    migrations: [breaking],
    before: async (person) => {
      await releaseAndUse(person);
      await person.rollback();
    },
    act: (person) => person.undo(),
  },
];

/** The world in which a shape begins: the good release is live, the other one waits to be released. */
export function worldOf({ guard, approvals, migrations = [], isBad = false, hasStandby }: Shape): World {
  const definition = {
    surfaces: {},
    guard: { bake: '4s', every: '1s', failures: 2, desktop: 'after', onUnhealthy: 'page', ...guard },
    approvals: approvals ?? [],
  } as EnvironmentDefinition;
  const world = new World(new Steady(1), [], definition);
  const good = { hash: commitHash(1), parents: [], versions: ['0001'], desktop: '1.0.0', isBad: false };
  world.begin(good);
  const added = migrations.map((migration, index) => ({ ...migration, version: `000${index + 2}` }));
  for (const migration of added) world.migrations.set(migration.version, migration);
  world.addCommit({
    hash: commitHash(2),
    parents: [good.hash],
    versions: ['0001', ...added.map(({ version }) => version)],
    desktop: '1.1.0',
    isBad,
  });
  if (hasStandby === true) world.desktop.standby = { version: standbyVersion, commit: good.hash };
  return world;
}
