import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { prepare } from '../../../src/providers/postgres/salvage.ts';
import { salvageNames } from '../../../src/providers/postgres/side-database.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { SalvageWorld } from './salvage-world.ts';

/**
 * Without a migration the restored database has to come out as the live one, whatever the application does: few rows
 * and few values, so that the same ones are inserted, exchanged, moved and deleted again within one batch.
 */
const schema = `
  CREATE TABLE keyed (id int PRIMARY KEY, name int UNIQUE DEFERRABLE INITIALLY IMMEDIATE, v int, w text);
  CREATE TABLE paired (a int, b text, v int, PRIMARY KEY (a, b));
  CREATE TABLE keyless (a int, b text);
  CREATE TABLE parents (id int PRIMARY KEY);
  CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE);
  INSERT INTO keyed SELECT i, i, 0, 'w' FROM generate_series(0, 5) i;
  INSERT INTO paired SELECT i / 3, i % 3, 0 FROM generate_series(0, 8) i;
  INSERT INTO keyless SELECT i % 3, 'x' FROM generate_series(0, 8) i;
  INSERT INTO parents SELECT generate_series(0, 3);`;

const n = fc.nat({ max: 7 });
const small = fc.nat({ max: 2 });
const statement = fc.oneof(
  fc.tuple(n, n, n).map(([id, name, v]) => `INSERT INTO keyed VALUES (${id}, ${name}, ${v}, 'n')`),
  fc.tuple(n, n).map(([id, v]) => `UPDATE keyed SET v = ${v} WHERE id = ${id}`),
  fc.tuple(n, n).map(([id, name]) => `UPDATE keyed SET name = ${name} WHERE id = ${id}`),
  fc.tuple(n, n).map(([id, to]) => `UPDATE keyed SET id = ${to} WHERE id = ${id}`),
  fc
    .tuple(n)
    .map(
      ([v]) => `UPDATE keyed SET v = v + 1, w = CASE WHEN id % 2 = 0 THEN NULL ELSE '' END WHERE v < ${v}`,
    ),
  fc.tuple(n).map(([id]) => `DELETE FROM keyed WHERE id = ${id}`),
  fc
    .tuple(n, n)
    .map(
      ([a, b]) =>
        `UPDATE keyed SET name = CASE name WHEN ${a} THEN ${b} ELSE ${a} END WHERE name IN (${a}, ${b})`,
    ),
  fc.constant('UPDATE keyed SET id = -id - 1 WHERE id >= 0; UPDATE keyed SET id = -id - 1 WHERE id < 0'),
  fc.tuple(small, small, n).map(([a, b, v]) => `INSERT INTO paired VALUES (${a}, '${b}', ${v})`),
  fc.tuple(small, small, n).map(([a, b, v]) => `UPDATE paired SET v = ${v} WHERE a = ${a} AND b = '${b}'`),
  fc
    .tuple(small, small, small)
    .map(([a, b, to]) => `UPDATE paired SET a = ${to} WHERE a = ${a} AND b = '${b}'`),
  fc.tuple(small, small).map(([a, b]) => `DELETE FROM paired WHERE a = ${a} AND b = '${b}'`),
  fc.tuple(small, n).map(([a, b]) => `INSERT INTO keyless VALUES (${a}, '${b}')`),
  fc
    .tuple(small, n)
    .map(
      ([a, b]) => `UPDATE keyless SET b = '${b}' WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = ${a})`,
    ),
  fc
    .tuple(small)
    .map(([a]) => `DELETE FROM keyless WHERE ctid = (SELECT max(ctid) FROM keyless WHERE a = ${a})`),
  fc.tuple(n).map(([id]) => `INSERT INTO parents VALUES (${id})`),
  fc.tuple(n, n).map(([id, parent]) => `INSERT INTO children VALUES (${id}, ${parent})`),
  fc.tuple(n, n).map(([id, to]) => `UPDATE parents SET id = ${to} WHERE id = ${id}`),
  fc.tuple(n).map(([id]) => `DELETE FROM parents WHERE id = ${id}`),
  fc.constantFrom('TRUNCATE paired', 'TRUNCATE parents CASCADE', 'TRUNCATE keyless'),
);
const transactions = fc.array(fc.array(statement, { minLength: 1, maxLength: 6 }), {
  minLength: 40,
  maxLength: 120,
});

const contents = [
  'SELECT * FROM keyed ORDER BY id',
  'SELECT * FROM paired ORDER BY a, b',
  'SELECT a, b, count(*) FROM keyless GROUP BY 1, 2 ORDER BY 1, 2',
  'SELECT * FROM parents ORDER BY id',
  'SELECT * FROM children ORDER BY id',
];

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_replication_slots: 40 });
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

let databases = 0;

test('whatever the application does, the restored database comes out as the live one', async () => {
  await fc.assert(
    fc.asyncProperty(transactions, async (all) => {
      databases += 1;
      await using world = await SalvageWorld.make(cluster, `property_${databases}`, schema);
      const capture = await world.capture();
      const client = await cluster.connect(world.database);
      for (const statements of all) {
        await client.query('BEGIN');
        for (const sql of statements) {
          // What the database refuses, the application did not do.
          await client
            .query(`SAVEPOINT one; ${sql}; RELEASE one`)
            .catch(() => client.query('ROLLBACK TO one'));
        }
        await client.query('COMMIT');
      }
      await client.end();
      const report = await prepare(world.salvageWish(capture));
      const { side } = salvageNames(world.url, capture.key);
      for (const sql of contents) assert.deepEqual(await world.query(sql, side), await world.query(sql), sql);
      assert.deepEqual(
        [report.conflicts.count, report.rewrittenEdits.count, report.orphans.length],
        [0, 0, 0],
      );
    }),
    { numRuns: 4, endOnFailure: true },
  );
});
