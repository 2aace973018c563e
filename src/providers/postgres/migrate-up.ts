import { UnshipError } from '../../domain/errors.ts';
import type { Migration } from '../../domain/migrations/migration-files.ts';
import type { MigrationRequest } from '../../surfaces/database/database.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import { archivesOf, retire, writeArchive } from './archive.ts';
import { nextMoment } from './backup-record.ts';
import type { Connection } from './connection.ts';
import { type Core, open } from './core.ts';
import { checkFence } from './fence.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { Back } from './give-back.ts';
import { ledgerFor } from './ledger.ts';
import { archiveOf, upChecksum } from './migration-work.ts';
import { type Script, scriptOf } from './scripts.ts';
import { changeLive } from './session.ts';
import { runTransition, TouchedMore } from './transition.ts';

/** Values that the last down took away come back when its up runs again. */
async function backFromDown(core: Core, connection: Connection, migration: Migration): Promise<Back | null> {
  const [down] = await archivesOf(connection, migration.version, 'down');
  if (down === undefined) return null;
  return { archive: down, rewrites: down.record.checksum === upChecksum(core, migration) };
}

interface Up {
  readonly request: MigrationRequest;
  readonly migration: Migration;
  readonly script: Script;
  readonly known: readonly string[];
}

async function apply(
  context: WorkContext,
  core: Core,
  connection: Connection,
  { request, migration, script, known }: Up,
  touched: ReadonlySet<string>,
): Promise<void> {
  const ledger = await ledgerFor(core, connection, migration.format);
  if ((await ledger.applied(known)).includes(migration.version)) {
    await retire(connection, migration.version);
    return;
  }
  core.texts.keep(migration);
  const back = await backFromDown(core, connection, migration);
  const result = await runTransition(core, connection, { script, back, touched });
  context.runtime.faults.point('postgres.migrate-up.ran');
  await ledger.add(migration.version);
  const mark = (await ledger.marks()).get(migration.version) ?? null;
  const extra = { mark, at: nextMoment(context, core), withheldIn: back?.archive.id ?? null };
  await writeArchive(connection, archiveOf(core, request, migration, 'up', result, extra));
  await retire(connection, migration.version);
  context.runtime.faults.point('postgres.migrate-up.before');
}

async function applyOne(context: WorkContext, core: Core, up: Up): Promise<void> {
  let touched: ReadonlySet<string> = new Set();
  for (;;) {
    try {
      await changeLive(context, core, 'migrate', (connection) =>
        apply(context, core, connection, up, touched),
      );
      context.runtime.faults.point('postgres.migrate-up.after');
      return;
    } catch (error) {
      if (!(error instanceof TouchedMore)) throw error;
      touched = error.tables;
    }
  }
}

function requireTransaction({ name, outsideTransaction }: Migration, direction: 'up' | 'down'): void {
  if (!outsideTransaction[direction]) return;
  throw new UnshipError('migration-forbidden', {
    happened: `${name} asks to run outside a transaction (transaction:false), so it could not be taken back half-way`,
    done: 'nothing was changed',
    next: 'take transaction:false out of it; what needs it, such as CREATE INDEX CONCURRENTLY, is made by hand before, and IF NOT EXISTS in the migration finds it there',
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
  for (const version of request.versions) {
    context.signal.throwIfAborted();
    const migration = await core.texts.find(request.commit, version);
    context.progress(`applying ${migration.name}`);
    if (await isApplied(context, core, migration, known)) continue;
    requireTransaction(migration, 'up');
    const script = scriptOf(migration, 'up');
    await applyOne(context, core, { request, migration, script, known });
  }
  await using connection = await open(core, 'look');
  return { fingerprint: await fingerprintOf(core, connection) };
}

/** What another tool has applied, by means that we refuse, is applied all the same. */
async function isApplied(
  context: WorkContext,
  core: Core,
  migration: Migration,
  known: readonly string[],
): Promise<boolean> {
  await using connection = await open(core, 'look');
  await checkFence(connection, context.fence);
  const ledger = await ledgerFor(core, connection, migration.format);
  return (await ledger.applied(known)).includes(migration.version);
}
