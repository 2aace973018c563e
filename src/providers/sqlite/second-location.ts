import { existsSync, readFileSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  copyFileDurably,
  ensureFolder,
  publishCopy,
  requireSpace,
  sha256OfFile,
  writeFileDurably,
} from '../../databases/files.ts';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { type BackupRecord, requireIntact, sealed, soundRecord } from './backup-record.ts';
import type { Core } from './core.ts';
import { longWork } from './long-work.ts';

/** The second location: where a backup is when the disk of this machine is not. */

function damaged(happened: string): UnshipError {
  return new UnshipError('backup-invalid', { happened, done: 'it is not used' });
}

/** What was written is what the disk gives back. */
async function requireWritten(context: LookContext, file: string, sha256: string): Promise<void> {
  if ((await sha256OfFile(file, context.signal)) !== sha256)
    throw damaged(`the copy ${file} differs from the backup`);
}

async function encryptTo(
  context: LookContext,
  recipient: string,
  from: { readonly file: string } | { readonly text: string },
  to: string,
) {
  const written = await longWork(context.signal, 'encrypt', { from, to: `${to}.partial`, recipient });
  await publishCopy(`${to}.partial`, to);
  await requireWritten(context, to, written.sha256);
  return written;
}

/**
 * Copies a backup to the second location, when there is one, encrypted when there is a key for it: then what is known
 * of the backup is encrypted too, for it names the tables. Gives the record with its seal.
 */
export async function keepElsewhere(
  context: LookContext,
  core: Core,
  unsealed: BackupRecord,
  file: string,
): Promise<BackupRecord> {
  const folder = core.secondLocation;
  if (folder === undefined) return sealed(core, unsealed);
  ensureFolder(folder);
  requireSpace(folder, unsealed.bytes, 'the copy of the backup');
  const [copy, about] = ['db', 'json'].map((ending) => join(folder, `${unsealed.id}.${ending}`)) as [
    string,
    string,
  ];
  const recipient = core.encryptTo;
  if (recipient === undefined) {
    await copyFileDurably(file, copy);
    await requireWritten(context, copy, unsealed.sha256);
    const record = sealed(core, unsealed);
    writeFileDurably(about, JSON.stringify(record, null, 1));
    return record;
  }
  const encrypted = await encryptTo(context, recipient, { file }, `${copy}.age`);
  const record = sealed(core, { ...unsealed, encrypted });
  await encryptTo(context, recipient, { text: JSON.stringify(record) }, `${about}.age`);
  for (const plain of [copy, about]) rmSync(plain, { force: true });
  return record;
}

async function decryptTo(
  context: LookContext,
  from: string,
  to: string,
  identities: readonly string[],
): Promise<void> {
  if (identities.length === 0) {
    throw new UnshipError('backup-invalid', {
      happened: `${from} is encrypted, and no identity is here to read it`,
      done: 'nothing was changed',
      next: 'repeat with --identity FILE, the file of the private key',
    });
  }
  try {
    await longWork(context.signal, 'decrypt', { from, to, identities });
  } catch (error) {
    const isDisk = (error as { readonly code?: unknown }).code === 'ENOSPC';
    if (context.signal.aborted || isUnshipError(error) || isDisk) throw error;
    throw damaged(`${from} can't be decrypted: ${messageOf(error)}`);
  }
}

export function isElsewhere(core: Core, id: string): boolean {
  const folder = core.secondLocation;
  return (
    folder !== undefined && ['db', 'db.age'].some((ending) => existsSync(join(folder, `${id}.${ending}`)))
  );
}

/** What is known of a backup where this machine knows nothing of it any more. */
export async function recordFromElsewhere(
  context: LookContext,
  core: Core,
  id: string,
  identities: readonly string[],
  scratch: string,
): Promise<BackupRecord> {
  const about = join(core.secondLocation ?? '', `${id}.json`);
  const isEncrypted = existsSync(`${about}.age`);
  if (!isEncrypted && !existsSync(about)) throw damaged(`${about} is missing`);
  if (isEncrypted) await decryptTo(context, `${about}.age`, scratch, identities);
  const record = soundRecord(core, id, readFileSync(isEncrypted ? scratch : about, 'utf8'));
  if (record === undefined)
    throw damaged(`what is known of backup ${id} in ${core.secondLocation} is damaged`);
  return record;
}

/** True when the copy there can be read with what is known here. */
export function isReadable(core: Core, id: string, identities: readonly string[]): boolean {
  if (core.secondLocation === undefined) return false;
  const copy = join(core.secondLocation, `${id}.db`);
  return existsSync(copy) || (identities.length > 0 && existsSync(`${copy}.age`));
}

/** That the encrypted copy is the one that was written shows without the key. Throws `backup-invalid`. */
export async function requireUnchanged(
  context: LookContext,
  core: Core,
  record: BackupRecord,
): Promise<void> {
  if (core.secondLocation === undefined || record.encrypted === undefined) return;
  const copy = join(core.secondLocation, `${record.id}.db.age`);
  const found = existsSync(copy) ? await sha256OfFile(copy, context.signal) : 'missing';
  if (found !== record.encrypted.sha256) throw damaged(`${copy} is not what it was when it was written`);
}

/** Brings the copy from the second location to `to`, whole and as it was taken. Throws `backup-invalid`. */
export async function bringBack(
  context: LookContext,
  core: Core,
  record: BackupRecord,
  identities: readonly string[],
  to: string,
): Promise<void> {
  const copy = join(core.secondLocation ?? '', `${record.id}.db`);
  await requireUnchanged(context, core, record);
  if (existsSync(`${copy}.age`)) await decryptTo(context, `${copy}.age`, to, identities);
  else if (existsSync(copy)) await copyFile(copy, to);
  else throw damaged(`${copy} is missing`);
  const found = await longWork(context.signal, 'inspect', { file: to, expected: record.sha256 });
  if (found.sha256 !== record.sha256)
    throw damaged(`the copy of backup ${record.id} in ${core.secondLocation} differs from it`);
  requireIntact(found, `backup ${record.id}`, 'backup-invalid');
}
