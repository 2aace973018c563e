import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { longWork } from '../../../src/providers/sqlite/long-work.ts';
import { contextOf, makeWorld, type SqliteWorld } from './world.ts';

function fill({ application }: SqliteWorld, megabytes: number): void {
  application.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)');
  application.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${megabytes * 250})
    INSERT INTO notes SELECT i, hex(randomblob(2000)) FROM n`);
}

test('the event loop is free while 100 MB are backed up and verified', { timeout: 300_000 }, async () => {
  await using world = await makeWorld();
  fill(world, 100);
  let longestGap = 0;
  let last = performance.now();
  const heartbeat = setInterval(() => {
    const now = performance.now();
    longestGap = Math.max(longestGap, now - last);
    last = now;
  }, 20);
  const [own, whole] = [process.threadCpuUsage(), process.cpuUsage()];
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  await world.port.verifyBackup(contextOf('look'), backup.id);
  const ownSpent = process.threadCpuUsage(own);
  const wholeSpent = process.cpuUsage(whole);
  clearInterval(heartbeat);
  // A lease lasts 10 s. A busy machine stretches any gap; the share of the work it does not.
  assert.ok(longestGap < 3000, `${longestGap} ms without a heartbeat`);
  const share = (ownSpent.user + ownSpent.system) / (wholeSpent.user + wholeSpent.system);
  assert.ok(share < 0.25, `this thread did ${Math.round(share * 100)} % of the work`);
});

test('a copy taken under writers holds whole transactions only', { timeout: 120_000 }, async () => {
  await using world = await makeWorld();
  fill(world, 20);
  world.application.exec(
    'CREATE TABLE twins (side TEXT PRIMARY KEY, n INT); INSERT INTO twins VALUES (0, 0), (1, 0)',
  );
  // The rows lie at the ends of the file.
  world.application.exec('CREATE TABLE far (n INT); INSERT INTO far VALUES (0)');
  const raise = world.application.prepare('UPDATE twins SET n = n + 1');
  const raiseFar = world.application.prepare('UPDATE far SET n = n + 1');
  let commits = 0;
  const writer = setInterval(() => {
    world.application.exec('BEGIN IMMEDIATE');
    raise.run();
    raiseFar.run();
    world.application.exec('COMMIT');
    commits += 1;
  }, 1);
  for (const key of ['a', 'b', 'c']) {
    const before = commits;
    const backup = await world.port.backup(contextOf(key), 'r2');
    assert.ok(commits > before, 'the writer was not stopped');
    using copy = new DatabaseSync(backup.location, { readOnly: true });
    const counts = copy.prepare('SELECT n FROM twins UNION ALL SELECT n FROM far').all();
    assert.equal(new Set(counts.map(({ n }) => n)).size, 1, JSON.stringify(counts));
  }
  clearInterval(writer);
});

test('it is ended by the signal, and the next attempt finds nothing in its way', async () => {
  await using world = await makeWorld();
  fill(world, 20);
  const ending = new AbortController();
  const signal = ending.signal;
  const cut = world.port.backup(contextOf('cut', { signal, progress: () => ending.abort('enough') }), 'r2');
  await assert.rejects(cut, (error) => error === 'enough');
  const late = new AbortController();
  const file = join(world.root, 'late.db');
  const copying = longWork(late.signal, 'copy', { from: world.file, to: file });
  setTimeout(() => late.abort('late'), 30);
  await assert.rejects(copying, (error) => error === 'late');
  const backup = await world.port.backup(contextOf('cut'), 'r2');
  assert.ok(backup.verified && existsSync(backup.location));
});

test('an error keeps its name and codes on its way out of the thread', async () => {
  await using world = await makeWorld();
  const { signal } = new AbortController();
  const missing = longWork(signal, 'inspect', { file: join(world.root, 'none.db'), expected: null });
  await assert.rejects(missing, (error) => isUnshipError(error) && error.slug === 'database-missing');
  const text = join(world.root, 'text.db');
  writeFileSync(text, 'no database at all, whatever its name says'.repeat(100));
  await assert.rejects(
    longWork(signal, 'inspect', { file: text, expected: null }),
    (error) => isUnshipError(error) && error.slug === 'database-corrupt',
  );
  world.application.exec('CREATE TABLE t (a)');
  await assert.rejects(
    longWork(signal, 'copy', { from: world.file, to: join(world.root, 'no', 'folder.db') }),
    /unable to open database file/,
  );
});
