import { join } from 'node:path';
import { ensureFolder, readJson, writeFileDurably } from '../../databases/files.ts';
import { isUnshipError, messageOf } from '../../domain/errors.ts';
import type { RestoreProof } from '../../surfaces/database/database.port.ts';
import type { LookContext } from '../../surfaces/surface.port.ts';
import { backupFolder, listBackups, readBackup } from './backup-record.ts';
import { verifyBackup } from './backups.ts';
import { type Core, nameOf } from './core.ts';
import { besides } from './names.ts';
import { dropSide, restoreBeside } from './side.ts';

const day = 24 * 60 * 60 * 1000;
/** A proof lasts so long, in ms; after a failure it is tried again sooner. */
const provenFor = 7 * day;
const retryAfter = day;

function proofFile(core: Core): string {
  return join(core.folder, 'restore-proof.json');
}

/** See DatabasePort.restoreProof. */
export function restoreProof(core: Core): RestoreProof | null {
  const proof = readJson(proofFile(core)) as RestoreProof | null | undefined;
  return proof?.schema === 'unship.restore-proof/1' ? proof : null;
}

function isDue(proof: RestoreProof | null, now: number): boolean {
  return proof === null || now - proof.at >= (proof.failed === null ? provenFor : retryAfter);
}

/** See DatabasePort.proveRestore: into a database of its own, and everything that is known of the backup is asked of it. */
export async function proveRestore(context: LookContext, core: Core): Promise<RestoreProof | null> {
  const last = restoreProof(core);
  const now = context.runtime.clock.now();
  const [newest] = listBackups(core);
  const record = newest === undefined ? undefined : readBackup(core, newest.id);
  if (!isDue(last, now) || record === undefined) return null;
  const side = besides(nameOf(core), 'proof');
  const told = { schema: 'unship.restore-proof/1', backup: record.id, at: now, from: 'local' } as const;
  let proof: RestoreProof;
  try {
    await verifyBackup(context, core, record.id);
    await restoreBeside(context, core, side, backupFolder(core, record.id), record);
    proof = { ...told, failed: null, provenAt: now };
  } catch (error) {
    // Ended by somebody, it says nothing about the backup.
    context.signal.throwIfAborted();
    const failed = isUnshipError(error) ? error.details.happened : messageOf(error);
    proof = { ...told, failed, provenAt: last?.provenAt ?? null };
  } finally {
    await dropSide(core, side);
  }
  ensureFolder(core.folder);
  writeFileDurably(proofFile(core), JSON.stringify(proof, null, 1));
  return proof;
}
