import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { SalvageReport } from '../../../src/providers/postgres/data-at-risk.ts';
import { prepare, type SalvageWish } from '../../../src/providers/postgres/salvage.ts';
import { salvageNames } from '../../../src/providers/postgres/side-database.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { SalvageWorld } from './salvage-world.ts';

let cluster: PostgresCluster;
let databases = 0;
before(async () => {
  // Each test leaves its slot to the end of the server.
  cluster = await PostgresCluster.start({ max_replication_slots: 40 });
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

interface Story {
  readonly schema: string;
  /** Each of them commits. */
  readonly migrations: readonly (readonly string[])[];
  /** Each of them is one transaction of the application. */
  readonly application: readonly string[];
  /** Between the migrations, when there are several. */
  readonly between?: readonly string[];
  readonly wish?: Partial<SalvageWish>;
}

class Told implements AsyncDisposable {
  readonly world: SalvageWorld;
  readonly side: string;
  readonly report: SalvageReport;

  constructor(world: SalvageWorld, side: string, report: SalvageReport) {
    this.world = world;
    this.side = side;
    this.report = report;
  }

  async side_(sql: string): Promise<readonly { readonly [column: string]: unknown }[]> {
    return (await this.world.query(sql, this.side)).map((row) => ({ ...row }));
  }

  async live(sql: string): Promise<readonly { readonly [column: string]: unknown }[]> {
    return (await this.world.query(sql)).map((row) => ({ ...row }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}

async function write(world: SalvageWorld, transactions: readonly string[]): Promise<void> {
  const client = await cluster.connect(world.database);
  for (const transaction of transactions) await client.query(transaction);
  await client.end();
}

async function tell({ schema, migrations, application, between = [], wish }: Story): Promise<Told> {
  databases += 1;
  const world = await SalvageWorld.make(cluster, `replay_${databases}`, schema);
  try {
    const capture = await world.capture();
    for (const [at, migration] of migrations.entries()) {
      if (at > 0) await write(world, between);
      await world.migrate(capture, migration);
    }
    await write(world, application);
    const report = await prepare(world.salvageWish(capture, wish));
    return new Told(world, salvageNames(world.url, capture.key).side, report);
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

test('columns are followed by their number, through renames and an exchange of names, also between migrations', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text); INSERT INTO t VALUES (1, 'a', 'b', 'c')`,
    migrations: [
      [`ALTER TABLE t RENAME a TO x`, 'ALTER TABLE t RENAME b TO a', 'ALTER TABLE t RENAME x TO b'],
      [
        'ALTER TABLE t RENAME c TO d',
        'ALTER TABLE t DROP COLUMN a',
        'ALTER TABLE t ADD COLUMN a text',
        'ALTER TABLE t RENAME TO u',
      ],
    ],
    between: [`INSERT INTO t (id, b, a, c) VALUES (2, 'a2', 'b2', 'c2')`],
    application: [
      `INSERT INTO u (id, b, a, d) VALUES (3, 'a3', 'new column', 'd3')`,
      `UPDATE u SET d = 'd1' WHERE id = 1`,
    ],
  });
  assert.deepEqual(await told.side_('SELECT * FROM t ORDER BY id'), [
    { id: 1, a: 'a', b: 'b', c: 'd1' },
    { id: 2, a: 'a2', b: 'b2', c: 'c2' },
    { id: 3, a: 'a3', b: null, c: 'd3' },
  ]);
  assert.deepEqual({ ...told.report.newColumns }, { 'public.u.a': 1 });
  assert.deepEqual({ ...told.report.filled }, { 'public.t.b': 1 });
});

test('only what the application changed is carried over: values that the migration rewrote come back, edits of them are told', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (id int PRIMARY KEY, body text, mood text, n int);
      INSERT INTO t SELECT i, 'Body ' || i, 'Mood', i FROM generate_series(1, 9) i`,
    migrations: [[`UPDATE t SET body = lower(body), n = -n`]],
    application: [
      `UPDATE t SET mood = 'glad' WHERE id = 1`,
      `UPDATE t SET body = body || '!' WHERE id = 2`,
      `UPDATE t SET body = 'mine' WHERE id = 2`,
      `UPDATE t SET n = NULL WHERE id = 3`,
      `UPDATE t SET mood = NULL, body = body WHERE id = 4`,
    ],
  });
  assert.deepEqual(await told.side_('SELECT * FROM t WHERE id < 6 ORDER BY id'), [
    { id: 1, body: 'Body 1', mood: 'glad', n: 1 },
    { id: 2, body: 'mine', mood: 'Mood', n: 2 },
    { id: 3, body: 'Body 3', mood: 'Mood', n: null },
    { id: 4, body: 'Body 4', mood: null, n: 4 },
    { id: 5, body: 'Body 5', mood: 'Mood', n: 5 },
  ]);
  const edits =
    'SELECT row_key, column_name, before_migration, by_migration, by_application FROM unship.rewritten ORDER BY id';
  assert.deepEqual(await told.side_(edits), [
    ...[
      {
        row_key: { id: '2' },
        column_name: 'body',
        before_migration: 'Body 2',
        by_migration: 'body 2',
        by_application: 'mine',
      },
    ],
    ...[
      {
        row_key: { id: '3' },
        column_name: 'n',
        before_migration: '3',
        by_migration: '-3',
        by_application: null,
      },
    ],
  ]);
  assert.deepEqual(told.report.rewrittenEdits, {
    count: 2,
    byColumn: { 'public.t.body': 1, 'public.t.n': 1 },
  });
});

test('a long value that an update leaves alone is left alone, also where the migration had rewritten it', async () => {
  const long = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i)`;
  await using told = await tell({
    schema: `CREATE TABLE t (id int PRIMARY KEY, long text, short text); ALTER TABLE t ALTER long SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, ${long}, 's' FROM generate_series(1, 3) i`,
    migrations: [[`UPDATE t SET long = upper(long) WHERE id = 1`]],
    application: [
      `UPDATE t SET short = 'x'`,
      `INSERT INTO t VALUES (4, ${long}, 'n'); UPDATE t SET short = 'y' WHERE id = 4`,
      `UPDATE t SET id = 5 WHERE id = 2`,
    ],
  });
  assert.deepEqual(await told.side_(`SELECT id, short, long = ${long} AS same FROM t ORDER BY id`), [
    { id: 1, short: 'x', same: true },
    { id: 3, short: 'x', same: true },
    { id: 4, short: 'y', same: true },
    { id: 5, short: 'x', same: true },
  ]);
});

test('tables without a key: of rows that are alike one is changed, and an index of ours finds them', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (what text, n int, note json); CREATE TABLE empty_one (x int);
      INSERT INTO t SELECT 'w' || i % 50, i % 50, '{"a": 1}' FROM generate_series(1, 100) i; INSERT INTO t VALUES (NULL, NULL, NULL)`,
    migrations: [[`ALTER TABLE t ADD COLUMN extra int`]],
    application: [
      `UPDATE t SET what = 'changed' WHERE ctid = (SELECT ctid FROM t WHERE n = 7 LIMIT 1)`,
      `DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE n = 8 LIMIT 1)`,
      `INSERT INTO t VALUES ('w9', 9, '{"a": 1}', 5)`,
      `UPDATE t SET n = 0 WHERE what IS NULL`,
      'INSERT INTO empty_one VALUES (1)',
      'UPDATE empty_one SET x = 2',
    ],
  });
  const counts = `SELECT what, n, count(*)::int AS count FROM t WHERE n IN (0, 7, 8, 9) AND (what IS NULL OR what <> 'w0') GROUP BY 1, 2 ORDER BY 2, 1`;
  assert.deepEqual(await told.side_(counts), await told.live(counts));
  assert.deepEqual(await told.side_('SELECT * FROM empty_one'), [{ x: 2 }]);
  const helper = `SELECT count(*)::int AS count FROM pg_class WHERE relname LIKE 'unship_helper_%'`;
  assert.deepEqual(await told.side_(helper), [{ count: 1 }]);
  assert.equal(told.report.conflicts.count, 0);
});

