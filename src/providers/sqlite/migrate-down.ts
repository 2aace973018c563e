import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { requireSpace } from '../../databases/files.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { MigrateDownResult, MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { ArchiveRecord, ArchiveWriter } from './archive.ts';
import { beginWrite, encodingOf, openDatabase } from './connection.ts';
import { type Core, fingerprintOf, ledgerFor, liveBytes } from './core.ts';
import { downScript } from './down-script.ts';
import type { Script } from './dry-run.ts';
import { ensureEpoch, raiseFence, rowidEpoch } from './fence.ts';
import { type LoadedArchive, loadArchive } from './loaded-archive.ts';
import { archiveSubject, commit, recordOf, withScratch } from './migration-work.ts';
import { nextMoment } from './moments.ts';
import { replayFromBackup } from './replay.ts';
import { runTransition } from './transition.ts';

interface DownStep {
  readonly migration: Migration;
  readonly script: Script;
  readonly mark: string | null;
  readonly back: LoadedArchive | null;
}

/** What downs that ran before have done: for a repeated call, from the archives they left. */
function resultOfEarlierDowns(
  core: Core,
  versions: readonly string[],
): Omit<MigrateDownResult, 'fingerprint'> {
  const archives = versions.flatMap((version) => core.archives.of(version, 'down')[0] ?? []);
  const sum = (read: (record: ArchiveRecord) => number): number =>
    archives.reduce((total, archive) => total + read(archive.record), 0);
  const withholding = archives.find(({ record }) => (record.withheld ?? 0) > 0 && record.recordedIn != null);
  const holding = archives.find((archive) => archive.record.archived > 0);
  return {
    givenBack: sum((record) => record.givenBack),
    keptEdits: sum((record) => record.keptEdits),
    archived: sum((record) => record.archived),
    archive: holding?.file ?? null,
    withheld: sum((record) => record.withheld ?? 0),
    withheldIn:
      withholding === undefined ? null : join(core.archives.folder, withholding.record.recordedIn ?? ''),
  };
}

async function takeBack(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  database: DatabaseSync,
  steps: readonly DownStep[],
  known: readonly string[],
): Promise<void> {
  const writers: ArchiveWriter[] = [];
  const publish: (() => void)[] = [];
  try {
    await beginWrite(context, database, core.file, core.lockMs);
    raiseFence(database, context.fence);
    ensureEpoch(database);
    const epoch = rowidEpoch(database);
    for (const { migration, script, mark, back } of steps) {
      const ledger = ledgerFor(core, database, migration.format);
      const stillThere = ledger.applied(database, known).includes(migration.version);
      if (!stillThere || ledger.mark(database, migration.version) !== mark) {
        throw new UnshipError('plan-stale', {
          happened: `${migration.name} is no longer in the ledger as it was a moment ago: another tool is at work`,
          done: 'nothing was changed',
        });
      }
      const writer = core.archives.create(
        archiveSubject(context, core, request, migration, 'down'),
        encodingOf(database),
      );
      writers.push(writer);
      const transition = { script, back, epoch, archive: writer.database };
      const result = await runTransition(context, database, transition);
      ledger.remove(database, migration.version, known);
      const record = back?.archive.file ?? null;
      const recordedIn =
        record !== null && dirname(record) === core.archives.folder ? basename(record) : null;
      const extra = { mark: null, epoch, at: nextMoment(context, core), recordedIn };
      publish.push(() => writer.publish(recordOf(core, request, migration, 'down', result, extra)));
    }
    context.runtime.faults.point('sqlite.migrate-down.ran');
    for (const write of publish) write();
    context.runtime.faults.point('sqlite.migrate-down.before');
    await commit(context, core, database);
    context.runtime.faults.point('sqlite.migrate-down.after');
  } finally {
    for (const writer of writers) writer.discard();
  }
}

/** See DatabasePort.migrateDown. */
export async function migrateDown(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
): Promise<MigrateDownResult> {
  // Also the undo of an up that was killed half-way: it may have nothing to take back and still have left a file.
  core.archives.discardUnfinished();
  const all = await core.texts.atOrKept(request.commit);
  const known = all.map((migration) => migration.version);
  const find = (version: string): Promise<Migration> => core.texts.findApplied(request.commit, version);
  const wanted = await Promise.all(request.versions.map(find));
  await withScratch(core, async (database) => {
    const ledgerNow = ledgerFor(core, database, wanted[0]?.format);
    const applied = ledgerNow.applied(database, known);
    const open = wanted.filter((migration) => applied.includes(migration.version));
    if (open.length === 0) return;
    const texts = open.map((migration) => ({ migration, script: downScript(migration) }));
    requireSpace(core.folder, liveBytes(core), 'archiving what the down migrations drop');
    const recorded = open.map(({ version }) =>
      core.archives.ofLive(version, ledgerNow.mark(database, version)),
    );
    using replay = recorded.includes(undefined)
      ? await replayFromBackup(context, core, open, applied)
      : undefined;
    const steps = texts.map(({ migration, script }, at): DownStep => {
      const mark = ledgerNow.mark(database, migration.version);
      const archive = recorded[at] ?? replay?.archives.get(migration.version);
      const back = archive === undefined ? null : loadArchive(database, archive, `back${at}`, true);
      return { migration, script, mark, back };
    });
    await takeBack(context, core, request, database, steps, known);
  });
  using database = openDatabase(core.file, 'read');
  return { ...resultOfEarlierDowns(core, request.versions), fingerprint: fingerprintOf(core, database) };
}
