import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { contextOf, makeWorld } from './world.ts';

const slugged =
  (slug: string) =>
  (error: unknown): boolean =>
    isUnshipError(error) && error.slug === slug;

test('what a killed run had begun to copy goes with the next backup: nobody goes on with it', async () => {
  await using world = await makeWorld();
  const first = await world.port.backup(contextOf('first'), 'r2');
  const backups = join(world.root, 'state', 'backups');
  for (const ending of ['', '-wal', '-journal'])
    writeFileSync(join(backups, `r3-0123456789abcdef.db.partial${ending}`), 'half a database');
  writeFileSync(join(backups, '.r3-0123456789abcdef.json.4242.partial'), '{"half": "a rec');
  const second = await world.port.backup(contextOf('second'), 'r3');
  const expected = [first, second].flatMap(({ id }) => [`${id}.db`, `${id}.json`]).sort();
  assert.deepEqual(readdirSync(backups).sort(), expected);
});

test('nobody goes on while a frozen process may still commit, and what it has yet to begin comes too late', async () => {
  await using world = await makeWorld({}, 100);
  world.application.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  const commit = world.commit({
    '1_add.sql': '-- migrate:up\nALTER TABLE t ADD n;\n-- migrate:down\nALTER TABLE t DROP n;\n',
  });
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  using frozen = new DatabaseSync(join(world.root, 'vault.db'));
  frozen.exec('BEGIN IMMEDIATE; ALTER TABLE t ADD m');
  const undo = contextOf('undo', { fence: 8 });
  await assert.rejects(world.port.raiseFence(undo), slugged('database-locked'));
  frozen.exec('COMMIT');
  await world.port.raiseFence(undo);
  await world.port.migrateDown(undo, request);
  const late = contextOf('late', { fence: 7 });
  await assert.rejects(world.port.migrateUp(late, request), slugged('fenced-out'));
});