test('TRUNCATE empties the table here as well, also one that others refer to', async () => {
  await using told = await tell({
    schema: `CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p);
      CREATE TABLE alone (id int PRIMARY KEY); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1); INSERT INTO alone VALUES (1)`,
    migrations: [[`INSERT INTO alone VALUES (2)`]],
    application: [
      'INSERT INTO alone VALUES (3); TRUNCATE alone; INSERT INTO alone VALUES (4)',
      'TRUNCATE p CASCADE',
      'INSERT INTO p VALUES (5)',
    ],
  });
  assert.deepEqual(await told.side_('SELECT * FROM alone'), [{ id: 4 }]);
  assert.deepEqual(await told.side_('SELECT * FROM p'), [{ id: 5 }]);
  assert.deepEqual(await told.side_('SELECT * FROM c'), []);
});

test('a required column that the migration dropped needs a fill, and is refused before anything is restored', async () => {
  const story = {
    schema: `CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL); INSERT INTO t VALUES (1, 'a')`,
    migrations: [['ALTER TABLE t DROP COLUMN code']],
    application: ['INSERT INTO t VALUES (2)'],
  };
  await assert.rejects(tell(story), { slug: 'fill-missing', message: /public\.t\.code/ });
  await using told = await tell({ ...story, wish: { fills: { 'public.t.code': `it's unknown` } } });
  assert.deepEqual(await told.side_('SELECT * FROM t ORDER BY id'), [
    { id: 1, code: 'a' },
    { id: 2, code: `it's unknown` },
  ]);
  assert.deepEqual({ ...told.report.filled }, { 'public.t.code': 1 });
});

