import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { createPostgres } from '../../../src/providers/postgres/index.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { contextOf, environmentIn, type Files } from '../sqlite/world.ts';
import { makeWorld, type PostgresWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

const isSlug =
  (slug: string, text = /./) =>
  (error: unknown) =>
    isUnshipError(error) && error.slug === slug && text.test(error.details.happened);

interface Story {
  readonly before: string;
  readonly up: string;
  readonly down: string;
}

interface Told extends AsyncDisposable {
  readonly world: PostgresWorld;
  up(key?: string): Promise<{ fingerprint: string }>;
  down(key?: string): ReturnType<PostgresWorld['port']['migrateDown']>;
  fingerprint(): Promise<string>;
}

/** A database as `before` makes it, and one migration that is not applied yet. */
async function given({ before: first, up, down }: Story): Promise<Told> {
  const world = await makeWorld(cluster);
  const files: Files = {
    '1_before.sql': `-- migrate:up\n${first}\n`,
    '2_story.sql': `-- migrate:up\n${up}\n-- migrate:down\n${down}\n`,
  };
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('first'), { release: 'r1', commit, versions: ['1'] });
  const request = { release: 'r2', commit, versions: ['2'] } as const;
  return {
    world,
    up: (key = 'up') => world.port.migrateUp(contextOf(key), request),
    down: (key = 'down') => world.port.migrateDown(contextOf(key), request),
    fingerprint: async () =>
      (await world.port.observe(contextOf('look'), { releases: [], countRisk: false })).fingerprint,
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

describe('what a migration overwrites comes back', { concurrency: 3 }, () => {
  it('also what it did where its text does not tell: in functions, blocks and triggers', async () => {
    await using told = await given({
      before: `create table notes (id int primary key, body text); create table audit (id int primary key, times int not null);
        insert into notes values (1, 'One'), (2, 'Two'); insert into audit values (1, 0), (2, 0);
        create function watch() returns trigger language plpgsql as $$begin update audit set times = times + 1 where id = new.id; return new; end$$;
        create trigger watch after update on notes for each row execute function watch();`,
      up: `do $$ begin execute 'update ' || 'notes set body = lower(body)'; exception when division_by_zero then null; end $$;`,
      down: 'select 1;',
    });
    await told.up();
    assert.deepEqual(await told.world.read('select times from audit order by id'), [
      { times: 1 },
      { times: 1 },
    ]);
    await told.world.write(`update notes set body = 'mine' where id = 2`);
    const result = await told.down();
    assert.deepEqual(await told.world.read('select body from notes order by id'), [
      { body: 'One' },
      { body: 'mine' },
    ]);
    // What the application's own edit counted has stayed, and giving back is no new event.
    assert.deepEqual(await told.world.read('select times from audit order by id'), [
      { times: 0 },
      { times: 2 },
    ]);
    assert.deepEqual([result.givenBack, result.keptEdits, result.withheld], [2, 2, 0]);
  });

  it('a dropped table with its rows, its identity and where that stood, and rows that refer to it', async () => {
    await using told = await given({
      before: `create type mood as enum ('calm', 'wild');
        create table people (id bigint generated always as identity primary key, name text not null, mood mood not null default 'calm', at timestamptz, raw bytea, tags text[], worth numeric, f float8);
        create table notes (id int primary key, person bigint references people);
        insert into people (name, mood, at, raw, tags, worth, f) values
          ('A''da', 'wild', '2026-03-29 02:30:00.123456+01', '\\x00ff', '{"a b",NULL,"c\\"d"}', 12345678901234567890.123, 0.1), ('Bo', 'calm', null, null, null, 'NaN', '-Infinity');
        insert into notes values (1, 1), (2, 2);`,
      up: `alter table notes drop column person; drop table people; drop type mood;`,
      down: `create type mood as enum ('calm', 'wild');
        create table people (id bigint generated always as identity primary key, name text not null, mood mood not null default 'calm', at timestamptz, raw bytea, tags text[], worth numeric, f float8);
        alter table notes add column person bigint references people;`,
    });
    const rows =
      'select id::text, name, mood::text, at::text, raw::text, tags::text, worth::text, f::text from people order by id';
    const [people, schema] = [await told.world.read(rows), await told.fingerprint()];
    await told.up();
    const result = await told.down();
    assert.deepEqual(await told.world.read(rows), people);
    assert.deepEqual(await told.world.read('select id, person::text from notes order by id'), [
      { id: 1, person: '1' },
      { id: 2, person: '2' },
    ]);
    assert.deepEqual([result.withheld, result.fingerprint], [0, schema]);
    await told.world.write(`insert into people (name) values ('Cy')`);
    assert.deepEqual(await told.world.read(`select id::text from people where name = 'Cy'`), [{ id: '3' }]);
  });

  it('values of another type, and renamed columns and tables', async () => {
    await using told = await given({
      before: `create table notes (id int primary key, words text, Title text); insert into notes values (1, '007', 'T'), (2, 'x', null);`,
      up: `alter table notes alter column words type int using nullif(regexp_replace(words, '\\D', '', 'g'), '')::int;
        alter table notes rename column title to heading; alter table notes rename to pages; update pages set heading = 'H' where id = 1;`,
      down: `alter table pages rename to notes; alter table notes rename column heading to title; alter table notes alter column words type text;`,
    });
    const schema = await told.fingerprint();
    await told.up();
    assert.deepEqual(await told.world.read('select * from pages order by id'), [
      { id: 1, words: 7, heading: 'H' },
      { id: 2, words: null, heading: null },
    ]);
    assert.equal((await told.down()).fingerprint, schema);
    assert.deepEqual(await told.world.read('select * from notes order by id'), [
      { id: 1, words: '007', title: 'T' },
      { id: 2, words: 'x', title: null },
    ]);
  });

  it('deleted rows where their key is free, and what finds no place is counted', async () => {
    await using told = await given({
      before: `create table notes (id int primary key, body text unique); insert into notes select n, 'n' || n from generate_series(1, 6) n;`,
      up: 'delete from notes where id > 2;',
      down: 'select 1;',
    });
    await told.up();
    await told.world.write(`insert into notes values (3, 'other'), (7, 'n4')`);
    const result = await told.down();
    assert.deepEqual(await told.world.read('select id, body from notes order by id'), [
      { id: 1, body: 'n1' },
      { id: 2, body: 'n2' },
      { id: 3, body: 'other' },
      { id: 5, body: 'n5' },
      { id: 6, body: 'n6' },
      { id: 7, body: 'n4' },
    ]);
    assert.deepEqual([result.givenBack, result.withheld], [2, 2]);
    assert.match(result.withheldIn ?? '', /unship\.a\d+_/);
  });

  it('rows of partitions, and values under a rule that no longer lets them in are withheld', async () => {
    await using told = await given({
      before: `create table log (id int, at date, body text, primary key (id, at)) partition by range (at);
        create table log_a partition of log for values from ('2020-01-01') to ('2021-01-01');
        create table log_b partition of log for values from ('2021-01-01') to ('2022-01-01');
        insert into log values (1, '2020-05-05', 'One'), (2, '2021-05-05', 'Two');`,
      up: `update log set body = upper(body);`,
      down: `alter table log add constraint loud check (body <> 'Two') not valid;`,
    });
    await told.up();
    const result = await told.down();
    assert.deepEqual(await told.world.read('select id, body from log order by id'), [
      { id: 1, body: 'ONE' },
      { id: 2, body: 'TWO' },
    ]);
    assert.deepEqual([result.givenBack, result.withheld], [0, 2]);
  });
});

describe('what a migration may not do', { concurrency: 3 }, () => {
  const nothing = { before: 'create table notes (id int primary key);', down: 'select 1;' };
  const refused: readonly (readonly [what: string, up: string])[] = [
    ['a transaction of its own', 'insert into notes values (1); commit; insert into notes values (2);'],
    ['an index made concurrently', 'create index concurrently i on notes (id);'],
    ['settings of the server', `alter system set work_mem = '1GB';`],
    ['a program of the server', `copy notes from program 'id';`],
    ['files of the server', `select lo_import('/etc/passwd');`],
    ['our own schema', 'delete from unship.fence;'],
  ];
  for (const [what, up] of refused) {
    it(`control 5: ${what} is refused, and nothing is changed`, async () => {
      await using told = await given({ ...nothing, up });
      await assert.rejects(told.up(), isSlug('migration-forbidden', /2_story\.sql, line 2/));
      assert.deepEqual(await told.world.read('select * from notes'), []);
    });
  }

  it('what fails says its line, and a BEGIN and COMMIT around all of it are left out', async () => {
    await using told = await given({
      ...nothing,
      up: 'begin;\ninsert into notes values (1);\ninsert into nowhere values (1);\ncommit;',
    });
    await assert.rejects(told.up(), isSlug('migration-failed', /2_story\.sql, line 4: .*nowhere/));
    assert.deepEqual(await told.world.read('select * from notes'), []);
  });

  it('a COMMIT that its text hides is found out, and told', async () => {
    await using told = await given({
      ...nothing,
      up: `insert into notes values (1); select E'\\''; commit; --';`,
    });
    await assert.rejects(told.up(), isSlug('migration-failed', /ended the transaction/));
  });
});

describe('beside an application that goes on', { concurrency: 3 }, () => {
  const story = {
    before: `create table notes (id int primary key, body text); insert into notes values (1, 'One');`,
    up: 'alter table notes add column words int; update notes set body = lower(body);',
    down: 'alter table notes drop column words;',
  };

  it('nobody waits behind a lock that the migration can not get, and it gets through at last', async () => {
    await using told = await given(story);
    const { world } = told;
    const long = await cluster.connect(world.database, 'app');
    await long.query('begin; select * from notes');
    const up = told.up();
    const waits: number[] = [];
    for (let n = 0; n < 20; n += 1) {
      const begun = performance.now();
      await world.write(`set statement_timeout = '10s'; update notes set body = 'w${n}' where id = 1`);
      waits.push(performance.now() - begun);
    }
    // The long transaction is still open: without a limit, each of these would still wait for it.
    await long.query('commit');
    await long.end();
    await up;
    assert.ok(Math.max(...waits) < 5000, `${waits}`);
    assert.deepEqual(await world.read('select body from notes'), [{ body: 'w19' }]);
  });

  it('a lock that never comes is told, with who holds it', async () => {
    await using told = await given(story);
    const { world } = told;
    const long = await cluster.connect(world.database, 'app');
    await long.query(`set application_name = 'night report'; begin; select * from notes`);
    const options = { url: world.url };
    const { port } = createPostgres(options, environmentIn(world.root, world.commits.source()), {
      lockMs: 100,
      patienceMs: 300,
    });
    const commit = world.commit({
      '1_before.sql': `-- migrate:up\n${story.before}\n`,
      '2_story.sql': `-- migrate:up\n${story.up}\n-- migrate:down\n${story.down}\n`,
    });
    const request = { release: 'r2', commit, versions: ['2'] } as const;
    await assert.rejects(
      port.migrateUp(contextOf('up'), request),
      isSlug('database-locked', /night report \(pid \d+/),
    );
    await long.end();
    assert.deepEqual(await world.read('select body from notes'), [{ body: 'One' }]);
  });

  it('rows that were written before a migration rewrote them are still counted as lost by a restore', async () => {
    await using told = await given({
      ...story,
      before: `${story.before} insert into notes values (2, 'Two'), (3, 'Three');`,
    });
    const { world } = told;
    const backup = await world.port.backup(contextOf('backup'), 'r2');
    await world.write(`update notes set body = 'Edited' where id = 2`);
    await told.up();
    const lost = async (): Promise<unknown> =>
      (await world.port.countRestoreRisk(contextOf('count'), backup.id)).tables.map(({ table, lost: n }) => [
        table,
        n,
      ]);
    assert.deepEqual(await lost(), [['notes', 1]]);
    await world.write('update notes set words = 1 where id = 3');
    assert.deepEqual(await lost(), [['notes', 2]]);
    await told.down();
    assert.deepEqual(await lost(), [['notes', 2]]);
  });
});

it('keys whose text depends on settings of the session are recognised, whatever those are', async () => {
  await using told = await given({
    before: `create table marks (at timestamptz primary key, part interval, body text);
      insert into marks values ('2026-03-29 02:30:00.5+01', '1 day 2:03', 'One'), ('1999-12-31', '-1 month', 'Two');`,
    up: 'update marks set body = lower(body);',
    down: 'select 1;',
  });
  const { world } = told;
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  await world.write(`update marks set body = 'Edited' where at = '1999-12-31'`);
  await told.up();
  await cluster.query(
    `alter database ${world.database} set timezone to 'Asia/Kathmandu'; alter database ${world.database} set datestyle to 'German, DMY';
     alter database ${world.database} set intervalstyle to 'iso_8601'`,
  );
  const risk = await world.port.countRestoreRisk(contextOf('count'), backup.id);
  assert.deepEqual(
    risk.tables.map(({ table, lost }) => [table, lost]),
    [['marks', 1]],
  );
  const result = await told.down();
  assert.deepEqual([result.givenBack, result.keptEdits, result.withheld], [2, 0, 0]);
  assert.deepEqual(await world.read('select body from marks order by at'), [
    { body: 'Edited' },
    { body: 'One' },
  ]);
});

describe("the migration tool's own table", { concurrency: 3 }, () => {
  it("golang-migrate's one row is kept as the tool keeps it, and half done by the tool nothing is begun", async () => {
    await using world = await makeWorld(cluster);
    const commit = world.commit({
      '1_a.up.sql': 'create table a (id int);',
      '1_a.down.sql': 'drop table a;',
      '2_b.up.sql': 'create table b (id int);',
      '2_b.down.sql': 'drop table b;',
    });
    const at = (versions: readonly string[]) => ({ release: 'r1', commit, versions }) as const;
    await world.port.migrateUp(contextOf('up'), at(['1', '2']));
    const ledger = 'select version::text, dirty from schema_migrations';
    assert.deepEqual(await world.read(ledger), [{ version: '2', dirty: false }]);
    await world.port.migrateDown(contextOf('down'), at(['2']));
    assert.deepEqual(await world.read(ledger), [{ version: '1', dirty: false }]);
    await world.write('update schema_migrations set dirty = true');
    await assert.rejects(
      world.port.migrateUp(contextOf('again'), at(['2'])),
      isSlug('migration-failed', /dirty/),
    );
  });

  it('what the tool took back and applied again is not what was recorded', async () => {
    await using told = await given({
      before: `create table notes (id int primary key, body text); insert into notes values (1, 'One');`,
      up: 'update notes set body = lower(body);',
      down: 'select 1;',
    });
    const { world } = told;
    await told.up();
    await world.write(
      `delete from schema_migrations where version = '2'; update notes set body = 'Later'; insert into schema_migrations values ('2'); update notes set body = 'one'`,
    );
    await told.down();
    // Its value is that of the record, and still it is none of the record's business.
    assert.deepEqual(await world.read('select body from notes'), [{ body: 'one' }]);
  });
});
