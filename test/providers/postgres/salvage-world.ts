import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { beginCapture, type Capture, type CaptureWish } from '../../../src/providers/postgres/capture.ts';
import { connect } from '../../../src/providers/postgres/connection.ts';
import { beforeCommit, markSession, markTransaction } from '../../../src/providers/postgres/marking.ts';
import type { SalvageWish } from '../../../src/providers/postgres/salvage.ts';
import type { PostgresCluster } from '../../support/postgres-cluster.ts';
import type { Entry } from './ledger-writer-process.ts';

export const schema = `
  CREATE TABLE accounts (id bigserial PRIMARY KEY, email text UNIQUE, nickname text, plan text NOT NULL DEFAULT 'free');
  CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE, body text, mood text,
    words int GENERATED ALWAYS AS (length(body)) STORED);
  CREATE TABLE log (at timestamptz DEFAULT now(), what text, id int);
  INSERT INTO accounts (email, nickname) SELECT 'a' || i || '@example.test', 'Nick ' || i FROM generate_series(1, 300) i;
  INSERT INTO entries (account_id, body, mood) SELECT i % 300 + 1, 'Body ' || i, 'Mood ' || i % 5 FROM generate_series(1, 900) i;
  INSERT INTO log (what, id) SELECT 'old ' || i, i FROM generate_series(1, 50) i;`;

/** Drops a column, renames one, rewrites values, deletes rows, adds required things: everything a bad one does. */
export const badMigration: readonly string[] = [
  'ALTER TABLE accounts DROP COLUMN nickname',
  'ALTER TABLE accounts RENAME COLUMN plan TO tier',
  `ALTER TABLE accounts ADD COLUMN region text NOT NULL DEFAULT 'eu'`,
  `UPDATE entries SET body = lower(body), mood = 'calm' WHERE id % 2 = 0`,
  'DELETE FROM entries WHERE id % 50 = 7',
  'CREATE TABLE tags (id serial PRIMARY KEY, name text)',
  `INSERT INTO accounts (email) VALUES ('migration@example.test')`,
];

export const noFaults: CaptureWish['faults'] = { point: () => undefined };

/** One database of a cluster, with what a capture and a salvage of it need. */
export class SalvageWorld implements AsyncDisposable {
  readonly cluster: PostgresCluster;
  readonly database: string;
  readonly url: string;
  readonly folder: string;
  readonly #writers: { readonly child: ChildProcess; readonly ledger: string }[] = [];
  readonly #abort = new AbortController();

  private constructor(cluster: PostgresCluster, database: string, url: string) {
    this.cluster = cluster;
    this.database = database;
    this.url = url;
    this.folder = mkdtempSync(join(tmpdir(), 'unship-salvage-'));
  }

  static async make(
    cluster: PostgresCluster,
    database: string,
    sql: string = schema,
    user = 'postgres',
  ): Promise<SalvageWorld> {
    await cluster.query(`CREATE DATABASE "${database}"`);
    if (user !== 'postgres') await cluster.query(`ALTER DATABASE "${database}" OWNER TO ${user}`);
    const world = new SalvageWorld(cluster, database, cluster.url(database, user));
    const client = await cluster.connect(database, user);
    await client.query(sql);
    await client.end();
    return world;
  }

