import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { contextOf, type Files, makeWorld, type SqliteWorld } from './world.ts';

const run = promisify(execFile);
const program = join(
  dirname(createRequire(import.meta.url).resolve('dbmate/package.json')),
  '../.bin/dbmate',
);

const files: Files = {
  '20240101000000_entries.sql': `-- migrate:up
CREATE TABLE entries (id INTEGER PRIMARY KEY, body TEXT NOT NULL, mood TEXT);
-- migrate:down
DROP TABLE entries;
`,
  '20240102000000_moods.sql': `-- migrate:up
UPDATE entries SET body = lower(body);
ALTER TABLE entries DROP COLUMN mood;
-- migrate:down
ALTER TABLE entries ADD COLUMN mood TEXT;
`,
};
const versions = ['20240101000000', '20240102000000'];
const [first = '', second = ''] = versions;

async function dbmate(world: SqliteWorld, command: string): Promise<void> {
  const folder = join(world.root, 'migrations');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const url = `sqlite:${world.file}`;
  await run(program, ['--url', url, '--migrations-dir', folder, '--no-dump-schema', command]);
}

const applied = (world: SqliteWorld): string[] =>
  world.application
    .prepare('SELECT version FROM schema_migrations ORDER BY 1')
    .all()
    .map((row) => String(row.version));
const rows = (world: SqliteWorld): unknown[] =>
  world.application
    .prepare('SELECT * FROM entries ORDER BY id')
    .all()
    .map((row) => ({ ...row }));
const fill = (world: SqliteWorld): void =>
  world.application.exec(`INSERT INTO entries VALUES (1, 'One', 'calm'), (2, 'TWO', NULL)`);

test('up by us, down and up again by dbmate, down by us', async () => {
  await using world = await makeWorld();
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('1'), { release: 'r1', commit, versions: [first] });
  fill(world);
  await world.port.migrateUp(contextOf('2'), { release: 'r2', commit, versions: [second] });
  assert.deepEqual(applied(world), versions);
  const ours = await world.port.observe(contextOf('a'), { releases: [], countRisk: false });
  await dbmate(world, 'down');
  assert.deepEqual(applied(world), [first]);
  world.application.exec(`UPDATE entries SET mood = 'mine'`);
  await dbmate(world, 'up');
  assert.deepEqual(applied(world), versions);
  const theirs = await world.port.observe(contextOf('b'), { releases: [], countRisk: false });
  assert.equal(theirs.fingerprint, ours.fingerprint);
  // What was recorded at our own application belongs to that one, and must not come back now.
  assert.equal(theirs.migrations.find((migration) => migration.version === second)?.preImages, 'none');
  await world.port.migrateDown(contextOf('3'), { release: 'r2', commit, versions: [second] });
  assert.deepEqual(rows(world), [
    { id: 1, body: 'one', mood: null },
    { id: 2, body: 'two', mood: null },
  ]);
});

test('up by dbmate, down by us with what the backup tells, up again by dbmate', async () => {
  await using world = await makeWorld();
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('1'), { release: 'r1', commit, versions: [first] });
  fill(world);
  const before = await world.port.observe(contextOf('a'), { releases: [], countRisk: false });
  await world.port.backup(contextOf('b'), 'r2');
  await dbmate(world, 'up');
  world.application.exec(
    `UPDATE entries SET body = 'Edited' WHERE id = 2; INSERT INTO entries VALUES (3, 'New')`,
  );
  const facts = await world.port.observe(contextOf('c'), { releases: [], commit, countRisk: false });
  assert.equal(facts.migrations.find((migration) => migration.version === second)?.preImages, 'backup');
  const result = await world.port.migrateDown(contextOf('d'), { release: 'r2', commit, versions: [second] });
  assert.deepEqual(rows(world), [
    { id: 1, body: 'One', mood: 'calm' },
    { id: 2, body: 'Edited', mood: null },
    { id: 3, body: 'New', mood: null },
  ]);
  assert.deepEqual([result.fingerprint, result.keptEdits], [before.fingerprint, 1]);
  await dbmate(world, 'up');
  assert.deepEqual(applied(world), versions);
});

test('up by dbmate alone: ours finds everything applied and can take it all back', async () => {
  await using world = await makeWorld();
  const commit = world.commit(files);
  await dbmate(world, 'up');
  const facts = await world.port.observe(contextOf('a'), { releases: [], commit, countRisk: false });
  assert.deepEqual([facts.applied, facts.pending], [versions, []]);
  await world.port.migrateUp(contextOf('b'), { release: 'r1', commit, versions });
  await world.port.migrateDown(contextOf('c'), { release: 'r1', commit, versions: [second, first] });
  assert.deepEqual(applied(world), []);
  await dbmate(world, 'up');
  assert.deepEqual(applied(world), versions);
});
