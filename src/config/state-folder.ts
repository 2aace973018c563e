import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { messageOf, UnshipError } from '../domain/errors.ts';
import { isSafeName } from '../domain/names.ts';
import type { ProcessEnvironment } from './secrets.ts';

/** Who is asking; comes in, so that a test needs no second user. `uid` is absent on Windows. */
export interface StateOwner {
  readonly uid: number | undefined;
  readonly home: string;
}

/**
 * The folder all state lies under: `--state-dir`; `/var/lib/unship` for a system install (root with
 * UNSHIP_SYSTEM=1); else the XDG state folder. Never inside the checkout, where `git clean` would take it.
 */
export function stateBase(
  option: string | undefined,
  environment: ProcessEnvironment,
  owner: StateOwner,
): string {
  if (option !== undefined) return resolve(option);
  if (environment.UNSHIP_SYSTEM === '1' && owner.uid === 0) return '/var/lib/unship';
  const xdg = environment.XDG_STATE_HOME;
  // The XDG specification: a relative path is to be ignored.
  const state = xdg !== undefined && isAbsolute(xdg) ? xdg : join(owner.home, '.local', 'state');
  return join(state, 'unship');
}

/**
 * The folder of one application in one environment, made when it isn't there (0700). Throws `state-unsafe`
 * when it, or a folder above it, belongs to somebody else or can be written to by others: whoever can write
 * there decides what a rollback restores.
 */
export function openStateFolder(
  base: string,
  application: string,
  environment: string,
  owner: StateOwner,
): string {
  for (const name of [application, environment]) {
    if (!isSafeName(name)) throw new UnshipError('name-invalid', { happened: `${JSON.stringify(name)}` });
  }
  makeBase(base);
  const root = realpathSync(base);
  checkParents(dirname(root), owner);
  checkOwn(root, owner);
  return makeBelow(root, [application, environment], owner);
}

/**
 * One folder in the other, each made by the handle of the one above it: a link that is put in the place of that one
 * meanwhile leads nowhere.
 */
function makeBelow(parent: string, [name, ...names]: readonly string[], owner: StateOwner): string {
  if (name === undefined) return parent;
  const folder = join(parent, name);
  const handle = process.platform === 'win32' ? undefined : openFolder(parent);
  try {
    const byHandle = handle === undefined ? '' : `/proc/self/fd/${handle}`;
    const place = existsSync(byHandle) ? join(byHandle, name) : folder;
    makePrivate(place, folder);
    checkOwn(folder, owner, place);
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
  return makeBelow(folder, names, owner);
}

function openFolder(folder: string): number {
  try {
    return openSync(folder, folderOnly);
  } catch (error) {
    throw notMade(folder, error);
  }
}

const folderOnly = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

function makeBase(base: string): void {
  try {
    mkdirSync(base, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw notMade(base, error);
  }
}

function notMade(folder: string, error: unknown): UnshipError {
  const isFull = (error as NodeJS.ErrnoException).code === 'ENOSPC';
  return new UnshipError(isFull ? 'disk-full' : 'state-unsafe', {
    happened: `the state folder ${folder} can't be made: ${messageOf(error)}`,
    done: 'nothing',
    ...(isFull ? {} : { next: 'make it a folder that you can write to, or choose another with --state-dir' }),
    cause: error,
  });
}

function makePrivate(place: string, folder: string): void {
  try {
    mkdirSync(place, { mode: 0o700 });
    narrow(place);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw notMade(folder, error);
  }
}

/** A default ACL or an odd file system may have widened it. By its handle: what was made is meant, no link in its place. */
function narrow(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, folderOnly);
  try {
    fchmodSync(handle, 0o700);
  } finally {
    closeSync(handle);
  }
}

function checkOwn(folder: string, owner: StateOwner, place = folder): void {
  const stats = lstatSync(place);
  if (!stats.isDirectory()) refuse(folder, 'is no folder', 'move it away');
  const fault = faultOf(stats, owner, false);
  if (fault !== undefined) refuse(folder, fault, `make it yours and private: chmod 700 ${folder}`);
}

/**
 * As sshd's StrictModes: somebody who can rename a folder above ours can put another one in its place. A
 * private folder of ours higher up closes the way, so what lies below it may be as open as it likes.
 */
function checkParents(start: string, owner: StateOwner): void {
  let offender: { readonly folder: string; readonly fault: string } | undefined;
  for (let folder = start; ; folder = dirname(folder)) {
    const stats = statSync(folder);
    if (owner.uid !== undefined && stats.uid === owner.uid && (stats.mode & 0o077) === 0) return;
    const fault = faultOf(stats, owner, true);
    if (fault !== undefined) offender ??= { folder, fault };
    if (folder === dirname(folder)) break;
  }
  if (offender !== undefined) {
    refuse(
      offender.folder,
      offender.fault,
      `chmod go-w ${offender.folder}, or choose another with --state-dir`,
    );
  }
}

function faultOf(stats: Stats, owner: StateOwner, isParent: boolean): string | undefined {
  if (owner.uid === undefined) return undefined;
  if (stats.uid !== owner.uid && !(isParent && stats.uid === 0)) return `belongs to user ${stats.uid}`;
  const sticky = isParent && (stats.mode & 0o1000) !== 0;
  if ((stats.mode & 0o022) !== 0 && !sticky) {
    return `can be written to by others (mode ${(stats.mode & 0o7777).toString(8)})`;
  }
  return undefined;
}

function refuse(folder: string, fault: string, next: string): never {
  throw new UnshipError('state-unsafe', { happened: `${folder} ${fault}`, done: 'nothing', next });
}
