import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import type { DatabaseArtifact, TableRisk } from '../../../src/domain/facts.ts';
import { contextOf, makeWorld, release, type SqliteWorld } from './world.ts';

const rebuild = (table: string, columns: string, select: string): string =>
  `CREATE TABLE ${table}_old (${columns}); INSERT INTO ${table}_old ${select}; DROP TABLE ${table};
   ALTER TABLE ${table}_old RENAME TO ${table}`;

/** Applies one migration on top of what `setup` makes, and gives handles for the way back. */
async function apply(world: SqliteWorld, change: { setup: string; up: string; down: string }) {
  world.application.exec(change.setup);
  const text = `-- migrate:up\n${change.up};\n-- migrate:down\n${change.down};\n`;
  const commit = world.commit({ '1_change.sql': text });
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  await world.port.migrateUp(contextOf('up'), request);
  const artifact = (applied: readonly string[]): DatabaseArtifact => ({ applied, fingerprint: '' });
  return {
    down: () => world.port.migrateDown(contextOf('down'), request),
    again: () => world.port.migrateUp(contextOf('undo'), request),
    rows: (sql: string) =>
      world.application
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
    risk: async (): Promise<readonly TableRisk[]> => {
      const releases = [release('r2', artifact(['1'])), release('r1', artifact([]))];
      const facts = await world.port.observe(contextOf('look'), { releases, countRisk: true });
      return facts.measurements.risk['migrate-down']?.tables ?? [];
    },
  };
}

const withheldIn = (tables: readonly TableRisk[]): number =>
  tables.reduce((sum, table) => sum + (table.withheld ?? 0), 0);

const items = {
  setup: `CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price TEXT);
    INSERT INTO items VALUES (1, 'Apple', '1.20 EUR'), (2, 'Banana', '2.50 EUR'), (3, 'Cherry', '9.99 EUR'), (4, 'Date', '4 EUR')`,
  up: `UPDATE items SET name = upper(name); ALTER TABLE items ADD cents INTEGER;
    UPDATE items SET cents = CAST(price AS INTEGER); DELETE FROM items WHERE name = 'CHERRY';
    ALTER TABLE items DROP COLUMN price`,
  down: rebuild(
    'items',
    'id INTEGER PRIMARY KEY, name TEXT, price TEXT',
    "SELECT id, name, '' || cents FROM items",
  ),
};

test('a down that rebuilds the table brings deleted rows back, and values per column', async () => {
  await using world = await makeWorld();
  const work = await apply(world, items);
  world.application.exec(`UPDATE items SET name = 'mine' WHERE id = 2; UPDATE items SET cents = 77 WHERE id = 4;
    INSERT INTO items (id, name, cents) VALUES (9, 'new', 5)`);
  assert.equal(withheldIn(await work.risk()), 0);
  const result = await work.down();
  assert.deepEqual(work.rows('SELECT * FROM items ORDER BY id'), [
    { id: 1, name: 'Apple', price: '1.20 EUR' },
    { id: 2, name: 'mine', price: '2.50 EUR' },
    { id: 3, name: 'Cherry', price: '9.99 EUR' },
    { id: 4, name: 'Date', price: '77' },
    { id: 9, name: 'new', price: '5' },
  ]);
  assert.deepEqual([result.keptEdits, result.withheld, result.withheldIn], [2, 0, null]);
  assert.deepEqual(await work.down(), result, 'a second call does nothing and says the same');
});

test('the other ways to rebuild count as rebuilding, too', async () => {
  const create = 'CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price TEXT)';
  const downs = [
    `ALTER TABLE items RENAME TO aside; ${create}; INSERT INTO items SELECT id, name, '' || cents FROM aside; DROP TABLE aside`,
    `CREATE TABLE aside AS SELECT * FROM items; DROP TABLE items; ${create};
     INSERT INTO items (id, name, price) SELECT id, name, '' || cents FROM aside; DROP TABLE aside`,
    `CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT, price TEXT);
     INSERT INTO new SELECT items.id, name, coalesce(label, cents) FROM items LEFT JOIN labels USING (id);
     DROP TABLE items; ALTER TABLE new RENAME TO items`,
  ];
  for (const down of downs) {
    await using world = await makeWorld();
    const setup = `CREATE TABLE labels (id INTEGER PRIMARY KEY, label TEXT); ${items.setup}`;
    const work = await apply(world, { ...items, setup, down });
    const before = work.rows('SELECT count(*) AS n FROM items')[0]?.n;
    const { withheld } = await work.down();
    assert.deepEqual([before, withheld], [3, 0]);
    assert.deepEqual(work.rows('SELECT name, price FROM items WHERE id IN (1, 3) ORDER BY id'), [
      { name: 'Apple', price: '1.20 EUR' },
      { name: 'Cherry', price: '9.99 EUR' },
    ]);
  }
});

