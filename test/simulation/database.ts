import { UnshipError } from '../../src/domain/errors.ts';
import type {
  BackupFacts,
  Compatibility,
  DataAtRisk,
  DatabaseFacts,
  MigrationFacts,
} from '../../src/domain/facts.ts';
import type { DatabasePort } from '../../src/surfaces/database/database.port.ts';
import type { LookContext, WorkContext } from '../../src/surfaces/surface.port.ts';
import type { Network } from './network.ts';
import type { SimulatedProcess } from './process.ts';

/** What a migration does, as far as it matters to whoever takes it back. */
export interface Migration {
  readonly version: string;
  readonly oldCodeRuns: boolean;
  readonly newCodeRuns: boolean;
  /** It writes every body in lower case. */
  readonly rewrites: boolean;
  readonly down: 'written' | 'restore-only';
}

export interface Backup extends BackupFacts {
  readonly rows: ReadonlyMap<number, string>;
}

/** A database as it truly is. */
export interface DatabaseTruth {
  applied: readonly string[];
  /** Body by id. Written in place: what keeps it, copies it. */
  rows: Map<number, string>;
  /** What each applied migration has overwritten; lost with what captures it. */
  readonly overwritten: Map<string, ReadonlyMap<number, string>>;
  readonly backups: Map<string, Backup>;
  /** Ids of the rows that a restore took away, each with somebody's consent. */
  readonly lost: Set<number>;
  /** Key and answer of the restore that the content came from: they arrive in one transaction with it. */
  restored: { readonly key: string; readonly backup: string; readonly rowsLost: number } | null;
  fence: number;
}

/** A connection ends with its process, and its transaction with that; see DatabasePort. */
const outlivesMs = 3_000;

export interface DatabaseWorld {
  readonly database: DatabaseTruth;
  readonly migrations: ReadonlyMap<string, Migration>;
  /** Versions that a commit has, oldest first; empty when it is not known. */
  versionsAt(commit: string): readonly string[];
  now(): number;
  ordered(fence: number): void;
}

export function fingerprintOf(applied: readonly string[]): string {
  return `schema ${applied.join(' ')}`;
}

function claim(holds: boolean): Compatibility {
  return { holds, reason: holds ? '' : 'it says so' };
}

