import { shortCommit } from '../names.ts';
import type { Refusal } from '../plan.ts';
import {
  alreadyBackAt,
  commitsOf,
  findRelease,
  type History,
  isQuarantined,
  lastGoodRelease,
  liveRelease,
  type QuarantinedCommit,
  type Release,
  type ReleaseId,
  releaseNumber,
  wayBackFrom,
} from '../release.ts';
import { refuse } from './builder.ts';
import type { RollbackRequest } from './request.ts';

/** The quarantine of any commit that the release is made of. */
function quarantineOf(history: History, release: Release): QuarantinedCommit | undefined {
  return commitsOf(release).flatMap((commit) => isQuarantined(history, commit) ?? [])[0];
}

/** Told before anything is looked at: what else is wrong here does not matter to a mistyped name. */
export function unknownRelease(id: ReleaseId): Refusal {
  return refuse('unknown-release', `there is no release ${id}`, [`release ${id}`], 'unship releases');
}

export function chooseTarget(history: History, from: Release, request: RollbackRequest): Release | Refusal {
  if (request.to !== undefined) {
    const named = findRelease(history, request.to);
    if (named === undefined) return unknownRelease(request.to);
    if (named.deployment === 'pending' || releaseNumber(named.id) > releaseNumber(from.id)) {
      return refuse(
        'no-target',
        named.deployment === 'pending'
          ? `${named.id} never served`
          : `${named.id} is newer than ${from.id}: a rollback only goes back`,
        [`a release before ${from.id}`],
        'unship undo brings back what a rollback took away; unship release goes forward',
      );
    }
    const bad = quarantineOf(history, named);
    if (bad !== undefined) {
      return refuse(
        'quarantined',
        `${named.id} contains ${shortCommit(bad.commit)}, quarantined with ${bad.release}: ${bad.reason}`,
        ['a release that is not quarantined'],
        'unship releases',
      );
    }
    return named;
  }
  const rolledBackOver = history.releases.find(
    (release) =>
      release.deployment === 'rolled-back' &&
      release.health === 'bad' &&
      releaseNumber(release.id) > releaseNumber(from.id),
  );
  if (from.deployment === 'live' && rolledBackOver !== undefined) {
    return refuse(
      'already-there',
      `${from.id} is live since ${rolledBackOver.id} was rolled back`,
      ['the name of the release to go to'],
      nameIt,
    );
  }
  const live = liveRelease(history);
  // Taking a half-finished release back means what serves now, proven or not, as long as it is not known to be bad.
  const stands = live !== undefined && live.health !== 'bad' && quarantineOf(history, live) === undefined;
  // The same for one that is taken back half-way.
  if (from.id !== live?.id && stands) return live;
  const isBackAt = alreadyBackAt(history, from, request.only);
  if (isBackAt !== undefined) {
    return refuse(
      'already-there',
      `${from.id} is made of what ${isBackAt.id} is made of: a rollback would change no code`,
      ['the name of the release to go to'],
      nameIt,
    );
  }
  return wayBackFrom(history, from, request.only) ?? noTarget(history, from);
}

const nameIt = 'to go back further, name it: unship rollback rN (see unship releases)';

/** Why there is nothing to go back to from here, and what helps. */
export function noTarget(history: History, from: Release): Refusal {
  const same = lastGoodRelease(history, from.id);
  const isFirst = releaseNumber(from.id) === 1;
  return refuse(
    'no-target',
    isFirst
      ? `${from.id} is the first release: there is nothing to go back to yet`
      : same === undefined
        ? `no release before ${from.id} has proven good`
        : `no good release before ${from.id} is of other code: ${same.id} has the same commits`,
    ['a last good release'],
    isFirst
      ? 'release a fix: unship release; from the second release on there is a way back'
      : 'name one you trust: unship rollback rN (see unship releases)',
  );
}
