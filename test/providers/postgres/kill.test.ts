import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { contextOf, type Files } from '../sqlite/world.ts';
import { makeWorld, type PostgresWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_connections: 100 });
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

const program = join(import.meta.dirname, 'killed-process.ts');
const files: Files = {
  '1_entries.sql': `-- migrate:up
CREATE TABLE entries (id integer PRIMARY KEY, body text NOT NULL UNIQUE, mood text);
CREATE TABLE gone (k text PRIMARY KEY, v bytea);
-- migrate:down
DROP TABLE entries;
DROP TABLE gone;
`,
  '2_lower.sql': `-- migrate:up
UPDATE entries SET body = lower(body);
ALTER TABLE entries ADD COLUMN words integer;
UPDATE entries SET words = length(body);
-- migrate:down
ALTER TABLE entries DROP COLUMN words;
`,
  '3_drop.sql': `-- migrate:up
DROP TABLE gone;
DELETE FROM entries WHERE id % 7 = 0;
ALTER TABLE entries DROP COLUMN mood;
-- migrate:down
ALTER TABLE entries ADD COLUMN mood text;
CREATE TABLE gone (k text PRIMARY KEY, v bytea);
`,
};

/** Runs a step to its end, wherever that is: what it printed, and the signal that killed it. */
async function run(
  world: PostgresWorld,
  step: string,
  point = '',
): Promise<{ output: unknown; signal: string | null }> {
  const args = ['--disable-warning=ExperimentalWarning', program, world.root, world.url, step, point];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (signal === null) assert.equal(code, 0, `${step} after ${point}`);
  return { output: text === '' ? undefined : JSON.parse(text), signal };
}

/** r1 is live, a backup was taken, and then up to `step` everything has happened, with the application writing. */
async function prepare(step: string): Promise<PostgresWorld> {
  const world = await makeWorld(cluster);
  writeFileSync(join(world.root, 'files.json'), JSON.stringify(files));
  const commit = world.commit(files);
  await world.port.migrateUp(contextOf('first'), { release: 'r1', commit, versions: ['1'] });
  await world.write(`INSERT INTO entries SELECT i, 'Entry ' || i, 'mood ' || (i % 5) FROM generate_series(1, 300) i;
    INSERT INTO gone VALUES ('a', '\\x00ff'), ('b', NULL)`);
  if (!['down', 'restore'].includes(step)) return world;
  const backup = await world.port.backup(contextOf('backup', { fence: 5 }), 'r2');
  writeFileSync(join(world.root, 'backup'), backup.id);
  await world.port.migrateUp(contextOf('up', { fence: 5 }), { release: 'r2', commit, versions: ['2', '3'] });
  await world.write(
    `UPDATE entries SET body = 'Mine' WHERE id = 5; INSERT INTO entries VALUES (999, 'New', 1)`,
  );
  return world;
}

async function content(world: PostgresWorld): Promise<unknown> {
  const facts = await world.port.observe(contextOf('look'), { releases: [], countRisk: false });
  const tables = facts.applied.includes('3') ? ['entries'] : ['entries', 'gone'];
  const rows = await Promise.all(tables.map((table) => world.read(`SELECT * FROM ${table} ORDER BY 1`)));
  return { fingerprint: facts.fingerprint, applied: facts.applied, rows };
}

/** Databases beside the live one, but for the one that a restore keeps; and what is half done in the folder. */
async function leftovers(world: PostgresWorld): Promise<readonly string[]> {
  const sides = await cluster.query<{ name: string }>(
    `SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, '${world.database}_')`,
  );
  const folder = join(world.root, 'state', 'backups');
  const partial = existsSync(folder) ? readdirSync(folder).filter((name) => name.includes('.partial')) : [];
  return [...sides.map(({ name }) => name).filter((name) => !name.includes('_kept_')), ...partial];
}

const points: readonly (readonly [step: string, points: readonly string[]])[] = [
  ['up', ['postgres.migrate-up.ran', 'postgres.migrate-up.before', 'postgres.migrate-up.after']],
  ['down', ['postgres.migrate-down.before', 'postgres.migrate-down.after']],
  [
    'backup',
    ['postgres.backup.before', 'postgres.backup.copied', 'postgres.backup.named', 'postgres.backup.after'],
  ],
  [
    'restore',
    [
      'postgres.restore.staged',
      'postgres.restore.before',
      'postgres.restore.renaming',
      'postgres.restore.renamed',
      'postgres.restore.after',
      'postgres.restore.kept',
    ],
  ],
];

describe('killed anywhere, whoever goes on comes to the same end', { concurrency: 2 }, () => {
  for (const [step, names] of points) {
    for (const name of names) {
      it(`${step}, killed at ${name}`, async () => {
        await using world = await prepare(step);
        const before = await content(world);
        assert.equal((await run(world, step, name)).signal, 'SIGKILL');
        // Whatever it has done, the application finds its database, as it was or as it will be.
        const between = await content(world);
        const { output } = await run(world, step);
        const end = await content(world);
        // Each migration is a transaction of its own: killed after the first, that one is there.
        const isBetweenTwo = name === 'postgres.migrate-up.after';
        if (!isBetweenTwo)
          assert.ok([JSON.stringify(before), JSON.stringify(end)].includes(JSON.stringify(between)));
        assert.deepEqual(
          (await run(world, step)).output,
          output,
          'once more it does nothing and says the same',
        );
        assert.deepEqual(await content(world), end);
        assert.deepEqual(await leftovers(world), []);
        if (step === 'down')
          assert.deepEqual(
            await world.read('SELECT body, mood FROM entries WHERE id IN (5, 7, 999) ORDER BY id'),
            [
              { body: 'Mine', mood: 'mood 0' },
              { body: 'Entry 7', mood: 'mood 2' },
              { body: 'New', mood: null },
            ],
          );
        if (step === 'restore') assert.equal((output as { rowsLost: number }).rowsLost, 2);
      });
    }
  }

  it('nothing of a process that is frozen in the middle comes any more once another has raised the fence', async () => {
    await using world = await prepare('up');
    const before = await content(world);
    const args = ['--disable-warning=ExperimentalWarning', program, world.root, world.url];
    const frozen = spawn(process.execPath, [...args, 'up', 'postgres.migrate-up.before', 'SIGSTOP'], {
      stdio: 'ignore',
    });
    const ended = once(frozen, 'close') as Promise<[number | null, string | null]>;
    const held = `SELECT 1 FROM pg_stat_activity WHERE datname = '${world.database}' AND state = 'idle in transaction'`;
    while ((await cluster.query(held)).length === 0) await sleep(20);
    // It has to wait for the lock of the frozen one, and gets it when the server has ended that.
    await world.port.raiseFence(contextOf('newer', { fence: 9 }));
    assert.deepEqual(await content(world), before);
    frozen.kill('SIGCONT');
    const [code] = await ended;
    assert.notEqual(code, 0, 'it is told that nothing has come of it');
    assert.deepEqual(await content(world), before);
  });

  it('a rehearsal that was killed is cleared by the next one', async () => {
    await using world = await prepare('rehearse');
    assert.equal((await run(world, 'rehearse', 'postgres.rehearsal.copied')).signal, 'SIGKILL');
    await run(world, 'rehearse');
    assert.deepEqual(
      await leftovers(world),
      [`${world.database}_unship_rehearsal`],
      'nobody has disposed of it',
    );
    const copy = await world.port.rehearsal(contextOf('again', { fence: 5 }), join(world.root, 'rehearsal'));
    await copy.dispose();
    assert.deepEqual(await leftovers(world), []);
  });
});
