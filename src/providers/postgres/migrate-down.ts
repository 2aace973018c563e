import { UnshipError } from '../../domain/errors.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { MigrateDownResult, MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { archiveOfLive, archivesOf, placeOf, writeArchive } from './archive.ts';
import { nextMoment } from './backup-record.ts';
import type { Connection } from './connection.ts';
import { type Core, nameOf, open } from './core.ts';
import { checkFence } from './fence.ts';
import { fingerprintOf } from './fingerprint.ts';
import { ledgerFor } from './ledger.ts';
import { archiveOf } from './migration-work.ts';
import { type Script, scriptOf } from './scripts.ts';
import { changeLive } from './session.ts';
import { runTransition, TouchedMore } from './transition.ts';

interface Step {
  readonly migration: Migration;
  readonly script: Script;
}

/** What earlier calls have archived and given back: a call that finds nothing to do says the same as the one that did it. */
async function resultOf(
  core: Core,
  connection: Connection,
  versions: readonly string[],
): Promise<MigrateDownResult> {
  const downs = await Promise.all(versions.map((version) => archivesOf(connection, version, 'down')));
  const archives = downs.flatMap(([newest]) => newest ?? []);
  const sum = (pick: 'archived' | 'givenBack' | 'keptEdits' | 'withheld'): number =>
    archives.reduce((total, { record }) => total + record[pick], 0);
  const holding = archives.find(({ record }) => record.archived > 0);
  const withholding = archives.find(({ record }) => record.withheldIn !== null)?.record.withheldIn ?? null;
  const database = nameOf(core);
  return {
    givenBack: sum('givenBack'),
    keptEdits: sum('keptEdits'),
    archived: sum('archived'),
    archive: holding === undefined ? null : placeOf(database, holding.id),
    withheld: sum('withheld'),
    withheldIn: withholding === null ? null : placeOf(database, withholding),
    fingerprint: await fingerprintOf(core, connection),
  };
}

/** All of them in one transaction: the schema between two downs is one that no release has known. */
async function takeBack(
  context: WorkContext,
  core: Core,
  connection: Connection,
  request: MigrationRequest,
  steps: readonly Step[],
  touched: ReadonlySet<string>,
  known: readonly string[],
): Promise<void> {
  for (const { migration, script } of steps) {
    const ledger = await ledgerFor(core, connection, migration.format);
    // Taken back meanwhile: by an attempt whose answer was lost, or by the tool itself.
    if (!(await ledger.applied(known)).includes(migration.version)) continue;
    const mark = (await ledger.marks()).get(migration.version);
    const up = await archiveOfLive(connection, migration.version, mark);
    const back = up === undefined ? null : { archive: up, rewrites: true };
    const result = await runTransition(core, connection, { script, back, touched });
    await ledger.remove(migration.version, known);
    const extra = { mark: null, at: nextMoment(context, core), withheldIn: up?.id ?? null };
    await writeArchive(connection, archiveOf(core, request, migration, 'down', result, extra));
  }
  context.runtime.faults.point('postgres.migrate-down.before');
}

async function wantedSteps(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
  known: readonly string[],
): Promise<readonly Step[]> {
  const wanted = await Promise.all(
    request.versions.map((version) => core.texts.findApplied(request.commit, version)),
  );
  await using connection = await open(core, 'look');
  await checkFence(connection, context.fence);
  const applied = await (await ledgerFor(core, connection, wanted[0]?.format)).applied(known);
  return wanted
    .filter((migration) => applied.includes(migration.version))
    .map((migration) => {
      if (migration.outsideTransaction.down) {
        throw new UnshipError('migration-forbidden', {
          happened: `the down of ${migration.name} asks to run outside a transaction (transaction:false), so it could not be taken back half-way`,
          done: 'nothing was changed',
        });
      }
      return { migration, script: scriptOf(migration, 'down') };
    });
}

/** See DatabasePort.migrateDown. */
export async function migrateDown(
  context: WorkContext,
  core: Core,
  request: MigrationRequest,
): Promise<MigrateDownResult> {
  const known = (await core.texts.atOrKept(request.commit)).map((migration) => migration.version);
  const steps = await wantedSteps(context, core, request, known);
  let touched: ReadonlySet<string> = new Set();
  for (let isOpen = steps.length > 0; isOpen; ) {
    try {
      await changeLive(context, core, 'migrate', (connection) =>
        takeBack(context, core, connection, request, steps, touched, known),
      );
      context.runtime.faults.point('postgres.migrate-down.after');
      isOpen = false;
    } catch (error) {
      if (!(error instanceof TouchedMore)) throw error;
      touched = error.tables;
    }
  }
  await using connection = await open(core, 'look');
  return await resultOf(core, connection, request.versions);
}
