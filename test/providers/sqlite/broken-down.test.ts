import assert from 'node:assert/strict';
import { readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { contextOf, makeWorld, release, type SqliteWorld } from './world.ts';

/** Two migrations on one table, of which the newer has a down that can't run, after a backup. */
async function givenBrokenDown(world: SqliteWorld) {
  world.application.exec(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'A'), (2, 'B')`,
  );
  const commit = world.commit({
    '1_fine.sql': '-- migrate:up\nUPDATE t SET v = lower(v);\n-- migrate:down\nSELECT 1;\n',
    '2_bad.sql':
      '-- migrate:up\nALTER TABLE t ADD COLUMN w;\n\n-- migrate:down\nSELECT 1;\nALTER TABLE t DROP COLUMN broken;\n',
  });
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  await world.port.migrateUp(contextOf('up'), { release: 'r2', commit, versions: ['1', '2'] });
  world.application.exec(`INSERT INTO t (id, v) VALUES (3, 'new')`);
  const releases = [
    release('r2', { applied: ['1', '2'], fingerprint: '' }),
    release('r1', { applied: [], fingerprint: '' }),
  ];
  const look = () => world.port.observe(contextOf('look'), { releases, countRisk: true });
  return { look, backup, commit };
}

test('a down that can not run is a fact with file and line, and hides nothing else', async () => {
  await using world = await makeWorld();
  const { look, backup, commit } = await givenBrokenDown(world);
  const facts = await look();
  assert.deepEqual(
    facts.migrations.map(({ version, down }) => [version, down]),
    [
      ['1', 'written'],
      ['2', 'written'],
    ],
  );
  const [fine, bad] = facts.migrations;
  assert.equal(fine?.downFails, undefined);
  assert.match(bad?.downFails ?? '', /2_bad\.sql, line 6: .*broken/);
  assert.equal(facts.measurements.risk['migrate-down'], undefined);
  assert.equal(facts.measurements.risk.restore?.tables[0]?.lost, 1);
  await assert.rejects(
    world.port.migrateDown(contextOf('down'), { release: 'r2', commit, versions: ['2', '1'] }),
    (error: unknown) =>
      isUnshipError(error) && error.slug === 'migration-failed' && /2_bad\.sql, line 6/.test(error.message),
  );
  const restored = await world.port.restore(contextOf('restore'), { backup: backup.id, maximumRowsLost: 1 });
  assert.equal(restored.rowsLost, 1);
  assert.deepEqual(
    world.application
      .prepare('SELECT v FROM t ORDER BY id')
      .all()
      .map((row) => row.v),
    ['A', 'B'],
  );
});

test('a backup that can not be read hides neither the schema nor the way down', async () => {
  await using world = await makeWorld();
  const { look, backup } = await givenBrokenDown(world);
  const folder = join(world.root, 'state', 'backups');
  const name = readdirSync(folder).find((file) => file.startsWith(backup.id) && file.endsWith('.db'));
  assert.ok(name !== undefined);
  truncateSync(join(folder, name), 100);
  const facts = await look();
  assert.deepEqual(facts.applied, ['1', '2']);
  assert.equal(facts.measurements.risk.restore, undefined, 'not counted is not the same as nothing lost');
});

test('of up and down files, the one of the down is named', async () => {
  await using world = await makeWorld({ format: 'up-down' });
  const commit = world.commit({
    '0001_t.up.sql': 'CREATE TABLE t (v)',
    '0001_t.down.sql': '-- the way back\nDROP TABLE nowhere',
  });
  await world.port.migrateUp(contextOf('up'), { release: 'r2', commit, versions: ['0001'] });
  const releases = [release('r1', { applied: [], fingerprint: '' })];
  const facts = await world.port.observe(contextOf('look'), { releases, countRisk: false });
  assert.match(facts.migrations[0]?.downFails ?? '', /0001_t\.down\.sql, line 2: .*nowhere/);
});
