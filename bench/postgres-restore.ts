import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beginCapture } from '../src/providers/postgres/capture.ts';
import { connect } from '../src/providers/postgres/connection.ts';
import { beforeCommit, markSession } from '../src/providers/postgres/marking.ts';
import { cutOver, prepare } from '../src/providers/postgres/salvage.ts';
import { PostgresCluster } from '../test/support/postgres-cluster.ts';
import { atMost, type BenchOptions, type Findings } from './report.ts';
import { now } from './support/clock.ts';
import { log } from './support/log.ts';
import { runWell } from './support/processes.ts';
import { rounded } from './support/statistics.ts';

const writers = 4;
const rowsPerMb = 750;

interface Place {
  readonly cluster: PostgresCluster;
  readonly folder: string;
  readonly rows: number;
  /** Transactions of twenty rows each, just before the decision. */
  readonly burst: number;
}

/** A bad migration: a column goes, every third body is spoiled, rows go, something required comes. */
const migration = [
  'ALTER TABLE entries DROP COLUMN author',
  'UPDATE entries SET body = lower(body) WHERE id % 3 = 0',
  `DELETE FROM entries WHERE id % 1000 = 999`,
  `ALTER TABLE entries ADD COLUMN region text NOT NULL DEFAULT 'eu'`,
  'CREATE TABLE regions (id serial PRIMARY KEY, name text)',
];

async function fill({ cluster, rows }: Place): Promise<void> {
  await cluster.query('CREATE DATABASE live');
  await cluster.query(
    `CREATE TABLE accounts (id serial PRIMARY KEY, name text);
     CREATE TABLE entries (id bigserial PRIMARY KEY, account int NOT NULL REFERENCES accounts, body text, mood text, author text);
     CREATE TABLE events (id bigserial PRIMARY KEY, what text);
     CREATE TABLE jobs (id bigserial PRIMARY KEY, state text, tries int, note text);
     INSERT INTO jobs (state, tries, note) SELECT 'new', 0, md5(i::text) FROM generate_series(1, 20000) i;
     CREATE PROCEDURE work(transactions int) LANGUAGE plpgsql AS $$ BEGIN
       FOR i IN 1..transactions LOOP
         INSERT INTO jobs (state, tries, note) SELECT 'late', 0, md5(n::text) FROM generate_series(1, 8) n;
         UPDATE jobs SET state = 'done', tries = tries + 1 WHERE id BETWEEN i * 8 % 19000 + 1 AND i * 8 % 19000 + 10;
         DELETE FROM jobs WHERE id BETWEEN 20000 + i * 8 - 7 AND 20000 + i * 8 - 6;
         COMMIT;
       END LOOP; END $$;
     INSERT INTO accounts (name) SELECT 'Account ' || i FROM generate_series(1, 1000) i;
     INSERT INTO entries (account, body, mood, author) SELECT i % 1000 + 1, 'Entry ' || i || repeat(' Abcdef' || md5(i::text), 30), 'calm', 'Author ' || i % 100
       FROM generate_series(1, ${rows}) i;
     CREATE INDEX ON entries (account)`,
    'live',
  );
  await cluster.query('VACUUM ANALYZE', 'live');
}

class Application {
  readonly ledgers: readonly string[];
  readonly #children: readonly ChildProcess[];

  constructor({ cluster, folder, rows }: Place, round: string) {
    const program = fileURLToPath(new URL('./postgres-writer.ts', import.meta.url));
    const numbers = Array.from({ length: writers }, (_, number) => number);
    this.ledgers = numbers.map((number) => join(folder, `ledger-${round}-${number}`));
    this.#children = numbers.map((number) => {
      const args = [program, cluster.url('live'), this.ledgers[number] ?? '', number, writers, rows].map(
        String,
      );
      return spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] });
    });
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      child.stdin?.end();
      await ended;
    }
  }

  commits(): readonly Commit[] {
    const lines = this.ledgers.flatMap((file) =>
      existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [],
    );
    return lines.map((line) => {
      const [at = '', id = '', mark = '', entry = ''] = line.split(' ');
      return { at: Number(at), id, mark, entry };
    });
  }
}

interface Commit {
  readonly at: number;
  readonly id: string;
  readonly mark: string;
  readonly entry: string;
}

/** Longest time without any acknowledged commit since a moment. */
function longestGap(commits: readonly Commit[], since: number): number {
  const times = commits.map(({ at }) => at).filter((at) => at >= since - 1_000);
  times.sort((a, b) => a - b);
  return times.reduce((longest, at, i) => Math.max(longest, at - (times[i - 1] ?? at)), 0);
}