test('a row that does not fit is set aside with its reason, and all others of its batch are carried over', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (id int PRIMARY KEY, name text UNIQUE, n int CHECK (n < 1000));
      INSERT INTO t SELECT i, 'n' || i, i FROM generate_series(1, 20) i`,
    migrations: [
      [
        `DELETE FROM t WHERE id = 5`,
        'ALTER TABLE t DROP CONSTRAINT t_n_check',
        'ALTER TABLE t ALTER n TYPE text',
      ],
    ],
    application: [
      `INSERT INTO t SELECT i, 'n' || i, i FROM generate_series(100, 150) i`,
      `INSERT INTO t VALUES (200, 'n5', 1)`,
      `INSERT INTO t VALUES (201, 'big', '5000')`,
      `INSERT INTO t VALUES (202, 'word', 'many')`,
      `INSERT INTO t SELECT i, 'n' || i, i FROM generate_series(300, 350) i`,
      `UPDATE t SET name = 'seven' WHERE id = 7`,
    ],
  });
  const { count, byReason } = told.report.conflicts;
  assert.deepEqual({ count, byReason }, { count: 3, byReason: { check: 1, 'invalid-value': 1, unique: 1 } });
  const rows = await told.side_('SELECT count(*)::int AS count FROM t');
  const reasons = await told.side_(
    `SELECT kind, reason, new_row->>'id' AS id FROM unship.conflicts ORDER BY 3`,
  );
  assert.deepEqual(reasons, [
    { kind: 'insert', reason: 'unique', id: '200' },
    { kind: 'insert', reason: 'check', id: '201' },
    { kind: 'insert', reason: 'invalid-value', id: '202' },
  ]);
  assert.deepEqual(await told.side_('SELECT id, name, n FROM t WHERE id IN (5, 7, 200) ORDER BY id'), [
    { id: 5, name: 'n5', n: 5 },
    { id: 7, name: 'seven', n: 7 },
  ]);
  assert.deepEqual(rows, [{ count: 20 + 51 + 51 }]);
});

test('rows of the migration that rows of the application refer to are adopted, with their own parents', async () => {
  await using told = await tell({
    schema: `CREATE TABLE g (id int PRIMARY KEY, name text); CREATE TABLE p (id int PRIMARY KEY, g int REFERENCES g, name text);
      CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE); INSERT INTO g VALUES (1, 'one')`,
    migrations: [
      [
        `INSERT INTO g VALUES (2, 'two'), (3, 'unused')`,
        `INSERT INTO p VALUES (1, 2, 'p'), (2, 1, 'unused')`,
      ],
    ],
    application: [`INSERT INTO c VALUES (1, 1)`, `UPDATE p SET name = 'edited' WHERE id = 1`],
  });
  assert.deepEqual(await told.side_('SELECT * FROM p'), [{ id: 1, g: 2, name: 'edited' }]);
  assert.deepEqual(await told.side_('SELECT * FROM g ORDER BY id'), [
    { id: 1, name: 'one' },
    { id: 2, name: 'two' },
  ]);
  assert.deepEqual(told.report.adopted, { 'public.g': 1, 'public.p': 1 });
  assert.deepEqual(told.report.orphans, []);
});

test('children that the migration had deleted go with a parent that the application deletes', async () => {
  await using told = await tell({
    schema: `CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
      CREATE TABLE d (id int PRIMARY KEY, c int REFERENCES c ON DELETE SET NULL);
      INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO d VALUES (1, 1), (2, 2)`,
    migrations: [['DELETE FROM d', 'DELETE FROM c']],
    application: ['DELETE FROM p WHERE id = 1'],
  });
  assert.deepEqual(await told.side_('SELECT * FROM p'), [{ id: 2 }]);
  assert.deepEqual(await told.side_('SELECT * FROM c'), [{ id: 2, p: 2 }]);
  assert.deepEqual(await told.side_('SELECT * FROM d ORDER BY id'), [
    { id: 1, c: null },
    { id: 2, c: 2 },
  ]);
  assert.deepEqual(told.report.orphans, []);
});

test('a table that the migration rebuilt under its old name is followed', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (1, 'A', 'B')`,
    migrations: [
      [
        'CREATE TABLE t_new (id int PRIMARY KEY, b text, a text, c text)',
        'INSERT INTO t_new SELECT id, lower(b), lower(a) FROM t',
        ...['DROP TABLE t', 'ALTER TABLE t_new RENAME TO t'],
      ],
    ],
    application: [`INSERT INTO t VALUES (2, 'B2', 'A2', 'C')`, `UPDATE t SET a = 'mine' WHERE id = 1`],
  });
  assert.deepEqual(await told.side_('SELECT * FROM t ORDER BY id'), [
    { id: 1, a: 'mine', b: 'B' },
    { id: 2, a: 'A2', b: 'B2' },
  ]);
  assert.deepEqual(told.report.notCovered, []);
});

