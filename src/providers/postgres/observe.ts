import { UnshipError } from '../../domain/errors.ts';
import type { BackupFacts, DataAtRisk, DatabaseFacts, MigrationFacts } from '../../domain/facts.ts';
import { readDatabaseArtifact } from '../../domain/facts.ts';
import { type Classification, classifyMigration } from '../../domain/migrations/compatibility.ts';
import { compareVersions, type Migration } from '../../domain/migrations/migration-files.ts';
import type { LookContext, Observation, Query } from '../../surfaces/surface.port.ts';
import { type Archive, archiveOfLive } from './archive.ts';
import { listBackups, requireBackup } from './backup-record.ts';
import { verifyBackup } from './backups.ts';
import { countRows, readCatalogue } from './catalogue.ts';
import type { Connection } from './connection.ts';
import { type Core, exactTexts, nameOf, open } from './core.ts';
import { diagnose } from './doctor.ts';
import { countDownRisk } from './down-risk.ts';
import { fingerprintOf, schemaParts } from './fingerprint.ts';
import { ledgerFor } from './ledger.ts';
import { checksumOf } from './migration-work.ts';
import { backupBefore, orUndefined } from './restore.ts';
import { countRestoreLoss } from './restore-risk.ts';
import { serverFacts } from './server.ts';
import { judgeMigration } from './statements.ts';

/** Texts of everything that may matter, by version; git is asked only for what is not kept already. */
async function gatherTexts(core: Core, query: Query): Promise<ReadonlyMap<string, Migration>> {
  const texts = new Map<string, Migration>();
  const add = (migrations: readonly Migration[]): void => {
    for (const migration of migrations)
      if (!texts.has(migration.version)) texts.set(migration.version, migration);
  };
  if (query.commit !== undefined) add(await core.texts.at(query.commit));
  const kept = core.texts.allKept();
  const known = new Set([...texts.keys(), ...kept.map((migration) => migration.version)]);
  for (const release of query.releases) {
    const surface = release.surfaces[core.environment.surface];
    if (surface === undefined || surface.commit === '') continue;
    const artifact = readDatabaseArtifact(surface.artifact);
    if (artifact?.applied.every((version) => known.has(version)) === true) continue;
    // A commit that is gone, or whose files are broken, must not stand in the way of going back past it.
    await orUndefined(async () => {
      if (await core.environment.source.has(surface.commit)) add(await core.texts.at(surface.commit));
    });
  }
  add(kept);
  return texts;
}

/** What is known of the migrations that are applied. */
interface Live {
  readonly applied: readonly string[];
  readonly archives: ReadonlyMap<string, Archive>;
  readonly backups: readonly BackupFacts[];
}

function preImagesOf(migration: Migration, holds: boolean, live: Live): MigrationFacts['preImages'] {
  if (!holds) return 'not-needed';
  const at = live.applied.indexOf(migration.version);
  if (at === -1) return 'recorded';
  const archive = live.archives.get(migration.version);
  if (archive !== undefined)
    return archive.record.tables.some((table) => table.unmatched !== null && table.rows !== null)
      ? 'none'
      : 'recorded';
  // A backup has them, but nothing here takes them out of it row by row.
  return 'none';
}

/**
 * From the text alone, so that the verdict is the same before and after it has run. What the server's grammar does not
 * take fails when it is to run; until then nothing of it is believed.
 */
async function classify(migration: Migration): Promise<Classification> {
  return (await orUndefined(() => judgeMigration(migration)))?.classification ?? classifyMigration(migration);
}

async function factsOfMigration(core: Core, migration: Migration, live: Live): Promise<MigrationFacts> {
  const classification = await classify(migration);
  const restoreOnly = migration.declared.has('restore-only');
  return {
    version: migration.version,
    name: migration.name,
    checksum: checksumOf(core, migration),
    down: restoreOnly ? 'restore-only' : migration.down === null ? 'missing' : 'written',
    ...classification,
    preImages: preImagesOf(migration, classification.changesRows.holds, live),
  };
}

/** The newest release asked about that lacks something the ledger has: the one a plan would go back to. */
function surplusOf(core: Core, query: Query, applied: readonly string[]): readonly string[] {
  for (const release of query.releases) {
    const surface = release.surfaces[core.environment.surface];
    const artifact = surface === undefined ? null : readDatabaseArtifact(surface.artifact);
    if (artifact === null) continue;
    const wanted = new Set(artifact.applied);
    const surplus = applied.filter((version) => !wanted.has(version));
    if (surplus.length > 0) return surplus.reverse();
  }
  return [];
}

interface Counted {
  readonly risk: DatabaseFacts['measurements']['risk'];
  /** A backup that proved not to be what was taken: nobody should be asked to lose anything for it. */
  readonly unsound: string | null;
}

