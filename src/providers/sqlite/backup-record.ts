import { statSync } from 'node:fs';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';
import { canonicalJson, type Json } from '../../domain/json.ts';
import { isSafeName } from '../../domain/names.ts';
import type { ReleaseId } from '../../domain/release.ts';
import type { Core } from './core.ts';
import type { Inspection, Written } from './long-work.ts';

/** What is known of a backup, in a file beside it. */
export interface BackupRecord {
  /** `/1` has no seal: as earlier versions wrote it. */
  readonly schema: 'unship.backup/1' | 'unship.backup/2';
  readonly id: string;
  readonly release: ReleaseId;
  readonly takenAt: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly fingerprint: string;
  readonly applied: readonly string[];
  readonly rows: { readonly [table: string]: number };
  /** What lies encrypted in the second location: that it changed shows without the key. */
  readonly encrypted?: Written;
  /** SHA-256 over the rest: a plan must not be made from a record that the disk has changed. */
  readonly seal?: string;
}

export function backupsFolder(core: Core): string {
  return join(core.folder, 'backups');
}

export function backupFile(core: Core, id: string): string {
  if (!isSafeName(id))
    throw new UnshipError('name-invalid', { happened: `${JSON.stringify(id)} is no backup's name` });
  return join(backupsFolder(core), `${id}.db`);
}

export function recordFile(core: Core, id: string): string {
  return join(backupsFolder(core), `${id}.json`);
}

function sealOf(core: Core, { seal: _seal, ...rest }: BackupRecord): string {
  return core.environment.runtime.digest(canonicalJson(rest as unknown as Json));
}

function isSound(core: Core, record: BackupRecord): boolean {
  if (record.schema === 'unship.backup/1') return record.seal === undefined;
  return record.schema === 'unship.backup/2' && record.seal === sealOf(core, record);
}

export function sealed(core: Core, unsealed: BackupRecord): BackupRecord {
  return { ...unsealed, seal: sealOf(core, unsealed) };
}

/** The record of this backup, unless the text is not what was sealed. */
export function soundRecord(core: Core, id: string, text: string): BackupRecord | undefined {
  try {
    const record = JSON.parse(text) as BackupRecord | null;
    return record?.id === id && isSound(core, record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Complete and of the right size. Its content is hashed before it is used, and by `verifyBackup`. */
export function looksWhole(core: Core, record: BackupRecord): boolean {
  return statSync(backupFile(core, record.id), { throwIfNoEntry: false })?.size === record.bytes;
}

export function requireIntact(
  { integrity }: Inspection,
  what: string,
  slug: 'backup-invalid' | 'database-corrupt',
): void {
  if (integrity.length === 1 && integrity[0] === 'ok') return;
  throw new UnshipError(slug, {
    happened: `${what} fails SQLite's integrity check: ${integrity.join('; ')}`,
    done: 'it is not used',
  });
}
