import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import type { BackupFacts } from '../../domain/facts.ts';
import { canonicalJson, type Json } from '../../domain/json.ts';
import { isSafeName } from '../../domain/names.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import type { Core } from './core.ts';

/** What is known of a backup, in a file beside its folder. */
export interface BackupRecord {
  readonly schema: 'unship.postgres-backup/1';
  readonly id: string;
  readonly release: ReleaseId;
  readonly takenAt: number;
  /** Over the hashes of all its files. */
  readonly sha256: string;
  readonly bytes: number;
  readonly fingerprint: string;
  readonly applied: readonly string[];
  /** The ledger's marks: a restored row has another one, and its archive has to be found again. */
  readonly marks: { readonly [version: string]: string };
  readonly rows: { readonly [table: string]: number };
  /** Tables and columns by their names in it. */
  readonly columns: { readonly [table: string]: readonly string[] };
  /** Transactions that it has seen, as the server writes them. */
  readonly snapshot: string;
  /** The server whose transactions those are. */
  readonly server: string;
  /** SHA-256 over the rest: a plan must not be made from a record that the disk has changed. */
  readonly seal?: string;
}

export function backupsFolder(core: Core): string {
  return join(core.folder, 'backups');
}

export function backupFolder(core: Core, id: string): string {
  if (!isSafeName(id))
    throw new UnshipError('name-invalid', { happened: `${JSON.stringify(id)} is no backup's name` });
  return join(backupsFolder(core), `${id}.dump`);
}

export function recordFile(core: Core, id: string): string {
  return join(backupsFolder(core), `${id}.json`);
}

function sealOf(core: Core, { seal: _seal, ...rest }: BackupRecord): string {
  return core.environment.runtime.digest(canonicalJson(rest as unknown as Json));
}

export function sealed(core: Core, unsealed: BackupRecord): BackupRecord {
  return { ...unsealed, seal: sealOf(core, unsealed) };
}

/** Undefined when there is none, or when its text is not what was sealed. */
export function readBackup(core: Core, id: string): BackupRecord | undefined {
  const file = recordFile(core, id);
  if (!isSafeName(id) || !existsSync(file)) return undefined;
  try {
    const record = JSON.parse(readFileSync(file, 'utf8')) as BackupRecord | null;
    const isSound =
      record?.schema === 'unship.postgres-backup/1' &&
      record.id === id &&
      record.seal === sealOf(core, record);
    return isSound ? record : undefined;
  } catch {
    return undefined;
  }
}

export function requireBackup(core: Core, id: string): BackupRecord {
  const record = readBackup(core, id);
  if (record !== undefined) return record;
  throw new UnshipError('backup-invalid', { happened: `there is no backup ${id}` });
}

export function bytesIn(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** Complete and of the right size. Its content is hashed before it is used, and by `verifyBackup`. */
export function looksWhole(core: Core, { id, bytes }: BackupRecord): boolean {
  const folder = backupFolder(core, id);
  return existsSync(folder) && bytesIn(folder) === bytes;
}

export function factsOf(core: Core, record: BackupRecord): BackupFacts {
  const { id, release, takenAt, fingerprint, applied } = record;
  const verified = looksWhole(core, record);
  return { id, release, takenAt, verified, fingerprint, applied, location: backupFolder(core, id) };
}

/** Newest first. */
export function listBackups(core: Core): readonly BackupFacts[] {
  if (!existsSync(backupsFolder(core))) return [];
  return readdirSync(backupsFolder(core))
    .filter((name) => name.endsWith('.json') && isSafeName(name))
    .flatMap((name) => readBackup(core, name.slice(0, -'.json'.length)) ?? [])
    .map((record) => factsOf(core, record))
    .sort((a, b) => b.takenAt - a.takenAt || (a.id < b.id ? 1 : -1));
}

/**
 * The time now, but later than every backup that is there: which one is the newest is told by these times, and a clock
 * that was set back must not make the newest backup the oldest.
 */
export function nextMoment({ runtime }: LookContext, core: Core): number {
  return Math.max(runtime.clock.now(), (listBackups(core)[0]?.takenAt ?? 0) + 1);
}