/** What was acknowledged and is not there; values that are neither the application's nor those from before. */
async function judge(
  { cluster, rows }: Place,
  commits: readonly Commit[],
): Promise<{ readonly missing: number; readonly wrong: number }> {
  const events = new Set(
    (await cluster.query<{ what: string }>('SELECT what FROM events', 'live')).map(({ what }) => what),
  );
  const added = new Map(
    (
      await cluster.query<{ id: string; body: string }>(
        `SELECT id, body FROM entries WHERE body LIKE 'new %'`,
        'live',
      )
    ).map(({ id, body }) => [id, body]),
  );
  const missing = commits.filter(
    ({ id, mark }) => !events.has(mark) || added.get(id) !== `new ${mark}`,
  ).length;
  const moods = new Map<string, string>();
  for (const { entry, mark } of commits) moods.set(entry, `mood ${mark}`);
  // Committed, and the connection cut before anybody heard of it: either is right.
  const acknowledged = new Set(commits.map(({ mark }) => mark));
  const cutOff = new Set([...events].filter((mark) => !acknowledged.has(mark)).map((mark) => `mood ${mark}`));
  let wrong = 0;
  const before = await cluster.query<{ id: string; hash: string; mood: string }>(
    `SELECT id, md5(concat_ws('|', account, body, author)) AS hash, mood FROM entries WHERE id <= ${rows}`,
    'baseline',
  );
  const there = new Map(
    (
      await cluster.query<{ id: string; hash: string; mood: string }>(
        `SELECT id, md5(concat_ws('|', account, body, author)) AS hash, mood FROM entries WHERE id <= ${rows}`,
        'live',
      )
    ).map((row) => [row.id, row]),
  );
  for (const { id, hash, mood } of before) {
    const row = there.get(id);
    const isRight = row?.mood === (moods.get(id) ?? mood) || cutOff.has(row?.mood ?? '');
    if (row === undefined || row.hash !== hash || !isRight) wrong += 1;
  }
  return { missing, wrong };
}

interface Measured {
  readonly commits: number;
  readonly missing: number;
  readonly wrong: number;
  readonly blockedMs: number;
  readonly liveMs: number;
}

async function ours(
  place: Place,
  writeMs: number,
): Promise<
  Measured & {
    readonly conflicts: number;
    readonly msFor20kRows: number;
    readonly captureMs: number;
    readonly rows: number;
  }
> {
  const { cluster, folder } = place;
  const url = cluster.url('live');
  const { signal } = new AbortController();
  const programs = { folder: cluster.bin, signal };
  const application = new Application(place, 'ours');
  try {
    await pause(1_000);
    const captureStarted = now();
    const faults = { point: () => undefined };
    const capture = await beginCapture({ url, key: 'bench', folder, programs, faults });
    const captureMs = now() - captureStarted;
    const from = Date.now();
    {
      await using session = await connect(url, { purpose: 'migration' });
      await markSession(session, capture);
      await session.run(`BEGIN; ${migration.join(';')}`);
      await beforeCommit(session, capture);
      await session.run('COMMIT');
    }
    await pause(writeMs);
    // Much in a short time: what catching up takes is measured by it.
    const worker = await cluster.connect('live');
    await worker.query('SET synchronous_commit = off');
    await worker.query(`CALL work(${place.burst})`);
    await worker.end();
    const decided = Date.now();
    let restored = 0;
    const wish = {
      ...{ url, capture, programs, fills: {}, folder: join(folder, 'spool'), signal },
      faults: {
        point: (name: string) => {
          if (name === 'postgres.side.ready') restored = now();
        },
      },
    };
    const prepared = await prepare(wish);
    const catchUpMs = now() - restored;
    const { report } = await cutOver(wish, { blockedMs: 30_000 });
    const liveMs = Date.now() - decided;
    await pause(1_000);
    await application.stop();
    const commits = application.commits();
    return {
      ...(await judge(place, commits)),
      commits: commits.filter(({ at }) => at >= from).length,
      blockedMs: longestGap(commits, decided),
      ...{ liveMs, captureMs, conflicts: report?.conflicts.count ?? -1, rows: prepared.carried.rows },
      msFor20kRows: (catchUpMs / prepared.carried.rows) * 20_000,
    };
  } finally {
    await application.stop();
  }
}

