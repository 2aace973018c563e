import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { contextOf, makeWorld, type SqliteWorld } from './world.ts';

const refused =
  (slug: string, about = /./) =>
  (error: unknown) =>
    isUnshipError(error) && error.slug === slug && about.test(error.message);

interface Change {
  readonly setup: string;
  readonly up: string;
  readonly down?: string;
}

const quiet = { releases: [], countRisk: false } as const;

/** Commits one migration on top of what `setup` makes, and gives handles for both directions. */
function begin(world: SqliteWorld, { setup, up, down = 'SELECT 1' }: Change) {
  world.application.exec(setup);
  const commit = world.commit({ '1_change.sql': `-- migrate:up\n${up};\n-- migrate:down\n${down};\n` });
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  return {
    up: () => world.port.migrateUp(contextOf('up'), request),
    down: () => world.port.migrateDown(contextOf('down'), request),
    rows: (sql: string) =>
      world.application
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
    fingerprint: async () => (await world.port.observe(contextOf('look'), quiet)).fingerprint,
    applied: async () => (await world.port.observe(contextOf('look'), quiet)).applied,
  };
}

test('values come back byte for byte: invalid UTF-8, NUL, big integers, -0.0, empty and infinite', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (id INTEGER PRIMARY KEY, v);
      INSERT INTO t (v) VALUES (CAST(x'ff6100' AS TEXT)), (x''), (''), (9007199254740993), (-9223372036854775808),
        (9e999), (5.0), (5), ('5'), (NULL)`,
    up: `UPDATE t SET v = 'over'`,
  });
  const exact = 'SELECT id, typeof(v) AS type, hex(v) AS bytes, quote(v) AS value FROM t ORDER BY id';
  const before = work.rows(exact);
  await work.up();
  assert.equal(work.rows(`SELECT count(*) AS n FROM t WHERE v = 'over'`)[0]?.n, 10);
  await work.down();
  assert.deepEqual(work.rows(exact), before);
});

test('two migrations are taken back in one transaction, each with its own values', async () => {
  await using world = await makeWorld();
  world.application.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 1), (2, 2)`);
  const commit = world.commit({
    '1_ten.sql': '-- migrate:up\nUPDATE t SET n = n * 10;\n-- migrate:down\nSELECT 1;',
    '2_add.sql': '-- migrate:up\nUPDATE t SET n = n + 1;\n-- migrate:down\nSELECT 1;',
    '3_bad_down.sql': '-- migrate:up\nSELECT 1;\n-- migrate:down\nDROP TABLE nowhere;',
  });
  const at = (versions: readonly string[]) => ({ release: 'r2', commit, versions }) as const;
  await world.port.migrateUp(contextOf('a'), at(['1', '2', '3']));
  const values = () =>
    world.application
      .prepare('SELECT n FROM t ORDER BY id')
      .all()
      .map((row) => row.n);
  assert.deepEqual(values(), [11, 21]);
  await assert.rejects(
    world.port.migrateDown(contextOf('b'), at(['3', '2'])),
    refused('migration-failed', /3_bad_down/),
  );
  assert.deepEqual(values(), [11, 21], 'nothing of a failed down remains');
  world.application.exec('UPDATE t SET n = 99 WHERE id = 2');
  const result = await world.port.migrateDown(contextOf('c'), at(['2', '1']));
  assert.deepEqual(values(), [1, 99]);
  assert.deepEqual([result.givenBack, result.keptEdits], [2, 1]);
});

