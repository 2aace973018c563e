import type { ExitCode } from '../domain/errors.ts';
import type { PlanKind } from '../domain/plan.ts';
import type { RunStatus } from '../domain/run.ts';

/** What `unship explain exit-codes` and the manual say. */
export const exitCodePages: readonly (readonly [code: number, text: string])[] = [
  [0, 'done'],
  [1, 'failed, or failed and undone; also a rollback that is blocked'],
  [2, 'wrong usage or configuration; nothing was done'],
  [3, 'refused: unsafe, declined, or consent missing; nothing was lost'],
  [4, 'busy: another run holds the environment'],
  [5, 'paused or waiting; unship resume goes on'],
  [130, 'ended by a second Ctrl-C; unship resume goes on'],
];

const failed: ExitCode = 1;
const paused: ExitCode = 5;

const unfinished: ReadonlySet<RunStatus> = new Set(['planned', 'running', 'undoing', 'waiting', 'paused']);

/** A run that did not end as asked for never exits with 0. */
export function exitOfRun(status: RunStatus, wanted: RunStatus = 'done'): ExitCode {
  if (status === wanted || status === 'done') return 0;
  return unfinished.has(status) ? paused : failed;
}

/** How a run of this kind is spoken of. */
export const kindWords: { readonly [kind in PlanKind]: { readonly noun: string; readonly done: string } } = {
  release: { noun: 'Release', done: 'Released' },
  rollback: { noun: 'Rollback', done: 'Rolled back' },
  undo: { noun: 'Undo', done: 'Undone:' },
  rehearsal: { noun: 'Rehearsal', done: 'Rehearsed' },
  maintenance: { noun: 'Work', done: 'Done' },
};
