import type { DatabaseSync } from 'node:sqlite';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { ArchivedTable } from './archive.ts';
import { breathe } from './connection.ts';
import { correspond, relevantChanges } from './correspondence.ts';
import { dryRun, runStatements, type Script } from './dry-run.ts';
import { foresee } from './foresight.ts';
import { giveBack } from './give-back.ts';
import { judge } from './judge.ts';
import { type LoadedArchive, tablesToWrite } from './loaded-archive.ts';
import { recordChanges, takeSnapshots } from './record.ts';
import { readSchema } from './schema.ts';

/** One migration in one direction, to be run inside the caller's transaction. */
export interface Transition {
  readonly script: Script;
  /** What the opposite direction overwrote when it ran last, to be given back. */
  readonly back: LoadedArchive | null;
  readonly epoch: string | null;
  /** Open archive that takes what this direction overwrites. */
  readonly archive: DatabaseSync;
}

export interface TransitionResult {
  readonly tables: readonly ArchivedTable[];
  readonly archived: number;
  readonly givenBack: number;
  readonly keptEdits: number;
  readonly withheld: number;
}

/**
 * Up and down are the same thing in opposite directions: rehearse on an empty copy, remember the rows that can
 * change, judge what is still to be given back, run, give back, and record what is different now. Nothing is
 * committed here.
 */
export async function runTransition(
  context: LookContext,
  database: DatabaseSync,
  transition: Transition,
): Promise<TransitionResult> {
  const { script, back, epoch, archive } = transition;
  const run = dryRun(database, [script]);
  const changes = correspond(run);
  const alsoWritten = back === null ? new Set<string>() : tablesToWrite(back);
  const relevant = relevantChanges(changes, run.touched, alsoWritten);
  const snapshots = await takeSnapshots(context, database, run.before, relevant);
  if (back !== null) judge(database, run.before, back, epoch);
  const foresight =
    back === null ? null : await foresee(context, database, run.before, script, back, changes, epoch);
  await breathe(context);
  runStatements(database, script);
  await breathe(context);
  const returned =
    back === null || foresight === null
      ? { givenBack: 0, keptEdits: 0, withheld: 0 }
      : await giveBack(context, database, readSchema(database), back, changes, epoch, foresight);
  const after = readSchema(database);
  const recorded = await recordChanges(context, database, after, snapshots, changes, archive);
  return { ...recorded, ...returned };
}
