import { rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ensureFolder } from '../../databases/files.ts';
import type { BackupFacts } from '../../domain/facts.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { type Archive, Archives } from './archive.ts';
import { backupFile } from './backup-record.ts';
import { listBackups, verifyBackup } from './backups.ts';
import { openDatabase } from './connection.ts';
import { type Core, fingerprintOf } from './core.ts';
import { migrateUp } from './migrate-up.ts';

/** Archives made after the fact, and the end of the folder they lie in. */
export interface Replay extends Disposable {
  readonly archives: ReadonlyMap<string, Archive>;
}

/**
 * Archives for migrations that another tool applied, so that nothing was recorded: the newest backup from just
 * before them is copied and they are replayed on the copy. What the replay recorded is used like a real archive,
 * and is safe for two reasons: it counts only when the copy ends with exactly the live schema, and a value is
 * given back only where the live one is what the replay made of the backup's. So a value that the application
 * wrote, or that depends on time or chance, is never overwritten. Without such a backup nothing is made.
 *
 * @param open migrations to be taken back, newest first
 */
export async function replayFromBackup(
  context: WorkContext,
  core: Core,
  open: readonly Migration[],
  applied: readonly string[],
): Promise<Replay> {
  const folder = join(core.folder, 'replay');
  const archives = new Map<string, Archive>();
  const replay: Replay = {
    archives,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
  const backup = backupBefore(core, open, applied);
  if (backup === undefined) return replay;
  await verifyBackup(context, core, backup.id);
  rmSync(folder, { recursive: true, force: true });
  ensureFolder(folder);
  const file = join(folder, basename(core.file));
  await copyFile(backupFile(core, backup.id), file);
  const copy: Core = { ...core, file, folder, archives: new Archives(join(folder, 'archives')) };
  for (const migration of open) core.texts.keep(migration);
  const versions = open.map((migration) => migration.version).reverse();
  await migrateUp(context, copy, { release: backup.release, commit: '', versions });
  using replayed = openDatabase(file, 'read');
  using live = openDatabase(core.file, 'read');
  if (fingerprintOf(core, replayed) !== fingerprintOf(core, live)) return replay;
  for (const version of versions) {
    const [archive] = copy.archives.of(version, 'up');
    if (archive !== undefined) archives.set(version, archive);
  }
  return replay;
}

/** The newest verified backup whose ledger holds everything but these migrations. */
export function backupBefore(
  core: Core,
  open: readonly Migration[],
  applied: readonly string[],
): BackupFacts | undefined {
  const taken = new Set(open.map((migration) => migration.version));
  const wanted = applied.filter((version) => !taken.has(version)).join('\n');
  return listBackups(core).find((candidate) => candidate.verified && candidate.applied.join('\n') === wanted);
}
