import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { type Migration, parseMigrations } from '../../../src/domain/migrations/migration-files.ts';
import type { WrittenDown } from '../../../src/domain/report.ts';
import { connect } from '../../../src/providers/postgres/connection.ts';
import { fingerprintOf, readShape } from '../../../src/providers/postgres/write-down/shape.ts';
import { writeDown } from '../../../src/providers/postgres/write-down.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { filmRows, films, service, serviceRoles, serviceRows } from './stranger-schemas.ts';

const run = promisify(execFile);
let cluster: PostgresCluster;

function migrations(...ups: readonly string[]): readonly Migration[] {
  return parseMigrations(
    ups.map((up, at) => ({ name: `${at + 1}_step.sql`, text: `-- migrate:up\n${up}\n` })),
  );
}

async function written(base: string, up: string): Promise<WrittenDown> {
  const all = migrations(base, up);
  const [, migration] = all;
  assert.ok(migration !== undefined);
  return await writeDown(cluster.url(), migration, all.slice(0, 1));
}

async function databases(): Promise<readonly string[]> {
  const rows = await cluster.query<{ datname: string }>('SELECT datname FROM pg_database ORDER BY 1');
  return rows.map(({ datname }) => datname);
}

/** Every row of every table, by column name: where a column stands is another matter. */
async function content(database: string): Promise<string> {
  const tables = await cluster.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema$)' ORDER BY 1`,
    database,
  );
  const all: string[] = [];
  for (const { name } of tables) {
    const rows = await cluster.query<{ row: string }>(
      `SELECT to_jsonb(t)::text AS row FROM ${name} t ORDER BY 1`,
      database,
    );
    all.push(name, ...rows.map(({ row }) => row));
  }
  return all.join('\n');
}

async function shapeOf(database: string): Promise<string> {
  await using connection = await connect(cluster.url(database), { purpose: 'test' });
  return fingerprintOf(await readShape(connection));
}

let made = 0;
/** Goes there and back on a database with rows in it, as a person who took the text as it is would. */
async function thereAndBack(
  base: string,
  rows: string,
  up: string,
  down: WrittenDown,
): Promise<{ readonly before: string; readonly after: string }> {
  made += 1;
  const name = `rows_${made}`;
  await cluster.query(`CREATE DATABASE ${name}`);
  await cluster.query(base, name);
  await cluster.query(rows, name);
  const before = await content(name);
  assert.equal(await shapeOf(name), down.fingerprint);
  await cluster.query(up, name);
  await cluster.query(`BEGIN; ${down.statements.map(({ sql }) => sql).join(';\n')}; COMMIT`, name);
  assert.equal(await shapeOf(name), down.fingerprint, 'the schema is what it was');
  return { before, after: await content(name) };
}