test('columns that are renamed are followed; a table that is rebuilt keeps its rows and gets its column back', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO t VALUES (1, 'A', 'x'), (2, 'B', 'y')`,
    up: `ALTER TABLE t RENAME COLUMN a TO title; UPDATE t SET title = lower(title);
      CREATE TABLE new_t (id INTEGER PRIMARY KEY, title TEXT NOT NULL); INSERT INTO new_t SELECT id, title FROM t;
      DROP TABLE t; ALTER TABLE new_t RENAME TO t`,
    down: `CREATE TABLE old_t (id INTEGER PRIMARY KEY, title TEXT, b TEXT); INSERT INTO old_t (id, title) SELECT id, title FROM t;
      DROP TABLE t; ALTER TABLE old_t RENAME TO t; ALTER TABLE t RENAME COLUMN title TO a`,
  });
  const before = await work.fingerprint();
  await work.up();
  world.application.exec(`UPDATE t SET title = 'mine' WHERE id = 2`);
  await work.down();
  assert.deepEqual(work.rows('SELECT * FROM t ORDER BY id'), [
    { id: 1, a: 'A', b: 'x' },
    { id: 2, a: 'mine', b: 'y' },
  ]);
  assert.equal(await work.fingerprint(), before);
});

test('what a down computes from an edited row is newer than the archive', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE p (id INTEGER PRIMARY KEY, first TEXT, last TEXT); INSERT INTO p VALUES (1, 'Ada', 'L.'), (2, 'Bo', 'X Y')`,
    up: `ALTER TABLE p ADD COLUMN name TEXT; UPDATE p SET name = first || ' ' || last;
      ALTER TABLE p DROP COLUMN first; ALTER TABLE p DROP COLUMN last`,
    down: `ALTER TABLE p ADD COLUMN first TEXT; ALTER TABLE p ADD COLUMN last TEXT;
      UPDATE p SET first = substr(name, 1, instr(name, ' ') - 1), last = substr(name, instr(name, ' ') + 1); ALTER TABLE p DROP COLUMN name`,
  });
  await work.up();
  world.application.exec(`UPDATE p SET name = 'Zoe Q' WHERE id = 1`);
  await work.down();
  assert.deepEqual(work.rows('SELECT * FROM p ORDER BY id'), [
    { id: 1, first: 'Zoe', last: 'Q' },
    { id: 2, first: 'Bo', last: 'X Y' },
  ]);
});

test('triggers do not touch what is given back; those of a search index keep it right', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, changes INTEGER DEFAULT 0);
      CREATE VIRTUAL TABLE search USING fts5 (body, content='t', content_rowid='id');
      CREATE TRIGGER count_changes AFTER UPDATE OF body ON t BEGIN UPDATE t SET changes = changes + 1 WHERE id = new.id; END;
      CREATE TRIGGER t_in AFTER INSERT ON t BEGIN INSERT INTO search (rowid, body) VALUES (new.id, new.body); END;
      CREATE TRIGGER t_up AFTER UPDATE OF body ON t BEGIN
        INSERT INTO search (search, rowid, body) VALUES ('delete', old.id, old.body);
        INSERT INTO search (rowid, body) VALUES (new.id, new.body); END;
      INSERT INTO t (id, body) VALUES (1, 'needle'), (2, 'hay')`,
    up: `UPDATE t SET body = 'straw' WHERE id = 1`,
  });
  await work.up();
  assert.deepEqual(work.rows(`SELECT changes FROM t WHERE id = 1`), [{ changes: 1 }]);
  assert.deepEqual(work.rows(`SELECT rowid FROM search WHERE search MATCH 'needle'`), []);
  await work.down();
  assert.deepEqual(work.rows('SELECT body, changes FROM t WHERE id = 1'), [{ body: 'needle', changes: 0 }]);
  assert.deepEqual(work.rows(`SELECT rowid FROM search WHERE search MATCH 'needle'`), [{ rowid: 1 }]);
  assert.equal(work.rows(`SELECT count(*) AS n FROM sqlite_schema WHERE type = 'trigger'`)[0]?.n, 3);
});

test('values under a unique index that had changed places come back, and AUTOINCREMENT goes on counting', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
      CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO n (id, v) VALUES (7, 'kept'), (40, 'last');
      DELETE FROM n WHERE id = 40`,
    up: `UPDATE t SET u = u || '!'; UPDATE t SET u = CASE id WHEN 1 THEN 'b' WHEN 2 THEN 'c' ELSE 'a' END; DROP TABLE n`,
    down: `CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, v)`,
  });
  await work.up();
  const result = await work.down();
  world.application.exec(`INSERT INTO n (v) VALUES ('new')`);
  assert.deepEqual(work.rows('SELECT id, v FROM n ORDER BY id'), [
    { id: 7, v: 'kept' },
    { id: 41, v: 'new' },
  ]);
  const values = work.rows('SELECT u FROM t ORDER BY id').map((row) => row.u);
  assert.deepEqual([values.join(''), result.keptEdits], ['abc', 0]);
});

