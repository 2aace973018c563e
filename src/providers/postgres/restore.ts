import { isUnshipError, UnshipError } from '../../domain/errors.ts';
import { rowsLost } from '../../domain/facts.ts';
import type { RestoreResult } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import {
  type BackupRecord,
  backupFolder,
  listBackups,
  nextMoment,
  readBackup,
  requireBackup,
} from './backup-record.ts';
import { backupId, takeBackup, verifyBackup } from './backups.ts';
import { type Core, coreOn, nameOf, open } from './core.ts';
import { checkFence, raiseFence } from './fence.ts';
import { fingerprintOf } from './fingerprint.ts';
import { besides, ownSchema } from './names.ts';
import { lastRestore, type Restored } from './restore-risk.ts';
import { explained, isContended, serverError } from './session.ts';
import { dropSide, restoreBeside, sidesOf } from './side.ts';
import { swap } from './swap.ts';

export interface RestoreRequest {
  readonly backup: string;
  readonly maximumRowsLost: number;
}

function keyOf({ idempotencyKey }: WorkContext, core: Core, backup: string): string {
  return core.environment.runtime.digest(`${idempotencyKey}\n${backup}`).slice(0, 32);
}

/** The live database's own word on whether this restore is what it came from. */
async function lived(core: Core, key: string): Promise<Restored | undefined> {
  await using connection = await open(core, 'look');
  const last = await lastRestore(connection);
  return last?.key === key ? last : undefined;
}

/** Our fence and a mark of this restore, in the database that is to be the live one: they arrive with its content. */
async function mark(
  context: WorkContext,
  core: Core,
  side: string,
  restored: Omit<Restored, 'snapshot'>,
): Promise<void> {
  await using connection = await open(coreOn(core, side), 'restore');
  await connection.run('BEGIN');
  await raiseFence(connection, context.fence);
  await connection.run(`DELETE FROM ${ownSchema}.restored`);
  const { key, backup, safety, kept, at } = restored;
  await connection.rows(
    `INSERT INTO ${ownSchema}.restored (key, backup, safety, kept, rows_lost, at, snapshot)
     VALUES ($1, $2, $3, $4, $5, $6, pg_current_snapshot()::text)`,
    [key, backup, safety, kept, restored.rowsLost, at],
  );
  await connection.run('COMMIT');
}

/** Everything after the effect; repeated after a crash it finds the same. */
async function finish(
  context: WorkContext,
  core: Core,
  record: BackupRecord,
  restored: Restored,
): Promise<RestoreResult> {
  // What was live is copied from where it lies now, so that nothing written up to the last moment is missing.
  if (readBackup(core, restored.safety) === undefined) {
    context.progress('keeping the state before');
    await takeBackup(context, core, record.release, restored.safety, coreOn(core, restored.kept));
  }
  context.runtime.faults.point('postgres.restore.kept');
  for (const old of await sidesOf(core, besides(nameOf(core), 'kept_')))
    if (old !== restored.kept) await dropSide(core, old);
  await using connection = await open(core, 'look');
  const fingerprint = await fingerprintOf(core, connection);
  if (fingerprint !== record.fingerprint) {
    throw new UnshipError('schema-mismatch', {
      happened: `after restoring ${record.id} the live schema is ${fingerprint.slice(0, 12)}, the backup's is ${record.fingerprint.slice(0, 12)}`,
      done: `the state before is kept as backup ${restored.safety}, and as the database ${restored.kept}`,
    });
  }
  return { backup: record.id, safetyBackup: restored.safety, rowsLost: restored.rowsLost, fingerprint };
}

async function replace(
  context: WorkContext,
  core: Core,
  record: BackupRecord,
  key: string,
  maximumRowsLost: number,
): Promise<void> {
  const { clock, faults } = context.runtime;
  const side = besides(nameOf(core), 'restore');
  const kept = besides(nameOf(core), `kept_${key.slice(0, 8)}`);
  context.progress(`restoring ${record.id} beside the live database`);
  await restoreBeside(context, core, side, backupFolder(core, record.id), record);
  faults.point('postgres.restore.staged');
  context.progress(`putting ${record.id} in place`);
  const safety = backupId(core, record.release, key, 'safety-');
  const begun = clock.monotonic();
  for (;;) {
    context.signal.throwIfAborted();
    try {
      await swap(context, core, { side, kept, record }, async (loss) => {
        const lost = rowsLost(loss);
        if (lost > maximumRowsLost) {
          throw new UnshipError('loss-exceeds-consent', {
            happened: `restoring ${record.id} now would lose ${lost} rows; ${maximumRowsLost} were agreed to`,
            done: 'nothing was changed',
          });
        }
        const at = nextMoment(context, core);
        await mark(context, core, side, { key, backup: record.id, safety, kept, rowsLost: lost, at });
        faults.point('postgres.restore.before');
      });
      break;
    } catch (error) {
      const isBusy = isContended(error) || serverError(error)?.code === '55006';
      if (!isBusy || clock.monotonic() - begun > core.patienceMs) throw explained(error);
      await clock.sleep(200, context.signal);
    }
  }
  faults.point('postgres.restore.after');
}

/** See DatabasePort.restore. */
export async function restore(
  context: WorkContext,
  core: Core,
  request: RestoreRequest,
): Promise<RestoreResult> {
  await verifyBackup(context, core, request.backup);
  const record = requireBackup(core, request.backup);
  const key = keyOf(context, core, record.id);
  const side = besides(nameOf(core), 'restore');
  if ((await lived(core, key)) === undefined) {
    await refuseOlderFence(context, core);
    try {
      await replace(context, core, record, key, request.maximumRowsLost);
    } catch (error) {
      await dropSide(core, side).catch(() => {});
      throw error;
    }
  }
  const restored = await lived(core, key);
  if (restored === undefined) {
    throw new UnshipError('internal', {
      happened: `the live database does not say that ${record.id} was restored`,
    });
  }
  return await finish(context, core, record, restored);
}

async function refuseOlderFence(context: WorkContext, core: Core): Promise<void> {
  await using connection = await open(core, 'look');
  await checkFence(connection, context.fence);
}

/** See DatabasePort.restored. */
export async function restored(
  context: WorkContext,
  core: Core,
  backup: string,
): Promise<RestoreResult | null> {
  const record = readBackup(core, backup);
  const found = record === undefined ? undefined : await lived(core, keyOf(context, core, backup));
  if (record === undefined || found === undefined) return null;
  return await finish(context, core, record, found);
}

/** The newest verified backup whose ledger holds everything but these versions. */
export function backupBefore(
  core: Core,
  open: readonly string[],
  applied: readonly string[],
): BackupRecord | undefined {
  const wanted = applied.filter((version) => !open.includes(version)).join('\n');
  const found = listBackups(core).find((one) => one.verified && one.applied.join('\n') === wanted);
  return found === undefined ? undefined : readBackup(core, found.id);
}

/** Undefined when the backup can't be read: that ends this way back, and must not hide the others. */
export async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isUnshipError(error)) throw error;
    return undefined;
  }
}