async function countRisk(
  context: LookContext,
  core: Core,
  connection: Connection,
  open: readonly Migration[],
  live: Live,
): Promise<Counted> {
  if (open.length === 0) return { risk: {}, unsound: null };
  const backup = backupBefore(
    core,
    open.map((migration) => migration.version),
    live.applied,
  );
  const restore =
    backup === undefined ? undefined : await orUndefined(() => countRestoreRisk(context, core, backup.id));
  const unsound = backup !== undefined && restore === undefined ? backup.id : null;
  const ofRestore = restore === undefined ? {} : { restore };
  const hasDowns = open.every(({ down, declared }) => down !== null && !declared.has('restore-only'));
  if (!hasDowns) return { unsound, risk: ofRestore };
  const written =
    restore === undefined ? null : new Map(restore.tables.map((table) => [table.table, table.lost]));
  const steps = open.map((migration) => ({ migration, archive: live.archives.get(migration.version) }));
  const down = await countDownRisk(connection, steps, written);
  return { unsound, risk: { 'migrate-down': down, ...ofRestore } };
}

/** See DatabasePort.countRestoreRisk. */
export async function countRestoreRisk(context: LookContext, core: Core, id: string): Promise<DataAtRisk> {
  const record = requireBackup(core, id);
  await verifyBackup(context, core, id);
  await using connection = await open(core, 'count');
  await connection.run(`BEGIN READ ONLY; ${exactTexts}`);
  return await countRestoreLoss(context, core, connection, record);
}

// Counting reads every table once: where that takes noticeable time, it is done only when it is asked for.
const countAlwaysBytes = 64 * 1024 * 1024;

async function archivesOfLive(
  connection: Connection,
  applied: readonly string[],
  marks: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, Archive>> {
  const archives = new Map<string, Archive>();
  for (const version of applied) {
    const archive = await archiveOfLive(connection, version, marks.get(version));
    if (archive !== undefined) archives.set(version, archive);
  }
  return archives;
}

/** See DatabasePort.observe. */
export async function observe(context: LookContext, core: Core, query: Query): Promise<DatabaseFacts> {
  await using connection = await open(core, 'look');
  const texts = await gatherTexts(core, query);
  const ledger = await ledgerFor(core, connection, [...texts.values()][0]?.format);
  const applied = await ledger.applied([...texts.keys()]);
  const archives = await archivesOfLive(connection, applied, await ledger.marks());
  const live: Live = { applied, archives, backups: listBackups(core) };
  const migrations = [...texts.values()].sort((a, b) => compareVersions(a.version, b.version));
  const inLedger = new Set(applied);
  const atCommit = query.commit === undefined ? [] : await core.texts.at(query.commit);
  const { bytes } = await serverFacts(connection);
  const counted = query.countRisk || bytes <= countAlwaysBytes;
  const surplus = surplusOf(core, query, applied);
  const toTakeBack = surplus.flatMap((version) => texts.get(version) ?? []);
  const isKnown = query.countRisk && toTakeBack.length === surplus.length;
  const { risk, unsound } = isKnown
    ? await countRisk(context, core, connection, toTakeBack, live)
    : { risk: {}, unsound: null };
  const { noBackup, canRestore } = await diagnose(core, connection);
  return {
    kind: 'database',
    fingerprint: await fingerprintOf(core, connection),
    applied,
    pending: atCommit.map((migration) => migration.version).filter((version) => !inLedger.has(version)),
    migrations: await Promise.all(migrations.map((migration) => factsOfMigration(core, migration, live))),
    backups: live.backups.map((backup) => (backup.id === unsound ? { ...backup, verified: false } : backup)),
    capabilities: { restore: canRestore, salvage: false },
    measurements: {
      bytes,
      ...(noBackup === null ? {} : { noBackup }),
      ...(query.describeSchema === true ? { schema: await schemaParts(connection) } : {}),
      rows: counted ? await countRows(connection, await readCatalogue(connection)) : {},
      risk,
      // As measured on two cores with six times the work that they can do: 200,000 rows, all rewritten, 250 MB with
      // their archive, were given back in 18 s; a restore kept a writer waiting for 1.3 s.
      blockedMs: {
        'migrate-down': Math.ceil(50 + bytes / 14_000),
        restore: Math.ceil(500 + bytes / 250_000),
      },
    },
  };
}

/** See DatabasePort.verifySchema. */
export async function verifySchema(
  core: Core,
  expected: { readonly fingerprint?: string; readonly applied: readonly string[] },
): Promise<Observation> {
  await using connection = await open(core, 'look');
  const known = new Set([...expected.applied, ...core.texts.allKept().map((migration) => migration.version)]);
  const applied = await (await ledgerFor(core, connection)).applied([...known]);
  const missing = expected.applied.filter((version) => !applied.includes(version)).sort(compareVersions);
  const surplus = applied.filter((version) => !expected.applied.includes(version));
  const differences = [
    ...(missing.length === 0 ? [] : [`${missing.join(', ')} not applied`]),
    ...(surplus.length === 0 ? [] : [`${surplus.join(', ')} still applied`]),
  ];
  const fingerprint = await fingerprintOf(core, connection);
  if (expected.fingerprint !== undefined && expected.fingerprint !== fingerprint) {
    differences.push(
      `the schema is ${fingerprint.slice(0, 12)}, expected ${expected.fingerprint.slice(0, 12)}`,
    );
  }
  if (differences.length > 0)
    throw new UnshipError('schema-mismatch', {
      happened: `database ${nameOf(core)}: ${differences.join('; ')}`,
    });
  return {
    observed: `${applied.length} migration${applied.length === 1 ? '' : 's'} applied, newest ${applied.at(-1) ?? 'none'}, schema ${fingerprint.slice(0, 12)}`,
  };
}