/** As one restores a dump by hand: everybody out, the database made anew from it, everybody in. */
async function inPlace(place: Place, writeMs: number): Promise<Measured> {
  const { cluster, folder } = place;
  const dump = join(folder, 'dump');
  const environment = { PGHOST: '127.0.0.1', PGPORT: String(cluster.port), PGUSER: 'postgres' };
  const run = async (program: string, ...args: readonly string[]): Promise<void> => {
    await runWell({ program: join(cluster.bin, program), arguments: args, environment, withinMs: 600_000 });
  };
  await cluster.query('DROP DATABASE live WITH (FORCE)');
  await cluster.query('CREATE DATABASE live TEMPLATE baseline');
  const application = new Application(place, 'peer');
  try {
    await pause(1_000);
    await run('pg_dump', '-Fd', '-j2', '-Z1', '-f', dump, 'live');
    const from = Date.now();
    await cluster.query(`BEGIN; ${migration.join(';')}; COMMIT`, 'live');
    await pause(writeMs);
    const decided = Date.now();
    await cluster.query('ALTER DATABASE live ALLOW_CONNECTIONS false');
    await cluster.query('DROP DATABASE live WITH (FORCE)');
    await cluster.query('CREATE DATABASE live CONNECTION LIMIT 0');
    await run('pg_restore', '-j2', '-d', 'live', dump);
    await cluster.query('ANALYZE', 'live');
    await cluster.query('ALTER DATABASE live CONNECTION LIMIT -1');
    const liveMs = Date.now() - decided;
    await pause(1_000);
    await application.stop();
    const commits = application.commits();
    const { missing, wrong } = await judge(place, commits);
    return {
      ...{ missing, wrong, liveMs, blockedMs: longestGap(commits, decided) },
      commits: commits.filter(({ at }) => at >= from).length,
    };
  } finally {
    await application.stop();
  }
}

/** A bad migration under writers is taken back, beside what restoring the dump in place does. */
export async function postgresRestore({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const megabytes = quick ? 100 : 1_000;
  const writeMs = quick ? 3_000 : 60_000;
  const cluster = await PostgresCluster.start({
    ...{ fsync: 'on', shared_buffers: '128MB', max_wal_size: '2GB', maintenance_work_mem: '128MB' },
  });
  cleanup.defer(async () => await cluster[Symbol.asyncDispose]());
  const place = {
    cluster,
    folder: cleanup.folder(),
    rows: megabytes * rowsPerMb,
    burst: quick ? 3_000 : 20_000,
  };
  log(`a database of about ${megabytes} MB`);
  await fill(place);
  const [size] = await cluster.query<{ mb: number }>(
    `SELECT round(pg_database_size('live') / 1e6)::int AS mb`,
  );
  await cluster.query('CREATE DATABASE baseline TEMPLATE live');
  log('ours');
  const salvage = await ours(place, writeMs);
  log('pg_restore in place');
  const peer = await inPlace(place, writeMs);
  const figures = (measured: Measured): { readonly [name: string]: number } => ({
    commits: measured.commits,
    missingCommits: measured.missing,
    wrongValues: measured.wrong,
    writesBlockedMs: rounded(measured.blockedMs),
    decisionToLiveMs: rounded(measured.liveMs),
  });
  return {
    method: [
      `A database of ${size?.mb} MB, ${writers} writers throughout, each in a process of its own with a ledger of what was acknowledged. A migration drops a column, rewrites a third of the rows, deletes some and adds a required column.`,
      'commits: acknowledged since the backup. missingCommits: of all that were acknowledged, by the ledger. wrongValues: rows from before that are neither as they were nor as the application last wrote them.',
      'writesBlockedMs: the longest time without an acknowledged commit, as the writers see it. msFor20kRows: catching up, per 20,000 rows carried over.',
    ],
    rounds: 1,
    ours: {
      salvage: {
        ...figures(salvage),
        ...{ conflicts: salvage.conflicts, rows: salvage.rows },
        ...{ msFor20kRows: rounded(salvage.msFor20kRows), captureMs: rounded(salvage.captureMs) },
      },
    },
    peers: { pgRestore: figures(peer) },
    about: {
      ours: 'restored beside, later writes carried over, names exchanged',
      pgRestore: 'pg_restore of the same kind of dump into the emptied database',
    },
    ratios: { pgRestore: rounded(salvage.blockedMs / peer.blockedMs) },
    targets: [
      atMost('acknowledged commits missing', salvage.missing, 0, 'violations'),
      atMost('wrong values', salvage.wrong, 0, 'violations'),
      atMost('writes blocked', rounded(salvage.blockedMs), 1_000, 'ms'),
      atMost('20,000 rows carried over', rounded(salvage.msFor20kRows), 1_000, 'ms'),
    ],
  };
}
