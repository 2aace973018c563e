import { requireSpace } from '../../databases/files.ts';
import { fileOf, type Migration } from '../../domain/migrations/migration-files.ts';
import type { MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { ArchiveWriter } from './archive.ts';
import { beginWrite, encodingOf, openDatabase } from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { ensureEpoch, raiseFence, rowidEpoch } from './fence.ts';
import { migrationStatements } from './guard-statements.ts';
import {
  archiveOfLastDown,
  archiveSubject,
  commit,
  recordOf,
  requireReferences,
  withScratch,
} from './migration-work.ts';
import { nextMoment } from './moments.ts';
import { runTransition } from './transition.ts';

async function applyOne(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  migration: Migration,
  known: readonly string[],
): Promise<void> {
  const file = fileOf(migration, 'up');
  const script = { file, statements: migrationStatements(file, migration.up) };
  await withScratch(core, async (database) => {
    const ledger = ledgerFor(core, database, migration.format);
    const isApplied = (): boolean => ledger.applied(database, known).includes(migration.version);
    if (isApplied()) {
      core.archives.retire(migration.version);
      return;
    }
    const back = archiveOfLastDown(core, database, migration);
    let writer: ArchiveWriter | undefined;
    try {
      await beginWrite(context, database, core.file, core.lockMs);
      if (isApplied()) return;
      raiseFence(database, context.fence);
      ensureEpoch(database);
      const epoch = rowidEpoch(database);
      writer = core.archives.create(
        archiveSubject(context, core, request, migration, 'up'),
        encodingOf(database),
      );
      const transition = { script, back, epoch, archive: writer.database };
      const result = await runTransition(context, database, transition);
      context.runtime.faults.point('sqlite.migrate-up.ran');
      requireReferences(core, database, migration);
      ledger.add(database, migration.version);
      core.texts.keep(migration);
      const extra = {
        mark: ledger.mark(database, migration.version),
        epoch,
        at: nextMoment(context, core),
      };
      writer.publish(recordOf(core, request, migration, 'up', result, extra));
      context.runtime.faults.point('sqlite.migrate-up.before');
      await commit(context, core, database);
      context.runtime.faults.point('sqlite.migrate-up.after');
      core.archives.retire(migration.version);
    } finally {
      writer?.discard();
    }
  });
}

/** See DatabasePort.migrateUp. */
export async function migrateUp(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
): Promise<{ readonly fingerprint: string }> {
  const all = await core.texts.atOrKept(request.commit);
  const known = all.map((migration) => migration.version);
  openDatabase(core.file, 'read').close();
  requireSpace(core.folder, liveBytes(core), 'recording what the migration overwrites');
  for (const version of request.versions) {
    context.progress(`migration ${version}`);
    await applyOne(context, core, request, await core.texts.find(request.commit, version), known);
  }
  using database = openDatabase(core.file, 'read');
  return { fingerprint: fingerprintOf(core, database) };
}