before(async () => {
  cluster = await PostgresCluster.start();
  await cluster.query(serviceRoles);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

/** What the ups do together, whether all values come back, and what the way back has to say. */
interface Case {
  readonly title: string;
  readonly ups: readonly string[];
  readonly lossless: boolean;
  readonly says: readonly RegExp[];
}

const filmCases: readonly Case[] = [
  {
    title: 'renames of every kind are taken back as such, a swap of two columns too',
    ups: [
      'ALTER TABLE film RENAME COLUMN title TO name',
      'ALTER TABLE actor RENAME first_name TO swap',
      'ALTER TABLE actor RENAME last_name TO first_name',
      'ALTER TABLE actor RENAME swap TO last_name',
      "ALTER TYPE mpaa_rating RENAME VALUE 'G' TO 'ALL'",
      'ALTER DOMAIN year RENAME TO anno',
      'ALTER FUNCTION last_updated() RENAME TO touched',
      'ALTER INDEX idx_actor_last_name RENAME TO by_name',
      'ALTER TRIGGER last_updated ON film RENAME TO touch',
      'ALTER TABLE payment RENAME COLUMN amount TO total',
      'CREATE SCHEMA archive; ALTER TABLE film_actor SET SCHEMA archive',
    ],
    lossless: true,
    says: [
      /RENAME COLUMN "name" TO "title"/,
      /RENAME VALUE 'ALL' TO 'G'/,
      /SET SCHEMA "public"/,
      /RENAME COLUMN "total" TO "amount"/,
    ],
  },
  {
    title: 'a table gives its name to a view that stands in for it',
    ups: ['ALTER TABLE film RENAME TO movie', 'CREATE VIEW film AS SELECT film_id, title FROM movie'],
    lossless: true,
    says: [/ALTER TABLE "public"."movie" RENAME TO "film"/, /DROP VIEW/],
  },
  {
    title: 'indexes, views, triggers, functions, rules, comments and rights come back as they were',
    ups: [
      'CREATE INDEX ON film (title)',
      'DROP INDEX idx_actor_last_name',
      'ALTER TABLE customer ALTER COLUMN first_name DROP NOT NULL',
      "CREATE OR REPLACE VIEW customer_list AS SELECT customer_id AS id, first_name AS name, 'x'::text AS notes, email FROM customer",
      'DROP MATERIALIZED VIEW rental_by_category',
      'DROP TRIGGER last_updated ON film',
      'ALTER TABLE film DISABLE TRIGGER film_fulltext_trigger',
      'CREATE OR REPLACE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
      "COMMENT ON TABLE film IS 'other'",
      "COMMENT ON COLUMN film.title IS 'new'",
      'ALTER DOMAIN year DROP CONSTRAINT year_check',
      'DROP AGGREGATE group_concat(text) CASCADE',
      'GRANT SELECT ON film TO anon',
      'ALTER TABLE film ALTER rental_rate SET DEFAULT 5.99',
      'ALTER TABLE film DROP CONSTRAINT film_language_id_fkey',
    ],
    lossless: true,
    says: [/first_name" SET NOT NULL/, /year_check/, /CREATE AGGREGATE/, /FOREIGN KEY/],
  },
  {
    title: 'what was added goes with what was written into it',
    ups: [
      'ALTER TABLE film ADD COLUMN runtime int GENERATED ALWAYS AS (film_id * 60) STORED',
      'ALTER TABLE customer ADD CONSTRAINT mail UNIQUE (email), ALTER email TYPE text',
      "CREATE TABLE payment_p2022_03 PARTITION OF payment FOR VALUES FROM ('2022-03-01') TO ('2022-04-01')",
      'ALTER TABLE payment ADD COLUMN note text',
      'CREATE TABLE rental (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, film_id int REFERENCES film)',
      'ALTER TABLE film ALTER length TYPE integer',
    ],
    lossless: false,
    says: [/character varying\(50\)/, /DROP TABLE "public"."rental"/, /TYPE smallint/],
  },
];

describe('a shop for films', () => {
  for (const { title, ups, lossless, says } of filmCases) {
    it(title, async () => {
      const up = ups.join(';\n');
      const down = await written(films, up);
      const text = down.statements.map(({ sql }) => sql).join('\n');
      const losing = down.statements.filter((one) => !one.isLossless);
      assert.equal(losing.length === 0, lossless, JSON.stringify(losing));
      for (const saying of says) assert.match(text, saying);
      const { before: was, after: is } = await thereAndBack(films, filmRows, up, down);
      assert.equal(is, was, 'what was there before the up is there again');
    });
  }

  it('a partition that was taken out is put back with its rows', async () => {
    const up = 'ALTER TABLE payment DETACH PARTITION payment_p2022_01';
    const down = await written(films, up);
    assert.ok(down.statements.every((one) => one.isLossless));
    assert.match(down.statements[0]?.sql ?? '', /ATTACH PARTITION "public"."payment_p2022_01" FOR VALUES/);
    const { before: was, after: is } = await thereAndBack(films, filmRows, up, down);
    assert.equal(is, was);
  });

  it('a dropped column comes back without its values, and that is told', async () => {
    const up =
      'ALTER TABLE film DROP COLUMN description; ALTER TABLE customer DROP COLUMN first_name CASCADE';
    const down = await written(films, up);
    const told = down.statements.map(({ loses }) => loses ?? '').join('\n');
    assert.match(told, /film\.description comes back without its values/);
    assert.match(down.statements.map(({ stopsWhere }) => stopsWhere ?? '').join('\n'), /customer has rows/);
    assert.match(down.columnOrder.join('\n'), /^film: .*description$/m);
    await assert.rejects(thereAndBack(films, filmRows, up, down), /contains null values/);
  });

  it('a value that an enum has got can be taken away while no row has it', async () => {
    const down = await written(films, "ALTER TYPE mpaa_rating ADD VALUE 'X'");
    assert.match(
      down.statements.map(({ stopsWhere }) => stopsWhere ?? '').join(),
      /holds a value that mpaa_rating/,
    );
    const { before: was, after: is } = await thereAndBack(
      films,
      filmRows,
      "ALTER TYPE mpaa_rating ADD VALUE 'X'",
      down,
    );
    assert.equal(is, was);
  });

  it('what the up does to rows is named: no statement takes it back', async () => {
    const down = await written(films, 'UPDATE film SET title = lower(title); DELETE FROM customer');
    assert.deepEqual(down.statements, []);
    assert.deepEqual(down.rowsNotTakenBack, ['rewrites film.title', 'deletes rows of customer']);
  });
});

const serviceCases: readonly Case[] = [
  {
    title: 'policies, rights, publications and functions come back as they were',
    ups: [
      'DROP POLICY "Public profiles are viewable by everyone." ON profiles',
      'ALTER POLICY "Users can update own profile." ON profiles USING (true) WITH CHECK (false)',
      'ALTER TABLE profiles DISABLE ROW LEVEL SECURITY',
      'ALTER TABLE todos FORCE ROW LEVEL SECURITY',
      'CREATE POLICY more ON todos FOR ALL TO authenticated USING (auth.uid() = user_id)',
      'DROP TRIGGER on_auth_user_created ON auth.users',
      'DROP FUNCTION handle_new_user()',
      'REVOKE ALL ON profiles FROM anon',
      'GRANT SELECT (username) ON profiles TO anon',
      'ALTER PUBLICATION supabase_realtime ADD TABLE profiles',
      "CREATE FUNCTION hello(name text DEFAULT 'you') RETURNS text LANGUAGE sql AS $$ SELECT name $$",
      'ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM anon',
    ],
    lossless: true,
    says: [/viewable by everyone/, /SECURITY DEFINER/, /FORCE ROW LEVEL SECURITY/],
  },
  {
    title: 'a renamed table keeps its policies; a new column goes',
    ups: [
      'ALTER TABLE profiles RENAME TO people',
      "ALTER TABLE todos ADD COLUMN due date, ADD CONSTRAINT sane CHECK (due > '2000-01-01') NOT VALID",
      'ALTER TABLE todos ALTER COLUMN id SET GENERATED ALWAYS',
    ],
    lossless: false,
    says: [/RENAME TO "profiles"/],
  },
];

describe('a service with row level security', () => {
  for (const { title, ups, lossless, says } of serviceCases) {
    it(title, async () => {
      const up = ups.join(';\n');
      const down = await written(service, up);
      const text = down.statements.map(({ sql }) => sql).join('\n');
      const losing = down.statements.filter((one) => !one.isLossless);
      assert.equal(losing.length === 0, lossless, JSON.stringify(losing));
      for (const saying of says) assert.match(text, saying);
      const { before: was, after: is } = await thereAndBack(service, serviceRows, up, down);
      assert.equal(is, was, 'what was there before the up is there again');
    });
  }
});

it('pgbench: its own schema, and a way back that leaves its history as it was', async () => {
  await cluster.query('CREATE DATABASE bench');
  const server = ['-h', '127.0.0.1', '-p', String(cluster.port), '-U', 'postgres'];
  await run(join(cluster.bin, 'pgbench'), ['-i', '-q', ...server, 'bench']);
  await run(join(cluster.bin, 'pgbench'), ['-t', '20', '-n', ...server, 'bench']);
  const { stdout } = await run(join(cluster.bin, 'pg_dump'), ['-s', ...server, 'bench']);
  const base = stdout.replaceAll(/^\\.*$/gm, '');
  const up = `ALTER TABLE pgbench_history RENAME COLUMN mtime TO at;
    ALTER TABLE pgbench_history ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
    CREATE INDEX ON pgbench_history (tid); COMMENT ON TABLE pgbench_history IS 'all of it';
    ALTER TABLE pgbench_accounts ALTER COLUMN abalance TYPE bigint;`;
  const down = await written(base, up);
  const was = await content('bench');
  await cluster.query(up, 'bench');
  await cluster.query(down.statements.map(({ sql }) => sql).join(';\n'), 'bench');
  assert.equal(await shapeOf('bench'), down.fingerprint);
  assert.equal(await content('bench'), was);
  assert.ok(was.length > 1_000_000);
});

describe('what stands beside the live database', () => {
  it('is gone afterwards, also when the up fails', async () => {
    const there = await databases();
    await assert.rejects(
      written('CREATE TABLE a (id int)', 'ALTER TABLE a ADD x int;\nALTER TABLE b ADD x int'),
      (error) =>
        isUnshipError(error) &&
        error.slug === 'migration-failed' &&
        /2_step\.sql, line 3/.test(error.message),
    );
    assert.deepEqual(await databases(), there);
  });

  it('left by a process that was killed, it goes with the next call; one in use stays', async () => {
    const there = await databases();
    await cluster.query('CREATE DATABASE unship_down_1_left');
    await cluster.query('CREATE DATABASE unship_down_1_used');
    const other = await cluster.connect();
    await other.query("SELECT pg_advisory_lock(hashtextextended('unship_down_1_used', 0))");
    await written('CREATE TABLE a (id int)', 'ALTER TABLE a ADD x int');
    assert.deepEqual(await databases(), [...there, 'unship_down_1_used'].sort());
    await other.end();
    await written('CREATE TABLE a (id int)', 'ALTER TABLE a ADD x int');
    assert.deepEqual(await databases(), there);
  });

  it('of a process that is killed while the up runs goes with the next call, and so does what runs there', async () => {
    const there = await databases();
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('./write-down-process.ts', import.meta.url)),
      cluster.url(),
    ]);
    const isUnderWay = async (): Promise<boolean> =>
      (await cluster.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")).length > 0;
    const gone = once(child, 'exit');
    while (child.exitCode === null && !(await isUnderWay())) await sleep(50);
    assert.notDeepEqual(await databases(), there);
    child.kill('SIGKILL');
    await gone;
    await written('CREATE TABLE a (id int)', 'ALTER TABLE a ADD x int');
    assert.deepEqual(await databases(), there);
    assert.equal(await isUnderWay(), false);
  });

  it('needs no superuser, and changes nothing of the server', async () => {
    await cluster.query('CREATE ROLE maker LOGIN CREATEDB; CREATE ROLE poor LOGIN');
    const block = 'DO $$ BEGIN CREATE ROLE intruder_too; END $$';
    const all = migrations(
      'CREATE TABLE a (id int)',
      `CREATE ROLE intruder; ${block}; ALTER TABLE a ADD x int`,
    );
    const [base, up] = all;
    assert.ok(base !== undefined && up !== undefined);
    const down = await writeDown(cluster.url('postgres', 'maker'), up, [base]);
    assert.deepEqual(down.notCovered, [
      'it reaches beyond the database: CREATE ROLE intruder',
      `it reaches beyond the database: ${block}`,
    ]);
    assert.deepEqual(await cluster.query("SELECT 1 FROM pg_roles WHERE rolname LIKE 'intruder%'"), []);
    await assert.rejects(
      writeDown(cluster.url('postgres', 'poor'), up, [base]),
      (error) => isUnshipError(error) && error.slug === 'database-denied',
    );
  });

  it('a way back that does not lead back is not offered', async () => {
    for (const [left, difference] of [
      ['CREATE STATISTICS together ON id, name FROM a', /statistics public\.together is left/],
      [
        'CREATE CAST (text AS box) WITH INOUT',
        /the up fails: .*cast from type text to type box already exists/,
      ],
    ] as const) {
      await assert.rejects(
        written('CREATE TABLE a (id int, name text)', `${left}; ALTER TABLE a ADD x int`),
        (error) =>
          isUnshipError(error) && error.slug === 'down-unproven' && difference.test(error.details.happened),
      );
    }
  });
});
