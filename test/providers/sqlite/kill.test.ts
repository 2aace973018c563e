import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { contextOf, type Files, makeWorld, type SqliteWorld } from './world.ts';

const program = join(import.meta.dirname, 'killed-process.ts');
const files: Files = {
  '1_entries.sql': `-- migrate:up
CREATE TABLE entries (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE, mood TEXT);
CREATE TABLE gone (k TEXT PRIMARY KEY, v);
-- migrate:down
DROP TABLE entries;
DROP TABLE gone;
`,
  '2_lower.sql': `-- migrate:up
UPDATE entries SET body = lower(body);
ALTER TABLE entries ADD COLUMN words INTEGER;
UPDATE entries SET words = length(body);
-- migrate:down
ALTER TABLE entries DROP COLUMN words;
`,
  '3_drop.sql': `-- migrate:up
DROP TABLE gone;
DELETE FROM entries WHERE id % 7 = 0;
ALTER TABLE entries DROP COLUMN mood;
-- migrate:down
ALTER TABLE entries ADD COLUMN mood TEXT;
CREATE TABLE gone (k TEXT PRIMARY KEY, v);
`,
};

function start(root: string, step: string, point: string): ChildProcess {
  const args = ['--disable-warning=ExperimentalWarning', program, root, step, point];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
}

/** Runs a step to its end, wherever that is: what it printed, and the signal that killed it. */
async function run(
  root: string,
  step: string,
  point = '',
): Promise<{ output: unknown; signal: string | null }> {
  const child = start(root, step, point);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === null) assert.equal(code, 0, `${step} after ${point}`);
  return { output: text === '' ? undefined : JSON.parse(text), signal };
}

/** r1 is live, a backup was taken, and then up to `step` everything has happened, with the application writing. */
async function prepare(step: string): Promise<SqliteWorld> {
  const world = await makeWorld({ secondLocation: 'second' });
  writeFileSync(join(world.root, 'files.json'), JSON.stringify(files));
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('first'), { release: 'r1', commit, versions: ['1'] });
  world.application.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO entries SELECT i, 'Entry ' || i, 'mood ' || (i % 5) FROM n;
    INSERT INTO gone VALUES ('a', x'00ff'), ('b', 1.5)`);
  if (step === 'backup' || step === 'up') return world;
  const at = (versions: readonly string[]) => ({ release: 'r2', commit, versions }) as const;
  const backup = await world.port.backup(contextOf('backup', { fence: 5 }), 'r2');
  writeFileSync(join(world.root, 'backup'), backup.id);
  await world.port.migrateUp(contextOf('up', { fence: 5 }), at(['2', '3']));
  world.application.exec(
    `UPDATE entries SET body = 'Mine' WHERE id = 5; INSERT INTO entries VALUES (999, 'New', 1)`,
  );
  if (step === 'again') await world.port.migrateDown(contextOf('down', { fence: 5 }), at(['3', '2']));
  return world;
}

/** Everything a person could see, timestamps and random marks left out. */
async function stateOf(world: SqliteWorld): Promise<unknown> {
  const facts = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  const tables: { [name: string]: unknown } = {};
  for (const name of Object.keys(facts.measurements.rows).sort()) {
    tables[name] = world.application
      .prepare(`SELECT * FROM "${name}" ORDER BY 1`)
      .all()
      .map((row) => ({ ...row }));
  }
  const backups = facts.backups.map(({ release, verified, fingerprint, applied }) => ({
    release,
    verified,
    fingerprint,
    applied,
  }));
  // A repeated restore secures the state once more: the application may have written in between.
  const text = (items: readonly unknown[]): string[] =>
    [...new Set(items.map((item) => JSON.stringify(item)))].sort();
  for (const backup of facts.backups) await world.port.verifyBackup(contextOf('verify'), backup.id);
  const { applied, fingerprint } = facts;
  return { tables, applied, fingerprint, backups: text(backups), files: filesIn(world) };
}

/** What lies in the state folder, names that are made from chance left out: a crash must leave no litter. */
function filesIn(world: SqliteWorld): readonly string[] {
  return ['archives', 'restores', 'scratch'].flatMap((folder) => {
    const path = join(world.root, 'state', folder);
    return existsSync(path) ? readdirSync(path).map((name) => join(folder, name)) : [];
  });
}

/** What a step returns, without what names this very world. */
function essence(output: unknown): unknown {
  const { archive, takenAt: _at, location: _where, ...rest } = output as { [name: string]: unknown };
  // The copy that a repeated restore takes under the lock, instead of the one from before the crash.
  if (typeof rest.safetyBackup === 'string') rest.safetyBackup = rest.safetyBackup.replace('-late', '');
  return archive === undefined ? rest : { ...rest, archive: archive !== null };
}

const points: { readonly [step: string]: readonly string[] } = {
  backup: ['backup.before', 'backup.copied', 'backup.named', 'backup.after'],
  up: ['migrate-up.ran', 'migrate-up.before', 'migrate-up.after'],
  again: ['migrate-up.ran', 'migrate-up.before', 'migrate-up.after'],
  down: ['migrate-down.ran', 'migrate-down.before', 'migrate-down.after'],
  restore: ['backup.copied', 'restore.staged', 'restore.before', 'restore.after'],
};

for (const [step, names] of Object.entries(points)) {
  const command = step === 'again' ? 'up' : step;
  test(`${step}: killed at each point and repeated, it ends as if nothing had happened`, async () => {
    await using reference = await prepare(step);
    const expectedOutput = essence((await run(reference.root, command)).output);
    const expected = await stateOf(reference);
    for (const name of names) {
      await using world = await prepare(step);
      const killed = await run(world.root, command, `sqlite.${name}`);
      assert.equal(killed.signal, 'SIGKILL', `${name} is reached`);
      const { output } = await run(world.root, command);
      assert.deepEqual(await stateOf(world), expected, `state after a kill at ${name}`);
      assert.deepEqual(essence(output), expectedOutput, `answer after a kill at ${name}`);
    }
  });
}

for (const step of ['up', 'down', 'restore']) {
  test(`${step}: killed at any moment, the file is whole, and repeating it ends right`, async () => {
    await using reference = await prepare(step);
    await run(reference.root, step);
    const expected = await stateOf(reference);
    await using world = await prepare(step);
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const child = start(world.root, step, '');
      await once(child, 'message');
      const ended = once(child, 'close');
      setTimeout(() => child.kill('SIGKILL'), attempt * 7);
      await ended;
      using database = new DatabaseSync(world.file);
      assert.deepEqual({ ...database.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
    }
    await run(world.root, step);
    assert.deepEqual(await stateOf(world), expected);
    assert.ok(existsSync(world.file));
  });
}
