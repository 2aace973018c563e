import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { requireSpace } from '../../../src/databases/files.ts';
import { isUnshipError } from '../../../src/domain/errors.ts';
import type { Release, ReleaseId } from '../../../src/domain/release.ts';
import { contextOf, makeWorld, type SqliteWorld } from './world.ts';

const refused =
  (slug: string, about = /./) =>
  (error: unknown) =>
    isUnshipError(error) && error.slug === slug && about.test(error.message);
const setup = `CREATE TABLE entries (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO entries VALUES (1, 'a'), (2, 'b'), (3, 'c')`;

async function withBackup(options: Parameters<typeof makeWorld>[0] = {}) {
  const world = await makeWorld(options, 10_000);
  world.application.exec(setup);
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  return Object.assign(world, { backup });
}

const bodies = (world: SqliteWorld): unknown[] =>
  world.application
    .prepare('SELECT body FROM entries ORDER BY id')
    .all()
    .map((row) => Object.values(row)[0]);

test('control 25: a backup is private, a single file, and copied to the second location', async () => {
  await using world = await withBackup({ secondLocation: 'elsewhere' });
  const copy = join(world.root, 'elsewhere', `${world.backup.id}.db`);
  assert.deepEqual(readFileSync(copy), readFileSync(world.backup.location));
  assert.equal(statSync(join(world.root, 'state', 'backups')).mode & 0o077, 0);
  for (const folder of [join(world.root, 'state', 'backups'), join(world.root, 'elsewhere')]) {
    const files = readdirSync(folder);
    assert.equal(files.length, 2);
    for (const name of files) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  }
  const rest = readdirSync(join(world.root, 'state', 'backups')).filter((name) =>
    /-(wal|shm)$|partial/.test(name),
  );
  assert.deepEqual(rest, []);
});

test('control 25: a byte that is flipped or missing anywhere in what is known of a backup refuses it', async () => {
  await using world = await withBackup();
  const file = world.backup.location.replace(/\.db$/, '.json');
  const bytes = readFileSync(file);
  const meaning = JSON.stringify(JSON.parse(bytes.toString()));
  let refusals = 0;
  const requireRefused = async (damaged: Buffer): Promise<void> => {
    // White space and the like: the same record, written another way.
    try {
      if (JSON.stringify(JSON.parse(damaged.toString())) === meaning) return;
    } catch {
      // No JSON any more.
    }
    writeFileSync(file, damaged);
    await assert.rejects(world.port.verifyBackup(contextOf('v'), world.backup.id), refused('backup-invalid'));
    refusals += 1;
  };
  for (let at = 0; at < bytes.length; at += 1) {
    for (const bit of [1, 2, 3]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      await requireRefused(damaged);
    }
    await requireRefused(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]));
  }
  assert.ok(refusals > bytes.length * 3);
  writeFileSync(file, bytes);
  await world.port.verifyBackup(contextOf('v'), world.backup.id);
});

test('control 25: a byte that is flipped or missing refuses the backup', async () => {
  await using world = await withBackup();
  const bytes = readFileSync(world.backup.location);
  const spread = Array.from({ length: 60 }, (_, part) => Math.floor((bytes.length * part) / 60));
  for (const at of [...spread, 20, 100, bytes.length - 1]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    writeFileSync(world.backup.location, damaged);
    await assert.rejects(world.port.verifyBackup(contextOf('v'), world.backup.id), refused('backup-invalid'));
    const request = { backup: world.backup.id, maximumRowsLost: 99 };
    await assert.rejects(world.port.restore(contextOf('r'), request), refused('backup-invalid'));
  }
  writeFileSync(world.backup.location, bytes.subarray(1));
  const facts = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  assert.equal(facts.backups[0]?.verified, false);
  const again = await world.port.backup(contextOf('backup'), 'r2');
  assert.equal(again.verified, true);
  await world.port.verifyBackup(contextOf('v'), again.id);
});

test('old backups go, except the newest of each schema', async () => {
  await using world = await withBackup({ keepBackups: 2 });
  const commit = world.commit({ '1_x.sql': '-- migrate:up\nALTER TABLE entries ADD COLUMN x;\n' });
  await world.port.migrateUp(contextOf('up'), { release: 'r2', commit, versions: ['1'] });
  for (let at = 0; at < 5; at += 1) await world.port.backup(contextOf(`backup ${at}`), 'r3');
  const { backups } = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  assert.equal(backups.length, 4);
  assert.ok(
    backups.some((backup) => backup.id === world.backup.id),
    'what r1 needs is still there',
  );
  assert.ok(backups.every((backup) => existsSync(backup.location)));
});

