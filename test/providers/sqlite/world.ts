import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DatabaseArtifact } from '../../../src/domain/facts.ts';
import type { Release, ReleaseId } from '../../../src/domain/release.ts';
import type { Runtime } from '../../../src/domain/runtime.ts';
import { createSqlite } from '../../../src/providers/sqlite/index.ts';
import type { SqliteOptions } from '../../../src/providers/sqlite/options.ts';
import type { ProviderEnvironment } from '../../../src/surfaces/provider.port.ts';
import type { Source } from '../../../src/surfaces/source.port.ts';
import type { WorkContext } from '../../../src/surfaces/surface.port.ts';
import type { ContractRow, DatabaseWorld } from '../../../src/testing/database-contract.ts';

export type Files = { readonly [name: string]: string };

/** Commits of one folder of migrations, without git: what the provider asks of a source is little. */
export class Commits {
  readonly #commits = new Map<string, Files>();
  /** How often anything was asked, so that a test can say: not at all. */
  asked = 0;

  add(files: Files): string {
    const commit = createHash('sha1').update(JSON.stringify(files)).digest('hex');
    this.#commits.set(commit, files);
    return commit;
  }

  source(): Source {
    const files = (commit: string): Files => {
      this.asked += 1;
      return this.#commits.get(commit) ?? {};
    };
    const unused = (): never => {
      throw new Error('the database provider has no use for this');
    };
    return {
      root: '/',
      has: async (commit) => Object.keys(files(commit)).length > 0,
      read: async (commit, path) => files(commit)[path.replace(/^migrations\//, '')] ?? null,
      list: async (commit, folder) => (folder === 'migrations' ? Object.keys(files(commit)).sort() : []),
      objectAt: async (commit) =>
        createHash('sha1')
          .update(JSON.stringify(files(commit)))
          .digest('hex'),
      ...{ resolve: unused, checkout: unused, contains: unused, isShallow: unused },
      ...{ subject: unused, hasTrailer: unused },
    };
  }
}

/** A release that left this behind in the database. */
export function release(id: ReleaseId, artifact: DatabaseArtifact): Release {
  const vault = { kind: 'database', commit: '', artifact: { ...artifact }, label: '', since: id } as const;
  return {
    ...{ id, createdAt: 0, createdBy: 'test', commit: '', deployment: 'live', health: 'good' },
    ...{ surfaces: { vault }, configurationHash: '' },
  };
}

export const runtime: Runtime = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal?.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  },
  ids: { random: () => randomBytes(16).toString('hex') },
  faults: { point: () => undefined },
  digest: (text) => createHash('sha256').update(text).digest('hex'),
};

export function contextOf(key: string, overrides: Partial<WorkContext> = {}): WorkContext {
  return {
    runtime,
    signal: new AbortController().signal,
    idempotencyKey: key,
    fence: 1,
    maximumRowsLost: 0,
    progress: () => undefined,
    ...overrides,
  };
}

export interface SqliteWorld extends DatabaseWorld {
  readonly file: string;
  readonly root: string;
  readonly commits: Commits;
  /** A connection of the application's own, closed with the world. */
  readonly application: DatabaseSync;
  readonly environment: ProviderEnvironment;
}

export function environmentIn(root: string, source: Source): ProviderEnvironment {
  const folder = join(root, 'state');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return {
    ...{ application: 'vault', environment: 'production', surface: 'vault', folder, root, source, runtime },
    reveal: () => {
      throw new Error('no secrets here');
    },
    processEnvironment: {},
  };
}

export async function makeWorld(options: Partial<SqliteOptions> = {}, lockMs = 2000): Promise<SqliteWorld> {
  const root = mkdtempSync(join(tmpdir(), 'unship-sqlite-'));
  const file = join(root, 'vault.db');
  const application = new DatabaseSync(file, { timeout: 5000, enableForeignKeyConstraints: false });
  application.exec('PRAGMA journal_mode = WAL');
  const commits = new Commits();
  const environment = environmentIn(root, commits.source());
  const { port } = createSqlite({ file: 'vault.db', environment: 'VAULT_DB', ...options }, environment, {
    lockMs,
  });
  return {
    ...{ port, file, root, commits, application, environment, folder: join(root, 'rehearsal') },
    commit: (files) => commits.add(files),
    context: contextOf,
    write: async (sql) => application.exec(sql),
    read: async (sql) =>
      application
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })) as unknown as ContractRow[],
    [Symbol.asyncDispose]: async () => {
      if (application.isOpen) application.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