test('rowids are not trusted after a VACUUM', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (v); INSERT INTO t VALUES ('a'), ('b'), ('c')`,
    up: `UPDATE t SET v = 'same'`,
  });
  await work.up();
  world.application.exec(`DELETE FROM t WHERE rowid = 1; VACUUM`);
  await work.down();
  // Rows 2 and 3 are called 1 and 2 now: giving back by number would exchange their values.
  assert.deepEqual(work.rows('SELECT v FROM t'), [{ v: 'same' }, { v: 'same' }]);
  const archives = readdirSync(join(world.root, 'state', 'archives'));
  assert.ok(
    archives.some((name) => /^r2-1\.\w+\.up\.db$/.test(name)),
    'the values are still in the archive',
  );
});

const forbidden: readonly (readonly [name: string, sql: string])[] = [
  ['ATTACH', `ATTACH 'other.db' AS o`],
  ['VACUUM', 'VACUUM'],
  ['VACUUM INTO', `VACUUM INTO 'copy.db'`],
  ['writable_schema', 'PRAGMA writable_schema = 1'],
  ['schema-qualified pragma', 'PRAGMA main.journal_mode = DELETE'],
  ['load_extension', `SELECT load_extension('evil')`],
  ['a transaction of its own in the middle', 'UPDATE t SET v = 1; COMMIT; BEGIN; UPDATE t SET v = 2'],
  ['our own tables', 'UPDATE _unship_fence SET fence = 0'],
];
for (const [name, sql] of forbidden) {
  test(`control 5: a migration with ${name} is refused and changes nothing`, async () => {
    await using world = await makeWorld();
    const work = begin(world, { setup: `CREATE TABLE t (v); INSERT INTO t VALUES ('a')`, up: sql });
    await assert.rejects(work.up(), refused('migration-forbidden'));
    assert.deepEqual(work.rows('SELECT v FROM t'), [{ v: 'a' }]);
    assert.deepEqual(
      readdirSync(world.root).filter((file) => /other|copy/.test(file)),
      [],
    );
  });
}

test("a BEGIN and COMMIT around a whole migration are its author's habit, and `transaction:false` changes nothing", async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE t (v); INSERT INTO t VALUES ('a')`,
    up: `BEGIN TRANSACTION; PRAGMA foreign_keys = OFF; UPDATE t SET v = 'b'; COMMIT`,
    down: 'BEGIN; SELECT 1; END',
  });
  await work.up();
  await work.down();
  assert.deepEqual(work.rows('SELECT v FROM t'), [{ v: 'a' }]);
  const commit = world.commit({
    '2_x.sql': `-- migrate:up transaction:false\nUPDATE t SET v = 'c';\nUPDATE t SET nope = 1;\n`,
  });
  const request = { release: 'r3', commit, versions: ['2'] } as const;
  await assert.rejects(
    world.port.migrateUp(contextOf('x'), request),
    refused('migration-failed', /2_x\.sql, line 3.*nope/),
  );
  assert.deepEqual(work.rows('SELECT v FROM t'), [{ v: 'a' }]);
});

test('a migration that only fails on the rows leaves nothing, and so does one that orphans them', async () => {
  await using world = await makeWorld();
  const work = begin(world, {
    setup: `CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id));
      INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1), (2)`,
    up: `UPDATE c SET p = 2; CREATE UNIQUE INDEX i ON c (p)`,
  });
  const before = await work.fingerprint();
  await assert.rejects(work.up(), refused('migration-failed', /UNIQUE/));
  assert.deepEqual(work.rows('SELECT p FROM c'), [{ p: 1 }, { p: 2 }]);
  const commit = world.commit({ '1_change.sql': '-- migrate:up\nDELETE FROM p WHERE id = 1;\n' });
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  await assert.rejects(
    world.port.migrateUp(contextOf('y'), request),
    refused('migration-failed', /leaves 1 rows/),
  );
  assert.deepEqual([await work.fingerprint(), await work.applied()], [before, []]);
});