test('a database without a write-ahead log is refused, with what to do', async () => {
  await using world = await makeWorld();
  world.application.exec(`PRAGMA journal_mode = DELETE; ${setup}`);
  await assert.rejects(world.port.backup(contextOf('b'), 'r1'), refused('database-not-wal', /mode delete/));
  const facts = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  assert.equal(facts.capabilities.restore, false);
});

test('a disk that is too small is told before the work [disk-full]', async () => {
  await using world = await makeWorld();
  assert.throws(() => requireSpace(world.root, 1e18, 'the backup'), refused('disk-full', /the backup needs/));
  requireSpace(world.root, 1, 'a byte');
});

test('a connection that was open before sees the restored content, its file is the same one', async () => {
  await using world = await withBackup();
  const prepared = world.application.prepare('SELECT count(*) AS n FROM entries');
  world.application.exec(
    `DELETE FROM entries; ALTER TABLE entries ADD COLUMN x; INSERT INTO entries VALUES (9, 'z', 1)`,
  );
  const inode = statSync(world.file).ino;
  const result = await world.port.restore(contextOf('restore'), {
    backup: world.backup.id,
    maximumRowsLost: 1,
  });
  assert.equal(prepared.get()?.n, 3);
  assert.deepEqual(bodies(world), ['a', 'b', 'c']);
  world.application.exec(`INSERT INTO entries (body) VALUES ('after')`);
  assert.equal(statSync(world.file).ino, inode);
  assert.equal(result.fingerprint, world.backup.fingerprint);
  assert.deepEqual(
    readdirSync(join(world.root, 'state', 'restores')).filter((name) => name.endsWith('.db')),
    [],
  );
});

test('rows made, changed and deleted since are counted, each as what it is', async () => {
  await using world = await withBackup();
  world.application.exec(`DELETE FROM entries WHERE id = 1; UPDATE entries SET body = 'B' WHERE id = 2;
    INSERT INTO entries VALUES (4, 'd'), (5, 'e'); CREATE TABLE fresh (x); INSERT INTO fresh VALUES (1)`);
  const risk = await world.port.countRestoreRisk(contextOf('risk'), world.backup.id);
  assert.deepEqual(risk.tables, [
    { table: 'entries', kept: 1, archived: 0, lost: 3, editedSince: 0, returning: 1 },
    { table: 'fresh', kept: 0, archived: 0, lost: 1, editedSince: 0 },
  ]);
  assert.deepEqual([risk.dropped, risk.exact], [['fresh'], true]);
});

test("rows that migrations made, moved and filled in are not the application's, over several migrations", async () => {
  await using world = await withBackup();
  const commit = world.commit({
    '1_a.sql': `-- migrate:up
CREATE TABLE bodies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO bodies (name) SELECT body FROM entries;
ALTER TABLE entries ADD COLUMN body_id INTEGER;
UPDATE entries SET body_id = id;
ALTER TABLE entries ADD COLUMN stars INTEGER NOT NULL DEFAULT '3';
-- migrate:down
DROP TABLE bodies;
`,
    '2_b.sql': `-- migrate:up
UPDATE bodies SET name = upper(name);
ALTER TABLE entries RENAME COLUMN body_id TO ref;
DELETE FROM entries WHERE id = 3;
-- migrate:down
SELECT 1;
`,
  });
  await world.port.migrateUp(contextOf('up'), { release: 'r2', commit, versions: ['1', '2'] });
  const lost = async () => {
    const risk = await world.port.countRestoreRisk(contextOf('risk'), world.backup.id);
    return [risk.exact, ...risk.tables.map(({ table, lost: rows, returning }) => [table, rows, returning])];
  };
  assert.deepEqual(await lost(), [true, ['entries', 0, undefined], ['bodies', 0, undefined]]);
  world.application.exec(`UPDATE entries SET stars = 5 WHERE id = 1; UPDATE entries SET ref = NULL WHERE id = 2;
    UPDATE bodies SET name = 'mine' WHERE id = 1; INSERT INTO bodies VALUES (50, 'x')`);
  assert.deepEqual(await lost(), [true, ['entries', 2, undefined], ['bodies', 2, undefined]]);
});

