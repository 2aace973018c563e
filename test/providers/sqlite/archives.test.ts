import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { contextOf, makeWorld, runtime, type SqliteWorld } from './world.ts';

const setup = `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT);
  INSERT INTO t VALUES (1, 'A', 'x'), (2, 'B', 'y')`;
const text = `-- migrate:up
DELETE FROM t WHERE id = 2;
ALTER TABLE t DROP COLUMN w;
ALTER TABLE t ADD COLUMN n;
-- migrate:down
ALTER TABLE t ADD COLUMN w TEXT;
ALTER TABLE t DROP COLUMN n;
`;

function given(world: SqliteWorld) {
  world.application.exec(setup);
  const commit = world.commit({ '1_change.sql': text });
  const request = { release: 'r2', commit, versions: ['1'] } as const;
  const folder = join(world.root, 'state', 'archives');
  return {
    folder,
    up: (key: string, stop?: string) => world.port.migrateUp(contextOf(key, stoppingAt(stop)), request),
    down: (key: string, stop?: string) => world.port.migrateDown(contextOf(key, stoppingAt(stop)), request),
    names: (ending: string) => readdirSync(folder).filter((name) => name.endsWith(ending)),
    content: () =>
      new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString('base64')])),
    rows: () =>
      world.application
        .prepare('SELECT * FROM t ORDER BY id')
        .all()
        .map((row) => ({ ...row })),
  };
}

function stoppingAt(stop: string | undefined): Parameters<typeof contextOf>[1] {
  const point = (name: string): void => {
    if (name === stop) throw new Error(`stopped at ${name}`);
  };
  return { runtime: { ...runtime, faults: { point } } };
}

const original = [
  { id: 1, v: 'A', w: 'x' },
  { id: 2, v: 'B', w: 'y' },
];

test('what one application recorded is never replaced, moved or removed by another', async () => {
  await using world = await makeWorld();
  const work = given(world);
  // The same key in both directions and again: a step that is taken back and repeated in one run.
  const moves = [
    ['up', 'a'],
    ['down', 'b'],
    ['up', 'c'],
    ['down', 'd'],
    ['up', 'a'],
    ['down', 'b'],
    ['up', 'a'],
    ['down', 'a'],
  ] as const;
  let before = new Map<string, string>();
  for (const [direction, key] of moves) {
    await work[direction](key);
    const after = work.content();
    for (const [name, content] of before) assert.equal(after.get(name), content, `${name} is as it was`);
    assert.equal(work.names(`.${direction}.db`).length > 0, true);
    before = after;
  }
  assert.equal(work.names('.up.db').length, 4);
  assert.equal(work.names('.down.db').length, 4);
  assert.deepEqual(work.rows(), original);
});

test('the archive that a result names is there after an undo, and after the undo of that', async () => {
  await using world = await makeWorld();
  const work = given(world);
  await work.up('release');
  world.application.exec('UPDATE t SET n = 7 WHERE id = 1');
  const { archive } = await work.down('rollback');
  assert.ok(archive !== null);
  const content = readFileSync(archive);
  await work.up('undo');
  assert.deepEqual(world.application.prepare('SELECT n FROM t WHERE id = 1').get()?.n, 7);
  await work.down('undo of the undo');
  assert.deepEqual(readFileSync(archive), content);
  assert.deepEqual(work.rows(), original);
});

test('a step that ended before its commit and is repeated makes no second archive', async () => {
  await using world = await makeWorld();
  const work = given(world);
  await assert.rejects(work.up('release', 'sqlite.migrate-up.before'), /stopped at/);
  await work.up('release');
  assert.equal(work.names('.up.db').length, 1);
  await assert.rejects(work.down('rollback', 'sqlite.migrate-down.before'), /stopped at/);
  const result = await work.down('rollback');
  assert.equal(work.names('.down.db').length, 1);
  assert.deepEqual(await work.down('rollback'), result);
  assert.deepEqual(work.rows(), original);
});

test('archives under the older names, without an attempt, are still found', async () => {
  await using world = await makeWorld();
  const work = given(world);
  const asBefore = (ending: string): void => {
    const [name] = work.names(ending);
    renameSync(join(work.folder, name ?? ''), join(work.folder, `r2-1${ending}`));
  };
  await work.up('release');
  world.application.exec('UPDATE t SET n = 7 WHERE id = 1');
  asBefore('.up.db');
  await work.down('rollback');
  assert.deepEqual(work.rows(), original);
  asBefore('.down.db');
  await work.up('undo');
  assert.deepEqual(world.application.prepare('SELECT n FROM t WHERE id = 1').get()?.n, 7);
  assert.deepEqual(
    work
      .names('.db')
      .filter((name) => /^r2-1\.(up|down)\.db$/.test(name))
      .sort(),
    ['r2-1.down.db', 'r2-1.up.db'],
  );
});
