import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createPostgres } from '../../../src/providers/postgres/index.ts';
import type { PostgresOptions } from '../../../src/providers/postgres/options.ts';
import type { ProviderEnvironment } from '../../../src/surfaces/provider.port.ts';
import type { ContractRow, DatabaseWorld } from '../../../src/testing/database-contract.ts';
import type { PostgresCluster } from '../../support/postgres-cluster.ts';
import { Commits, contextOf, environmentIn } from '../sqlite/world.ts';

export interface PostgresWorld extends DatabaseWorld {
  readonly database: string;
  readonly url: string;
  readonly root: string;
  readonly commits: Commits;
  readonly environment: ProviderEnvironment;
}

let made = 0;

/** The application's role: owner of its database, and not more than the docs ask for. */
export const applicationRole = 'app';

export async function prepareRole(cluster: PostgresCluster): Promise<void> {
  await cluster.query(
    `CREATE ROLE ${applicationRole} LOGIN CREATEDB; GRANT pg_signal_backend TO ${applicationRole}`,
  );
}

/** A database of its own on a cluster that the tests of a file share. */
export async function makeWorld(
  cluster: PostgresCluster,
  options: Partial<PostgresOptions> = {},
): Promise<PostgresWorld> {
  made += 1;
  const database = `vault_${process.pid}_${made}`;
  await cluster.query(`CREATE DATABASE ${database} OWNER ${applicationRole}`);
  const root = mkdtempSync(join(tmpdir(), 'unship-postgres-world-'));
  const commits = new Commits();
  const environment = environmentIn(root, commits.source());
  const url = cluster.url(database, applicationRole);
  const { port } = createPostgres({ url, environment: 'VAULT_DB', ...options }, environment, {
    patienceMs: 20_000,
  });
  return {
    ...{ port, database, url, root, commits, environment, folder: join(root, 'rehearsal') },
    commit: (files) => commits.add(files),
    context: contextOf,
    write: async (sql) => void (await query(url, sql)),
    read: async (sql) => (await query(url, sql)) as readonly ContractRow[],
    [Symbol.asyncDispose]: async () => {
      const left = await cluster.query<{ name: string }>(
        `SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, '${database}')`,
      );
      for (const { name } of left) await cluster.query(`DROP DATABASE "${name}" WITH (FORCE)`);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** A session of its own, as an application that reconnects has it. */
async function query(url: string, sql: string): Promise<readonly pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    const answer = (await client.query(sql)) as pg.QueryResult | pg.QueryResult[];
    return (Array.isArray(answer) ? answer.at(-1) : answer)?.rows ?? [];
  } finally {
    await client.end();
  }
}
