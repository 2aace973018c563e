import {
  findRelease,
  type History,
  liveRelease,
  type Release,
  type ReleaseId,
  releaseNumber,
} from '../release.ts';
import type { RunSummary } from '../run.ts';

/** The release that is to be taken back: the live one, or a newer one that did not get that far. */
export function currentRelease(history: History): Release | undefined {
  const live = liveRelease(history);
  const pending = history.releases.find((release) => release.deployment === 'pending');
  if (pending === undefined) return live;
  return live === undefined || releaseNumber(pending.id) > releaseNumber(live.id) ? pending : live;
}

/** Between which two releases a run has stopped that has not ended. */
export interface Unfinished {
  /** The release that people want to be rid of, or that has yet to prove itself. */
  readonly leaving: ReleaseId;
  /** What was there before it. */
  readonly base: ReleaseId;
}

/**
 * What the newest of the runs that move between releases says; undefined when none has stopped half-way. Whichever way
 * it went (an undo goes either), going back is to the older one.
 */
export function unfinishedOf(unended: readonly RunSummary[]): Unfinished | undefined {
  for (const { kind, from, to } of unended) {
    if (from === null || to === null || from === to) continue;
    if (kind !== 'release' && kind !== 'rollback' && kind !== 'undo') continue;
    return releaseNumber(from) > releaseNumber(to)
      ? { leaving: from, base: to }
      : { leaving: to, base: from };
  }
  return undefined;
}

/**
 * The release that a rollback leaves. The record is one step among others: where a run has stopped, it may call the
 * one release live while another still serves, is offered, or has left its schema behind.
 */
export function releaseToLeave(history: History, unfinished: Unfinished | undefined): Release | undefined {
  const current = currentRelease(history);
  if (unfinished === undefined || current?.id !== unfinished.base) return current;
  return findRelease(history, unfinished.leaving) ?? current;
}