test('partitions: each is a table of its own', async () => {
  await using told = await tell({
    schema: `CREATE TABLE t (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
      CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
      INSERT INTO t VALUES (1, '2026-01-05', 'a'), (2, '2026-02-05', 'b')`,
    migrations: [[`UPDATE t SET v = upper(v)`]],
    application: [
      `INSERT INTO t VALUES (3, '2026-02-06', 'c')`,
      `UPDATE t SET at = '2026-02-07', v = 'moved' WHERE id = 1`,
    ],
  });
  assert.deepEqual(
    await told.side_('SELECT id, at::text, v, tableoid::regclass::text AS home FROM t ORDER BY id'),
    [
      { id: 1, at: '2026-02-07', v: 'moved', home: 't_2' },
      { id: 2, at: '2026-02-05', v: 'b', home: 't_2' },
      { id: 3, at: '2026-02-06', v: 'c', home: 't_2' },
    ],
  );
});

test('values of every sort arrive as they are, and none of them is taken for an edit', async () => {
  const columns: readonly (readonly [type: string, one: string, two: string])[] = [
    ['boolean', 'true', 'false'],
    ['numeric(12,4)', '1.5', `'NaN'`],
    ['double precision', '0.1 + 0.2', `'-Infinity'`],
    ['real', '1.1', '3.4e38'],
    ['char(5)', `'ab'`, `'abc'`],
    ['varchar(4)', `'a b '`, `''`],
    ['bytea', `'\\x00ff27'`, `'\\x'`],
    ['json', `'{"a":  "it''s"}'`, `'[1, 2]'`],
    ['jsonb', `'{"b":1,"a":null}'`, `'"\\u00e9"'`],
    ['text[]', `ARRAY['a,b', NULL, '"q"', '\\']`, `'{}'`],
    ['int[]', `'[0:1]={1,2}'`, `'{{1,2},{3,4}}'`],
    ['timestamptz', `'2026-03-01 10:00:00.123456+02'`, `'infinity'`],
    ['timestamp', `'0044-03-15 12:00 BC'`, `'2026-01-01'`],
    ['date', `'2026-12-31'`, `'0001-01-01'`],
    ['timetz', `'10:00+05:30'`, `'23:59:59.999'`],
    ['interval', `'1 year -2 days 03:04:05.6'`, `'-1 mon'`],
    ['uuid', `'5b1e9c1e-0000-4000-8000-000000000000'`, 'gen_random_uuid()'],
    ['inet', `'10.0.0.1/8'`, `'::1'`],
    ['macaddr', `'08:00:2b:01:02:03'`, `'08:00:2b:01:02:04'`],
    ['bit(3)', `B'101'`, `B'000'`],
    ['bit varying', `B'1'`, `B'10101'`],
    ['point', `'(1,2)'`, `'(0.1,-3)'`],
    ['int4range', `'[1,5)'`, `'empty'`],
    ['tsvector', `'a:1 b:2'`, `'it''s'`],
    ['xml', `'<a b="c">d</a>'`, `'<x/>'`],
    ['money', `'12.34'`, `'-0.01'`],
    ['mood', `'so so'`, `'glad'`],
    ['short_text', `'abc'`, `'d'`],
    ['pair', `ROW(1, 'it''s, "q"')`, 'ROW(NULL, NULL)'],
    ['"Odd ""name"', `'x'`, `'y'`],
  ];
  const list = (at: 1 | 2): string => columns.map((column) => column[at]).join(', ');
  const set = columns.map(([, , two], at) => `"c ${at}" = ${two}`).join(', ');
  await using told = await tell({
    schema: `CREATE TYPE mood AS ENUM ('so so', 'glad'); CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 5);
      CREATE TYPE pair AS (a int, b text); CREATE TYPE "Odd ""name" AS ENUM ('x', 'y');
      CREATE TABLE t (id int PRIMARY KEY, ${columns.map(([type], at) => `"c ${at}" ${type}`).join(', ')});
      INSERT INTO t VALUES (1, ${list(1)}), (2, ${list(2)})`,
    migrations: [['ALTER TABLE t ADD COLUMN extra int']],
    application: [
      `INSERT INTO t VALUES (3, ${list(1)}), (4, ${list(2)})`,
      `INSERT INTO t (id) VALUES (5)`,
      `UPDATE t SET ${set} WHERE id IN (1, 5)`,
      `INSERT INTO t VALUES (6, ${list(1)}); UPDATE t SET ${set} WHERE id = 6`,
      `UPDATE t SET ${columns.map((_, at) => `"c ${at}" = NULL`).join(', ')} WHERE id = 2`,
    ],
  });
  const all = `SELECT ${['id', ...columns.map((_, at) => `"c ${at}"::text`)].join(', ')} FROM t ORDER BY id`;
  assert.deepEqual(await told.side_(all), await told.live(all));
  assert.deepEqual(
    await told.side_('SELECT column_name, before_migration, by_migration FROM unship.rewritten'),
    [],
  );
  assert.equal(told.report.conflicts.count, 0);
});

test('a transaction that is too large for memory waits on disk, and leaves nothing there', async () => {
  let spool = '';
  let largest = 0;
  await using told = await tell({
    schema: 'CREATE TABLE t (id int PRIMARY KEY, v text)',
    migrations: [[`INSERT INTO t SELECT i, 'of the migration' FROM generate_series(-5000, -1) i`]],
    application: [
      `INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i`,
      `DELETE FROM t WHERE id > 10000`,
    ],
    wish: {
      heldInMemory: 100_000,
      faults: {
        point: (name) => {
          if (name !== 'postgres.replay.applied' || !existsSync(spool)) return;
          largest = Math.max(largest, readdirSync(spool).length);
        },
      },
      get folder(): string {
        spool ||= join(process.env.TMPDIR ?? '/tmp', `unship-spool-${process.pid}`);
        return spool;
      },
    },
  });
  assert.ok(largest > 0, 'it was on disk');
  assert.deepEqual(readdirSync(spool), []);
  assert.deepEqual(await told.side_('SELECT count(*)::int AS count, min(id) AS least FROM t'), [
    { count: 10_000, least: 1 },
  ]);
});