  captureWish(more: Partial<CaptureWish> = {}): CaptureWish {
    const programs = { folder: this.cluster.bin, signal: this.#abort.signal };
    return {
      url: this.url,
      key: `k-${this.database}`,
      folder: this.folder,
      programs,
      faults: noFaults,
      ...more,
    };
  }

  salvageWish(capture: Capture, more: Partial<SalvageWish> = {}): SalvageWish {
    return {
      ...{ url: this.url, capture, programs: { folder: this.cluster.bin, signal: this.#abort.signal } },
      ...{ fills: {}, folder: join(this.folder, 'spool'), signal: this.#abort.signal, faults: noFaults },
      ...more,
    };
  }

  async capture(more: Partial<CaptureWish> = {}): Promise<Capture> {
    return await beginCapture(this.captureWish(more));
  }

  async query<Row extends pg.QueryResultRow>(
    sql: string,
    database: string = this.database,
  ): Promise<readonly Row[]> {
    return await this.cluster.query<Row>(sql, database);
  }

  /** As the migrations of a release run: a session that is marked, with its catalogue noted. */
  async migrate(capture: Capture, statements: readonly string[] = badMigration): Promise<void> {
    for (;;) {
      await using session = await connect(this.url, { purpose: 'migration' });
      await markSession(session, capture);
      await session.run(`SET lock_timeout = '2s'`);
      try {
        await session.run('BEGIN');
        for (const statement of statements) await session.run(statement);
        await markTransaction(session, capture);
        await beforeCommit(session, capture);
        await session.run('COMMIT');
        return;
      } catch (error) {
        // Writers and a migration lock each other out now and then.
        if (!['40P01', '55P03'].includes((error as { readonly code?: string }).code ?? '')) throw error;
      }
    }
  }

  startWriters(pauseMs: number): void {
    for (const number of [0, 1, 2]) {
      const ledger = join(this.folder, `ledger-${number}`);
      const program = join(import.meta.dirname, 'ledger-writer-process.ts');
      const args = [program, this.url, ledger, String(number), String(pauseMs)];
      this.#writers.push({
        ledger,
        child: spawn(process.execPath, args, { stdio: ['pipe', 'inherit', 'inherit'] }),
      });
    }
  }

  /** Waits until the writers have written so much more. */
  async written(commits: number): Promise<void> {
    const now = this.ledger().length;
    while (this.ledger().length < now + commits) await sleep(20);
  }

  async stopWriters(): Promise<void> {
    await Promise.all(
      this.#writers.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'close');
        child.stdin?.end();
        await ended;
      }),
    );
  }

  ledger(): readonly Entry[] {
    return this.#writers.flatMap(({ ledger }) =>
      existsSync(ledger)
        ? readFileSync(ledger, 'utf8')
            .split('\n')
            .filter((line) => line.endsWith('}'))
            .map((line) => JSON.parse(line) as Entry)
        : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    for (const { child } of this.#writers) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

interface Row {
  [column: string]: string | null;
}

export interface Judgement {
  readonly missing: readonly string[];
  readonly wrong: readonly string[];
  /** Rows that nobody of the application wrote. */
  readonly surplus: readonly string[];
}

/** The state without the migration: the beginning, and on it everything that was acknowledged. */
export async function judge(world: SalvageWorld, database: string = world.database): Promise<Judgement> {
  const expected: { readonly [table: string]: Map<string, Row> } = {
    accounts: new Map(),
    entries: new Map(),
    log: new Map(),
  };
  for (let i = 1; i <= 300; i += 1)
    expected.accounts?.set(`${i}`, { email: `a${i}@example.test`, nickname: `Nick ${i}`, plan: 'free' });
  for (let i = 1; i <= 900; i += 1)
    expected.entries?.set(`${i}`, {
      account_id: `${(i % 300) + 1}`,
      body: `Body ${i}`,
      mood: `Mood ${i % 5}`,
    });
  for (let i = 1; i <= 50; i += 1) expected.log?.set(`old ${i}`, {});
  for (const { table, kind, id, values } of world.ledger()) {
    const rows = expected[table];
    if (kind === 'delete') rows?.delete(id);
    else rows?.set(id, { ...rows.get(id), ...values });
  }
  const there: { readonly [table: string]: Map<string, Row> } = {
    accounts: await textRows(world, database, 'SELECT id::text, email, nickname, plan FROM accounts'),
    entries: await textRows(world, database, 'SELECT id::text, account_id::text, body, mood FROM entries'),
    log: await textRows(world, database, 'SELECT what AS id FROM log'),
  };
  const missing: string[] = [];
  const wrong: string[] = [];
  const surplus: string[] = [];
  for (const [table, rows] of Object.entries(expected)) {
    for (const [id, row] of rows) {
      const found = there[table]?.get(id);
      if (found === undefined) missing.push(`${table} ${id}`);
      for (const [column, value] of Object.entries(row))
        if (found !== undefined && found[column] !== value)
          wrong.push(`${table} ${id} ${column}: ${found[column]} instead of ${value}`);
    }
    for (const id of there[table]?.keys() ?? []) if (!rows.has(id)) surplus.push(`${table} ${id}`);
  }
  return { missing, wrong, surplus };
}

async function textRows(world: SalvageWorld, database: string, sql: string): Promise<Map<string, Row>> {
  const rows = await world.query<Row & { id: string }>(sql, database);
  return new Map(rows.map(({ id, ...row }) => [String(id), row]));
}
