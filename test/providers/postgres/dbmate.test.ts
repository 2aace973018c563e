import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { contextOf, type Files } from '../sqlite/world.ts';
import { makeWorld, type PostgresWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

const run = promisify(execFile);
const program = join(
  dirname(createRequire(import.meta.url).resolve('dbmate/package.json')),
  '../.bin/dbmate',
);

const files: Files = {
  '20240101000000_entries.sql': `-- migrate:up
CREATE TABLE entries (id integer PRIMARY KEY, body text NOT NULL, mood text);
-- migrate:down
DROP TABLE entries;
`,
  '20240102000000_moods.sql': `-- migrate:up
UPDATE entries SET body = lower(body);
ALTER TABLE entries DROP COLUMN mood;
-- migrate:down
ALTER TABLE entries ADD COLUMN mood text;
`,
};
const versions = ['20240101000000', '20240102000000'];
const [first = '', second = ''] = versions;

async function dbmate(world: PostgresWorld, command: string): Promise<void> {
  const folder = join(world.root, 'migrations');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const url = `${world.url}?sslmode=disable`;
  await run(program, ['--url', url, '--migrations-dir', folder, '--no-dump-schema', command]);
}

async function applied(world: PostgresWorld): Promise<readonly unknown[]> {
  return (await world.read('SELECT version FROM schema_migrations ORDER BY 1')).map((row) => row.version);
}

test('up by us, down and up again by dbmate, down by us', async () => {
  await using world = await makeWorld(cluster);
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('1'), { release: 'r1', commit, versions: [first] });
  await world.write(`INSERT INTO entries VALUES (1, 'One', 'calm'), (2, 'TWO', NULL)`);
  await world.port.migrateUp(contextOf('2'), { release: 'r2', commit, versions: [second] });
  assert.deepEqual(await applied(world), versions);
  const ours = await world.port.observe(contextOf('a'), { releases: [], countRisk: false });
  await dbmate(world, 'down');
  assert.deepEqual(await applied(world), [first]);
  await world.write(`UPDATE entries SET mood = 'mine'`);
  await dbmate(world, 'up');
  assert.deepEqual(await applied(world), versions);
  const theirs = await world.port.observe(contextOf('b'), { releases: [], countRisk: false });
  assert.equal(theirs.fingerprint, ours.fingerprint);
  // What was recorded at our own application belongs to that one, and must not come back now.
  assert.equal(theirs.migrations.find((migration) => migration.version === second)?.preImages, 'none');
  await world.port.migrateDown(contextOf('3'), { release: 'r2', commit, versions: [second] });
  assert.deepEqual(await world.read('SELECT * FROM entries ORDER BY id'), [
    { id: 1, body: 'one', mood: null },
    { id: 2, body: 'two', mood: null },
  ]);
});

test('up by dbmate alone: ours finds everything applied and can take it all back', async () => {
  await using world = await makeWorld(cluster);
  const commit = world.commit(files);
  await dbmate(world, 'up');
  const facts = await world.port.observe(contextOf('a'), { releases: [], commit, countRisk: false });
  assert.deepEqual([facts.applied, facts.pending], [versions, []]);
  await world.port.migrateUp(contextOf('b'), { release: 'r1', commit, versions });
  await world.port.migrateDown(contextOf('c'), { release: 'r1', commit, versions: [second, first] });
  assert.deepEqual(await applied(world), []);
  await dbmate(world, 'up');
  assert.deepEqual(await applied(world), versions);
});