test('a lock that somebody holds is waited for with a limit, and named', async () => {
  await using world = await makeWorld({}, 200);
  const work = begin(world, { setup: 'CREATE TABLE t (v)', up: 'ALTER TABLE t ADD COLUMN w' });
  world.application.exec('BEGIN IMMEDIATE');
  await assert.rejects(work.up(), refused('database-locked', /still locked by another process after 200 ms/));
  world.application.exec('ROLLBACK');
  await work.up();
  assert.deepEqual(await work.applied(), ['1']);
});

test('a file that is missing, or no database, is said so and not made', async () => {
  await using world = await makeWorld({ file: 'nowhere.db' });
  await assert.rejects(world.port.observe(contextOf('a'), quiet), refused('database-missing', /nowhere\.db/));
  await assert.rejects(world.port.backup(contextOf('b'), 'r1'), refused('database-missing'));
  assert.equal(existsSync(join(world.root, 'nowhere.db')), false);
  writeFileSync(
    join(world.root, 'nowhere.db'),
    'this is a text, and a long enough one to be looked at as a page'.repeat(99),
  );
  await assert.rejects(world.port.observe(contextOf('c'), quiet), refused('database-corrupt'));
});

test("up-down files keep golang-migrate's ledger, and a dirty one is not touched", async () => {
  await using world = await makeWorld({ format: 'up-down' });
  const commit = world.commit({
    '0001_t.up.sql': `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'A')`,
    '0001_t.down.sql': 'DROP TABLE t',
    '0002_low.up.sql': 'UPDATE t SET v = lower(v)',
    '0002_low.down.sql': 'SELECT 1',
  });
  const at = (versions: readonly string[]) => ({ release: 'r1', commit, versions }) as const;
  await world.port.migrateUp(contextOf('a'), at(['0001', '0002']));
  const ledger = () =>
    world.application
      .prepare('SELECT * FROM schema_migrations')
      .all()
      .map((row) => ({ ...row }));
  assert.deepEqual(ledger(), [{ version: 2, dirty: 0 }]);
  await world.port.verifySchema(contextOf('v'), { applied: ['0001', '0002'] });
  await world.port.migrateDown(contextOf('b'), at(['0002']));
  assert.deepEqual(ledger(), [{ version: 1, dirty: 0 }]);
  assert.deepEqual({ ...world.application.prepare('SELECT v FROM t').get() }, { v: 'A' });
  await world.port.migrateDown(contextOf('c'), at(['0001']));
  assert.deepEqual(ledger(), []);
  world.application.exec('INSERT INTO schema_migrations VALUES (1, 1)');
  await assert.rejects(
    world.port.migrateUp(contextOf('d'), at(['0001'])),
    refused('migration-failed', /dirty/),
  );
});

test('work that is cancelled leaves nothing', async () => {
  await using world = await makeWorld();
  world.application.exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, v);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) INSERT INTO t SELECT i, i FROM n`);
  const commit = world.commit({ '1_x.sql': '-- migrate:up\nUPDATE t SET v = -v;\n' });
  const stop = new AbortController();
  setImmediate(() => setImmediate(() => setImmediate(() => stop.abort())));
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  await assert.rejects(world.port.migrateUp(contextOf('a', { signal: stop.signal }), request), {
    name: 'AbortError',
  });
  assert.deepEqual(
    { ...world.application.prepare('SELECT count(*) AS n FROM t WHERE v < 0').get() },
    { n: 0 },
  );
  using other = new DatabaseSync(world.file);
  other.exec('BEGIN IMMEDIATE; ROLLBACK');
});