test('a value that the down computes from an edited one stays; unedited rows get the recorded one', async () => {
  await using world = await makeWorld();
  const work = await apply(world, {
    setup: `CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, first TEXT, age INTEGER);
      INSERT INTO p VALUES (1, '', 'Ada', 36), (2, '', 'Bo', 40)`,
    up: `UPDATE p SET name = first || '!'; ALTER TABLE p ADD COLUMN born INTEGER;
      UPDATE p SET born = 2000 - age; ALTER TABLE p DROP COLUMN first; ALTER TABLE p DROP COLUMN age`,
    down: rebuild(
      'p',
      'id INTEGER PRIMARY KEY, name TEXT, first TEXT, age INTEGER',
      "SELECT id, name, rtrim(name, '!'), 1999 - born FROM p",
    ),
  });
  world.application.exec(`UPDATE p SET name = 'Zoe!' WHERE id = 1`);
  await work.down();
  assert.deepEqual(work.rows('SELECT * FROM p ORDER BY id'), [
    { id: 1, name: 'Zoe!', first: 'Zoe', age: 36 },
    { id: 2, name: '', first: 'Bo', age: 40 },
  ]);
});

test('rows that the migration had moved and the application has deleted since stay deleted; the rest is counted', async () => {
  await using world = await makeWorld();
  const work = await apply(world, {
    setup: `CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, state TEXT);
      INSERT INTO tasks VALUES (1, 'a', 'open'), (2, 'b', 'done'), (3, 'c', 'done'), (4, 'd', 'void')`,
    up: `CREATE TABLE finished (id INTEGER PRIMARY KEY, title TEXT);
      INSERT INTO finished SELECT id, title FROM tasks WHERE state = 'done'; DELETE FROM tasks WHERE state <> 'open'`,
    down: `INSERT INTO tasks SELECT id, title, 'done' FROM finished; DROP TABLE finished`,
  });
  world.application.exec('DELETE FROM finished WHERE id = 2');
  // Whether 2 was deleted on purpose can not be told from 4, which went nowhere: both stay in the record.
  assert.equal(withheldIn(await work.risk()), 2);
  const result = await work.down();
  assert.deepEqual(work.rows('SELECT id FROM tasks ORDER BY id'), [{ id: 1 }, { id: 3 }]);
  assert.equal(result.withheld, 2);
  assert.ok(result.withheldIn !== null && existsSync(result.withheldIn));
});

test('what can not come back is counted in the plan and in the result: no key, rowids renumbered, a place taken', async () => {
  await using world = await makeWorld();
  const plain = await apply(world, {
    setup: `CREATE TABLE t (v); INSERT INTO t VALUES ('a'), ('b'), ('c')`,
    up: `UPDATE t SET v = 'same'`,
    down: rebuild('t', 'v', 'SELECT v FROM t'),
  });
  assert.equal(withheldIn(await plain.risk()), 3);
  const result = await plain.down();
  assert.equal(result.withheld, 3);
  assert.ok(result.withheldIn !== null && existsSync(result.withheldIn));

  await using other = await makeWorld();
  const taken = await apply(other, items);
  other.application.exec(`INSERT INTO items (id, name) VALUES (3, 'another')`);
  assert.equal(withheldIn(await taken.risk()), 1);
  assert.equal((await taken.down()).withheld, 1);
  assert.deepEqual(taken.rows('SELECT name FROM items WHERE id = 3'), [{ name: 'another' }]);

  await using vacuumed = await makeWorld();
  const numbered = await apply(vacuumed, {
    setup: `CREATE TABLE t (v); INSERT INTO t VALUES ('a'), ('b')`,
    up: `UPDATE t SET v = 'same'`,
    down: 'SELECT 1',
  });
  vacuumed.application.exec('VACUUM');
  assert.equal(withheldIn(await numbered.risk()), 2);
  assert.equal((await numbered.down()).withheld, 2);
});
