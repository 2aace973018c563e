import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PostgresCluster } from '../support/postgres-cluster.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
let folder = '';
let dist = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'unship-built-'));
  dist = join(folder, 'dist');
  const build = ['scripts/build.ts', '--out', dist];
  const built = spawnSync(process.execPath, build, { cwd: project, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('the built program parses PostgreSQL with the grammar beside it, and writes a way back on a real server', async () => {
  await using cluster = await PostgresCluster.start();
  mkdirSync(join(folder, 'migrations'));
  for (const [name, up] of [
    ['1_a.sql', 'CREATE TABLE a (id int)'],
    ['2_b.sql', 'ALTER TABLE a RENAME COLUMN id TO number; ALTER TABLE a ADD COLUMN b text'],
  ] as const) {
    writeFileSync(join(folder, 'migrations', name), `-- migrate:up\n${up};\n`);
  }
  const request = {
    surfaces: { data: { kind: 'database', provider: 'postgres', options: { url: { $secret: 'DATABASE' } } } },
    root: folder,
    processEnvironment: { DATABASE: cluster.url() },
  };
  // In a process of its own, and in a folder that has no packages: only what is published can be found.
  const program = `
    const found = ${JSON.stringify(globSync('cli-write-down*.cjs', { cwd: dist }))}
      .map((name) => require(${JSON.stringify(dist)} + '/' + name).writeDownOf).find(Boolean);
    found(${JSON.stringify(request)}).then((down) => console.log(JSON.stringify(down.statements.map((one) => one.sql))));`;
  const ended = spawnSync(process.execPath, ['-e', program], { cwd: dist, encoding: 'utf8' });
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(JSON.parse(ended.stdout), [
    'ALTER TABLE "public"."a" RENAME COLUMN "number" TO "id"',
    'ALTER TABLE "public"."a" DROP COLUMN "b"',
  ]);
});

test('nothing that every command loads holds the grammar or what reads a schema', () => {
  for (const name of ['cli.cjs', 'cli-core.cjs', 'gateway.js']) {
    const text = readFileSync(join(dist, name), 'utf8');
    assert.ok(!/libpg-query\.wasm|AT_AddColumn|pg_get_constraintdef|NOT TAKEN BACK/.test(text), name);
  }
  const holders = globSync('*.cjs', { cwd: dist }).filter((name) =>
    /libpg-query\.wasm|AT_AddColumn|NOT TAKEN BACK/.test(readFileSync(join(dist, name), 'utf8')),
  );
  assert.ok(holders.length > 0);
});