test('under a writer: no acknowledged row is lost silently, nothing is damaged, and writing goes on', async () => {
  await using world = await withBackup();
  const writer = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'writing-process.ts'), world.file],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let printed = '';
  let errors = '';
  writer.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  await new Promise<void>((resolve) => {
    writer.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.split('\n').length > 50) resolve();
    });
  });
  const restored = await world.port.restore(contextOf('restore'), {
    backup: world.backup.id,
    maximumRowsLost: 1e6,
  });
  const enough = printed.split('\n').length + 20;
  await new Promise<void>((resolve) => {
    writer.stdout.on('data', () => {
      if (printed.split('\n').length > enough) resolve();
    });
  });
  writer.kill('SIGTERM');
  await once(writer, 'close');
  assert.equal(errors, '');
  const acknowledged = printed
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
  const { backups } = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  const safety = backups.find((backup) => backup.id === restored.safetyBackup);
  using kept = new DatabaseSync(safety?.location ?? '', { readOnly: true });
  const ids = (database: DatabaseSync): number[] =>
    database
      .prepare('SELECT id FROM entries')
      .all()
      .map((row) => Number(row.id));
  const live = ids(world.application);
  const before = ids(kept);
  const found = new Set([...live, ...before]);
  assert.deepEqual(
    acknowledged.filter((id) => !found.has(id)),
    [],
  );
  assert.equal(
    restored.rowsLost,
    before.filter((id) => id > 10_000).length,
    'the loss is exactly what the safety backup has more',
  );
  assert.deepEqual(
    { ...world.application.prepare('PRAGMA integrity_check').get() },
    { integrity_check: 'ok' },
  );
});

const release = (id: ReleaseId, applied: readonly string[]): Release => ({
  ...{
    id,
    createdAt: 0,
    createdBy: 'test',
    commit: 'x',
    deployment: 'live',
    health: 'good',
    configurationHash: '',
  },
  surfaces: {
    vault: {
      kind: 'database',
      commit: 'c'.repeat(40),
      artifact: { applied, fingerprint: 'f' },
      label: '',
      since: id,
    },
  },
});

test('looking at releases whose migrations are kept asks git for nothing, and is quick', async () => {
  await using world = await withBackup();
  const files = Object.fromEntries(
    Array.from({ length: 30 }, (_, at) => [
      `${at + 1}_x.sql`,
      `-- migrate:up\nCREATE TABLE t${at} (id INTEGER PRIMARY KEY);\n-- migrate:down\nDROP TABLE t${at};\n`,
    ]),
  );
  const commit = world.commit(files);
  const versions = Array.from({ length: 30 }, (_, at) => String(at + 1));
  await world.port.migrateUp(contextOf('up'), { release: 'r2', commit, versions });
  const { asked } = world.commits;
  const query = {
    releases: [release('r2', versions), release('r1', versions.slice(0, 20))],
    countRisk: false,
  };
  await world.port.observe(contextOf('warm'), query);
  const start = performance.now();
  const facts = await world.port.observe(contextOf('look'), query);
  const took = performance.now() - start;
  assert.equal(world.commits.asked, asked);
  assert.equal(facts.migrations.length, 30);
  // Generous for a busy machine: it takes about 10 ms.
  assert.ok(took < 300, `it took ${took} ms`);
});

test('into a database that somebody has emptied, everything of the backup comes back, and nothing more is lost', async () => {
  await using world = await withBackup();
  const file = join(world.root, 'vault.db');
  world.application.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
  const emptied = new DatabaseSync(file);
  emptied.exec('PRAGMA journal_mode = WAL');
  try {
    const seen = await world.port.observe(contextOf('look'), { releases: [], countRisk: true });
    assert.deepEqual([seen.applied, seen.capabilities.restore], [[], true]);
    const result = await world.port.restore(contextOf('r'), { backup: world.backup.id, maximumRowsLost: 0 });
    assert.equal(result.rowsLost, 0);
    const rows = emptied.prepare('SELECT body FROM entries ORDER BY id').all();
    assert.deepEqual(
      rows.map(({ body }) => body),
      ['a', 'b', 'c'],
    );
  } finally {
    emptied.close();
  }
});
