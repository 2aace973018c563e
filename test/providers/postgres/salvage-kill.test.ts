import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endCapture, findCapture } from '../../../src/providers/postgres/capture.ts';
import { connect } from '../../../src/providers/postgres/connection.ts';
import { captureOf } from '../../../src/providers/postgres/salvage.ts';
import { salvageNames } from '../../../src/providers/postgres/side-database.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { judge, noFaults, SalvageWorld } from './salvage-world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_replication_slots: 20 });
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const clean = { missing: [], wrong: [], surplus: [] };

function start(world: SalvageWorld, step: string, point = ''): ReturnType<typeof spawn> {
  const { url, folder } = world;
  const program = join(import.meta.dirname, 'salvage-process.ts');
  const args = [program, step, point, url, world.captureWish().key, folder, cluster.bin];
  return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** The signal that ended it; null when it came to its end. */
async function run(world: SalvageWorld, step: string, point = ''): Promise<string | null> {
  const [code, signal] = (await once(start(world, step, point), 'close')) as [number | null, string | null];
  if (signal === null) assert.equal(code, 0, `${step} ends well`);
  return signal;
}

/** What a capture changes in a database. */
async function traces(world: SalvageWorld, database: string = world.database): Promise<unknown> {
  const { key } = world.captureWish();
  const slot = `SELECT slot_name FROM pg_replication_slots WHERE slot_name IN (SELECT slot FROM unship.captures)`;
  return {
    identities: (
      await world.query(
        `SELECT relname, relreplident FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`,
        database,
      )
    ).map((row) => ({ ...row })),
    publications: (await world.query('SELECT pubname FROM pg_publication', database)).length,
    slots: (await world.query('SELECT 1 FROM pg_replication_slots', database)).length,
    ownSlots: (await world.query(slot, database)).length,
    origins: (await world.query('SELECT 1 FROM pg_replication_origin', database)).length,
    rows: (await world.query(`SELECT 1 FROM unship.captures WHERE key = '${key}'`, database)).length,
    folders: readdirSync(world.folder).filter((name) => name.startsWith('capture-')),
  };
}

/** A change that is applied a second time is a conflict, or a second row where no key forbids it. */
async function nothingTwice(world: SalvageWorld): Promise<void> {
  assert.deepEqual(await world.query('SELECT * FROM unship.conflicts'), []);
  assert.deepEqual(await world.query('SELECT what FROM log GROUP BY what HAVING count(*) > 1'), []);
}

const putBack = {
  identities: [
    { relname: 'accounts', relreplident: 'd' },
    { relname: 'entries', relreplident: 'i' },
    { relname: 'log', relreplident: 'n' },
  ],
  ...{ publications: 0, slots: 0, ownSlots: 0, origins: 0, rows: 0, folders: [] },
};

async function withIdentities(name: string): Promise<SalvageWorld> {
  const world = await SalvageWorld.make(cluster, name);
  await world.query(
    'ALTER TABLE entries REPLICA IDENTITY USING INDEX entries_pkey; ALTER TABLE log REPLICA IDENTITY NOTHING',
  );
  return world;
}

const capturePoints = ['written-down', 'identities', 'publication', 'slot', 'dumped', 'ready'];

test('a capture that is killed at any point is put back by whoever ends it', async () => {
  await using world = await withIdentities('capture_ended');
  for (const point of capturePoints) {
    assert.equal(await run(world, 'capture', `capture.${point}`), 'SIGKILL', point);
    await run(world, 'end');
    assert.deepEqual(await traces(world), putBack, `ended after a kill at ${point}`);
  }
});

test('a capture that is killed at any point is made whole by whoever repeats it, and its end may be killed as well', async () => {
  await using world = await withIdentities('capture_repeated');
  const { key } = world.captureWish();
  for (const point of capturePoints) {
    await endCapture({ url: world.url, faults: noFaults }, key);
    assert.equal(await run(world, 'capture', `capture.${point}`), 'SIGKILL', point);
    await run(world, 'capture');
    await using connection = await connect(world.url, { purpose: 'test' });
    assert.ok(await findCapture(connection, key), `whole after a kill at ${point}`);
  }
  for (const deadly of ['slot', 'publication', 'identities'])
    assert.equal(await run(world, 'end', `capture-end.${deadly}`), 'SIGKILL', deadly);
  await run(world, 'end');
  assert.deepEqual(await traces(world), putBack, 'ended in spite of kills');
});

test('a salvage that is killed at each of its points goes on, and nothing acknowledged is missing', async () => {
  await using world = await withIdentities('salvage_kill');
  world.startWriters(10);
  await run(world, 'capture');
  const capture = await captureOf(world, world.captureWish().key);
  assert.ok(capture);
  await world.written(30);
  await world.migrate(capture);
  await world.written(60);
  for (const point of ['side.created', 'side.restored', 'side.ready', 'replay.applied', 'replay.committed']) {
    assert.equal(await run(world, 'prepare', point), 'SIGKILL', point);
    await world.written(10);
  }
  await run(world, 'prepare');
  for (const point of [
    'cutover.before',
    'cutover.closed',
    'cutover.drained',
    'cutover.renamed',
    'cutover.finished',
  ])
    assert.equal(
      await run(world, 'cutover', point),
      point === 'cutover.finished' ? 'SIGKILL' : 'SIGKILL',
      point,
    );
  // Whoever looks for it afterwards finds nothing left to do.
  await world.written(30);
  await world.stopWriters();
  assert.deepEqual(await judge(world), clean);
  await nothingTwice(world);
  assert.equal(await captureOf(world, capture.key), null);
  const { kept } = salvageNames(world.url, capture.key);
  for (const database of [world.database, kept]) {
    const full = `SELECT relname FROM pg_class WHERE relreplident = 'f'`;
    assert.deepEqual(await world.query(full, database), [], database);
    assert.deepEqual(await world.query('SELECT pubname FROM pg_publication', database), []);
  }
  assert.deepEqual(await cluster.query('SELECT slot_name FROM pg_replication_slots'), []);
});

test('a replayer that is killed at any moment loses nothing and does nothing twice', async () => {
  await using world = await SalvageWorld.make(cluster, 'replayer_kill');
  world.startWriters(2);
  const capture = await world.capture();
  await world.migrate(capture);
  await run(world, 'prepare');
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await world.written(100);
    const { side } = salvageNames(world.url, capture.key);
    const applied = async (): Promise<unknown> =>
      (await world.query('SELECT applied FROM unship.salvage', side))[0]?.applied;
    const at = await applied();
    const child = start(world, 'prepare');
    const ended = once(child, 'close');
    while (child.exitCode === null && (await applied()) === at) await sleep(1);
    await sleep(attempt * 4);
    child.kill('SIGKILL');
    await ended;
  }
  await run(world, 'cutover');
  await world.written(20);
  await world.stopWriters();
  assert.deepEqual(await judge(world), clean);
  await nothingTwice(world);
});

test('abandoned, also after a kill in the middle of it, a salvage leaves nothing behind', async () => {
  await using world = await withIdentities('abandoned');
  await run(world, 'capture');
  await run(world, 'prepare');
  assert.equal(await run(world, 'cutover', 'cutover.closed'), 'SIGKILL');
  assert.equal(await run(world, 'abandon', 'abandon.dropped'), 'SIGKILL');
  await run(world, 'abandon');
  assert.deepEqual(await traces(world), putBack);
  const names = await cluster.query(`SELECT datname FROM pg_database WHERE datname LIKE 'abandoned%'`);
  assert.deepEqual(
    names.map((row) => ({ ...row })),
    [{ datname: 'abandoned' }],
  );
});
