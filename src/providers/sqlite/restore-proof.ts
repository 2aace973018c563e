import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ensureFolder,
  publishFile,
  readJson,
  removeDatabase,
  requireSpace,
  writeFileDurably,
} from '../../databases/files.ts';
import { isUnshipError, messageOf, UnshipError } from '../../domain/errors.ts';
import { isSafeName } from '../../domain/names.ts';
import type { Secret } from '../../domain/secret.ts';
import type { RestoreProof } from '../../surfaces/database/database.port.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import {
  type BackupRecord,
  backupFile,
  backupsFolder,
  looksWhole,
  recordFile,
  requireIntact,
} from './backup-record.ts';
import { listBackups, readBackup, schemaOf } from './backups.ts';
import type { Core } from './core.ts';
import { longWork } from './long-work.ts';
import {
  bringBack,
  isElsewhere,
  isReadable,
  recordFromElsewhere,
  requireUnchanged,
} from './second-location.ts';

const day = 24 * 60 * 60 * 1000;
/** A proof lasts so long, in ms; after a failure it is tried again sooner. */
const provenFor = 7 * day;
const retryAfter = day;

/** Private keys of a file as age-keygen writes it: one a line, comments between. */
function identitiesIn(secret: Secret | undefined): readonly string[] {
  return (secret?.reveal() ?? '').split(/\s+/).filter((word) => word.startsWith('AGE-SECRET-KEY-'));
}

/** The configured identity, where its variable is set: on the machine that writes backups it should not be. */
function configuredIdentities(core: Core): readonly string[] {
  const { identity } = core.options;
  if (identity === undefined) return [];
  try {
    return identitiesIn(core.environment.reveal(identity));
  } catch (error) {
    if (isUnshipError(error) && error.slug === 'secret-missing') return [];
    throw error;
  }
}

/** See DatabasePort.fetchBackup. */
export async function fetchBackup(
  context: LookContext,
  core: Core,
  id: string,
  identity: Secret | undefined,
): Promise<boolean> {
  if (!isSafeName(id)) return false;
  const known = readBackup(core, id);
  if (known !== undefined && looksWhole(core, known)) return true;
  if (!isElsewhere(core, id)) return false;
  const file = backupFile(core, id);
  const given = identitiesIn(identity);
  const identities = given.length > 0 ? given : configuredIdentities(core);
  ensureFolder(backupsFolder(core));
  const fetched = `${file}.fetched`;
  try {
    const record = known ?? (await recordFromElsewhere(context, core, id, identities, fetched));
    requireSpace(backupsFolder(core), record.bytes, 'bringing the backup back');
    await bringBack(context, core, record, identities, fetched);
    publishFile(fetched, file);
    writeFileDurably(recordFile(core, id), JSON.stringify(record, null, 1));
    return true;
  } finally {
    removeDatabase(fetched);
  }
}

function proofFile(core: Core): string {
  return join(core.folder, 'restore-proof.json');
}

/** See DatabasePort.restoreProof. */
export function restoreProof(core: Core): RestoreProof | null {
  const proof = readJson(proofFile(core)) as RestoreProof | null | undefined;
  return proof?.schema === 'unship.restore-proof/1' ? proof : null;
}

/** A folder of this attempt's own; what attempts that were killed have left goes. */
function scratchFolder(core: Core, now: number): string {
  const all = join(core.folder, 'restore-proofs');
  ensureFolder(all);
  for (const name of readdirSync(all)) {
    const left = join(all, name);
    if ((statSync(left, { throwIfNoEntry: false })?.mtimeMs ?? now) < now - day)
      rmSync(left, { recursive: true, force: true });
  }
  const folder = join(all, core.environment.runtime.ids.random());
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

/** Into a file of its own, and everything that is known of the backup is asked of that file. */
async function restoreInto(
  context: LookContext,
  core: Core,
  record: BackupRecord,
  file: string,
): Promise<RestoreProof['from']> {
  requireSpace(core.folder, record.bytes, 'the test restore');
  const identities = configuredIdentities(core);
  const fromElsewhere = isReadable(core, record.id, identities);
  if (fromElsewhere) await bringBack(context, core, record, identities, file);
  else {
    await requireUnchanged(context, core, record);
    await copyFile(backupFile(core, record.id), file);
  }
  const found = await longWork(context.signal, 'inspect', { file, expected: record.sha256 });
  requireIntact(found, `backup ${record.id}`, 'backup-invalid');
  const seen = JSON.stringify([schemaOf(core, file), found.rows]);
  const { fingerprint, applied, rows } = record;
  if (seen !== JSON.stringify([{ fingerprint, applied }, rows])) {
    throw new UnshipError('backup-invalid', {
      happened: `restored, backup ${record.id} does not hold the schema and rows that it was taken with`,
    });
  }
  return fromElsewhere ? 'second-location' : 'local';
}

function isDue(proof: RestoreProof | null, now: number): boolean {
  return proof === null || now - proof.at >= (proof.failed === null ? provenFor : retryAfter);
}

/** See DatabasePort.proveRestore. */
export async function proveRestore(context: LookContext, core: Core): Promise<RestoreProof | null> {
  const last = restoreProof(core);
  const now = context.runtime.clock.now();
  if (!isDue(last, now)) return null;
  const [newest] = listBackups(core);
  const record = newest === undefined ? undefined : readBackup(core, newest.id);
  if (record === undefined) return null;
  const folder = scratchFolder(core, now);
  const file = join(folder, 'restored.db');
  const told = { schema: 'unship.restore-proof/1', backup: record.id, at: now } as const;
  let proof: RestoreProof;
  try {
    const from = await restoreInto(context, core, record, file);
    proof = { ...told, from, failed: null, provenAt: now };
  } catch (error) {
    // Ended by somebody, it says nothing about the backup.
    context.signal.throwIfAborted();
    const failed = isUnshipError(error) ? error.details.happened : messageOf(error);
    proof = { ...told, from: 'local', failed, provenAt: last?.provenAt ?? null };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  writeFileDurably(proofFile(core), JSON.stringify(proof, null, 1));
  return proof;
}