/** One database of the simulation, as one process reaches it. */
export function simulatedDatabase(
  world: DatabaseWorld,
  network: Network,
  process: SimulatedProcess,
): DatabasePort {
  const { database } = world;
  const work = async <T>(context: WorkContext, name: string, effect: () => T): Promise<T> =>
    await network.command(process, context.signal, name, () => order(context, effect), outlivesMs);
  const order = <T>(context: WorkContext, effect: () => T): T => {
    if (context.fence < database.fence) {
      throw new UnshipError('fenced-out', {
        happened: `fence ${database.fence} was seen, and this run has ${context.fence}`,
      });
    }
    database.fence = context.fence;
    world.ordered(context.fence);
    return effect();
  };
  const look = async <T>(context: LookContext, question: string, answer: () => T): Promise<T> =>
    await network.ask(process, context.signal, `database ${question}`, answer);
  const known = (version: string): Migration => {
    const found = world.migrations.get(version);
    if (found !== undefined) return found;
    throw new UnshipError('migration-failed', { happened: `there is no migration ${version}` });
  };
  const factsOf = ({ version, ...migration }: Migration): MigrationFacts => ({
    version,
    name: `${version}_change`,
    checksum: version.repeat(16),
    down: migration.down,
    oldCodeRuns: claim(migration.oldCodeRuns),
    newCodeRuns: claim(migration.newCodeRuns),
    changesRows: { holds: migration.rewrites, tables: migration.rewrites ? ['entries'] : [], reason: '' },
    preImages: !migration.rewrites ? 'not-needed' : database.overwritten.has(version) ? 'recorded' : 'none',
  });
  const restoreRisk = (backup: Backup): DataAtRisk => {
    const lost = [...database.rows.keys()].filter((id) => !backup.rows.has(id)).length;
    const table = { table: 'entries', kept: database.rows.size - lost, archived: 0, lost, editedSince: 0 };
    return { tables: [table], dropped: [], exact: true };
  };
  const backupOf = (id: string): Backup => {
    const found = database.backups.get(id);
    if (found?.verified === true) return found;
    throw new UnshipError('backup-invalid', { happened: `backup ${id} is not whole` });
  };
  const save = (id: string, release: BackupFacts['release']): Backup => {
    const backup: Backup = {
      id,
      release,
      takenAt: world.now(),
      verified: true,
      fingerprint: fingerprintOf(database.applied),
      applied: database.applied,
      location: id,
      rows: new Map(database.rows),
    };
    database.backups.set(id, backup);
    return backup;
  };
  const plain = ({ rows: _, ...facts }: Backup): BackupFacts => facts;
  return {
    observe: async (context, query): Promise<DatabaseFacts> =>
      await look(context, `facts ${query.commit ?? ''}`, () => {
        const wanted = query.commit === undefined ? [] : world.versionsAt(query.commit);
        const newest = [...database.backups.values()].at(-1);
        const rows = { table: 'entries', archived: 0, lost: 0, editedSince: 0 };
        return {
          kind: 'database',
          fingerprint: fingerprintOf(database.applied),
          applied: database.applied,
          pending: wanted.filter((version) => !database.applied.includes(version)),
          migrations: [...world.migrations.values()].map(factsOf),
          backups: [...database.backups.values()].map(plain).reverse(),
          capabilities: { restore: true, salvage: false },
          measurements: {
            bytes: 1000,
            rows: { entries: database.rows.size },
            risk: {
              'migrate-down': { tables: [{ ...rows, kept: database.rows.size }], dropped: [], exact: true },
              ...(newest === undefined ? {} : { restore: restoreRisk(newest) }),
            },
            blockedMs: {},
          },
        };
      }),
    raiseFence: async (context) => await work(context, 'database.fence', () => {}),
    backup: async (context, release) =>
      await work(context, 'database.backup', () => {
        const id = `backup-${release}-${context.idempotencyKey}`;
        return plain(database.backups.get(id) ?? save(id, release));
      }),
    discardUnfinishedBackup: async () => {},
    verifyBackup: async (context, id) =>
      await look(context, `backup ${id}`, () => ({ observed: `${backupOf(id).id} is whole` })),
    migrateUp: async (context, { versions }) => {
      for (const version of versions) {
        await work(context, 'database.migrate-up', () => {
          if (database.applied.includes(version)) return;
          if (known(version).rewrites) {
            database.overwritten.set(version, new Map(database.rows));
            database.rows = new Map([...database.rows].map(([id, body]) => [id, body.toLowerCase()]));
          }
          database.applied = [...database.applied, version].sort();
        });
      }
      return { fingerprint: fingerprintOf(database.applied) };
    },
    migrateDown: async (context, { versions }) =>
      await work(context, 'database.migrate-down', () => {
        const going = versions.filter((version) => database.applied.includes(version));
        let givenBack = 0;
        let rows = database.rows;
        // One transaction: whatever can't be given back leaves everything as it is.
        for (const version of going) {
          if (!known(version).rewrites) continue;
          const before = database.overwritten.get(version);
          if (before === undefined) {
            throw new UnshipError('migration-failed', { happened: `what ${version} overwrote is not kept` });
          }
          rows = new Map(
            [...rows].map(([id, body]) => {
              const old = before.get(id);
              if (old === undefined || old.toLowerCase() !== body) return [id, body];
              givenBack += 1;
              return [id, old];
            }),
          );
        }
        database.rows = rows;
        for (const version of going) database.overwritten.delete(version);
        database.applied = database.applied.filter((version) => !going.includes(version));
        const fingerprint = fingerprintOf(database.applied);
        return {
          givenBack,
          keptEdits: 0,
          archived: 0,
          archive: null,
          withheld: 0,
          withheldIn: null,
          fingerprint,
        };
      }),
    fetchBackup: async (context, id) => await look(context, `backup ${id}`, () => database.backups.has(id)),
    proveRestore: async () => null,
    restoreProof: async () => null,
    restore: async (context, { backup: id, maximumRowsLost }) =>
      await work(context, 'database.restore', () => {
        const safety = `safety-${context.idempotencyKey}`;
        const backup = backupOf(id);
        const answer = { backup: id, safetyBackup: safety, fingerprint: backup.fingerprint };
        if (database.restored?.key === context.idempotencyKey && database.restored.backup === id)
          return { ...answer, rowsLost: database.restored.rowsLost };
        const lost = lostBetween(database.rows, backup.rows);
        if (lost.length > maximumRowsLost) {
          throw new UnshipError('loss-exceeds-consent', { happened: `${lost.length} rows would be lost` });
        }
        save(safety, backup.release);
        for (const row of lost) database.lost.add(row);
        for (const row of backup.rows.keys()) database.lost.delete(row);
        database.rows = new Map(backup.rows);
        database.applied = backup.applied;
        database.restored = { key: context.idempotencyKey, backup: id, rowsLost: lost.length };
        return { ...answer, rowsLost: lost.length };
      }),
    restored: async (context, id) =>
      await look(context, `restored ${context.idempotencyKey}`, () => {
        const { restored } = database;
        if (restored?.key !== context.idempotencyKey || restored.backup !== id) return null;
        const { rowsLost } = restored;
        const { fingerprint } = backupOf(id);
        return { backup: id, safetyBackup: `safety-${context.idempotencyKey}`, rowsLost, fingerprint };
      }),
    verifySchema: async (context, { fingerprint, applied }) => {
      const seen = await look(context, 'schema', () => database.applied);
      const right =
        seen.join() === applied.join() && (fingerprint ?? fingerprintOf(seen)) === fingerprintOf(seen);
      if (right) return { observed: fingerprintOf(seen) };
      throw new UnshipError('schema-mismatch', { happened: `it is ${fingerprintOf(seen)}` });
    },
    countRestoreRisk: async (context, id) =>
      await look(context, `risk ${id}`, () => restoreRisk(backupOf(id))),
    rehearsal: async () => {
      throw new Error('nothing is rehearsed in the simulation');
    },
  };
}

function lostBetween(now: ReadonlyMap<number, string>, then: ReadonlyMap<number, string>): readonly number[] {
  return [...now.keys()].filter((id) => !then.has(id));
}
