import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { beginCapture, endCapture, slotHealth } from '../../../src/providers/postgres/capture.ts';
import { connect } from '../../../src/providers/postgres/connection.ts';
import { nothingIsMissing } from '../../../src/providers/postgres/data-at-risk.ts';
import {
  beforeCommit,
  markSession,
  markTransaction,
  unmarkSession,
} from '../../../src/providers/postgres/marking.ts';
import { abandon, cutOver, prepare } from '../../../src/providers/postgres/salvage.ts';
import { salvageNames } from '../../../src/providers/postgres/side-database.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { judge, noFaults, SalvageWorld } from './salvage-world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_prepared_transactions: 5, max_replication_slots: 20 });
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const small = `CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT 'v' || i FROM generate_series(1, 10) i`;
const change = [`UPDATE t SET v = upper(v)`];

test('a prepared transaction stands in the way of the switch, by name; ended, it is carried over', async () => {
  await using world = await SalvageWorld.make(cluster, 'two_phase', small);
  const capture = await world.capture();
  await world.migrate(capture, change);
  const client = await cluster.connect(world.database);
  await client.query(`BEGIN; UPDATE t SET v = 'two-phase' WHERE id = 1; PREPARE TRANSACTION 'payment 7'`);
  await client.end();
  const wish = world.salvageWish(capture);
  await prepare(wish);
  await assert.rejects(cutOver(wish, { blockedMs: 20_000 }), {
    slug: 'cutover-not-reached',
    message: /payment 7/,
  });
  await world.query(`COMMIT PREPARED 'payment 7'`);
  await cutOver(wish, { blockedMs: 20_000 });
  assert.deepEqual(
    (await world.query('SELECT v FROM t WHERE id < 3 ORDER BY id')).map(({ v }) => v),
    ['two-phase', 'v2'],
  );
});

test('a session that can not be ended in time: the database is open again, nothing is switched, and it goes later', async () => {
  await cluster.query(`CREATE ROLE limited LOGIN REPLICATION CREATEDB; GRANT SET ON PARAMETER session_replication_role TO limited;
    GRANT pg_read_all_stats TO limited`);
  await using world = await SalvageWorld.make(cluster, 'stubborn', small, 'limited');
  const capture = await world.capture();
  assert.equal(capture.marks, 'message', 'without a grant of origins the transactions are marked');
  await world.migrate(capture, change);
  // Of a superuser, whom this role may not end.
  const stubborn = await cluster.connect(world.database);
  const wish = world.salvageWish(capture);
  const prepared = await prepare(wish);
  assert.equal(prepared.carried.migrationTransactions, 1);
  await assert.rejects(cutOver(wish, { blockedMs: 1_000 }), {
    slug: 'cutover-not-reached',
    message: /postgres/,
  });
  await world.query(`UPDATE t SET v = 'after' WHERE id = 1`);
  await stubborn.end();
  await cutOver(wish, { blockedMs: 20_000 });
  assert.deepEqual(
    (await world.query('SELECT v FROM t WHERE id < 3 ORDER BY id')).map(({ v }) => v),
    ['after', 'v2'],
  );
});

test('a role with exactly the rights that are asked for gets all the way', async () => {
  await cluster.query(`CREATE ROLE granted LOGIN REPLICATION CREATEDB IN ROLE pg_signal_backend, pg_read_all_stats;
    GRANT SET ON PARAMETER session_replication_role TO granted; CREATE ROLE app LOGIN IN ROLE granted`);
  await using world = await SalvageWorld.make(cluster, 'granted', small, 'granted');
  await cluster.query(
    `GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text) TO granted;
    GRANT EXECUTE ON FUNCTION pg_replication_origin_drop(text) TO granted;
    GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO granted;
    GRANT EXECUTE ON FUNCTION pg_replication_origin_session_reset() TO granted`,
    world.database,
  );
  const capture = await world.capture();
  assert.equal(capture.marks, 'origin');
  await world.migrate(capture, change);
  const application = await cluster.connect(world.database, 'app');
  await application.query(`INSERT INTO t (v) VALUES ('new')`);
  const wish = world.salvageWish(capture);
  await prepare(wish);
  const { report } = await cutOver(wish, { blockedMs: 20_000 });
  assert.ok(report && nothingIsMissing(report));
  assert.equal(report.notCopied.filter((right) => right.includes('pg_replication_origin')).length, 4);
  await application.end().catch(() => {});
  const [row] = await world.query(`INSERT INTO t (v) VALUES ('next') RETURNING id`);
  assert.equal(row?.id, 12, 'sequences go on where they stood');
});

test('rights and settings of the database go along with its name', async () => {
  await using world = await SalvageWorld.make(cluster, 'settings', small);
  await cluster.query(`CREATE ROLE reader LOGIN; REVOKE ALL ON DATABASE settings FROM PUBLIC;
    GRANT CONNECT ON DATABASE settings TO reader; ALTER DATABASE settings SET search_path TO public, "Other one";
    ALTER DATABASE settings SET work_mem TO '7MB'; ALTER ROLE reader IN DATABASE settings SET statement_timeout TO '3s'`);
  const of = async (): Promise<unknown> =>
    await cluster.query(`SELECT datacl::text, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate,
      (SELECT array_agg(setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
      FROM pg_database d WHERE datname = 'settings'`);
  const before_ = await of();
  const capture = await world.capture();
  await world.migrate(capture, change);
  const wish = world.salvageWish(capture);
  await prepare(wish);
  await cutOver(wish, { blockedMs: 20_000 });
  assert.deepEqual(await of(), before_);
});

test('a session of the migration may commit in its middle, and what comes between is carried over', async () => {
  await using world = await SalvageWorld.make(cluster, 'commits', small);
  const capture = await world.capture();
  await using session = await connect(world.url, { purpose: 'migration' });
  assert.equal(await markSession(session, capture), 'session');
  await session.run(`BEGIN; UPDATE t SET v = 'bad' WHERE id < 4`);
  await beforeCommit(session, capture);
  await session.run('COMMIT');
  await world.query(`UPDATE t SET v = 'mine' WHERE id = 1`);
  await session.run(`BEGIN; DELETE FROM t WHERE id = 2; UPDATE t SET v = 'worse' WHERE id = 4`);
  await session.run('COMMIT');
  await unmarkSession(session, capture);
  await session.run(`UPDATE t SET v = 'no longer of the migration' WHERE id = 5`);
  const report = await prepare(world.salvageWish(capture));
  assert.equal(report.carried.migrationTransactions, 2);
  const wish = world.salvageWish(capture);
  await cutOver(wish, { blockedMs: 20_000 });
  assert.deepEqual(
    (await world.query('SELECT v FROM t WHERE id < 6 ORDER BY id')).map(({ v }) => v),
    ['mine', 'v2', 'v3', 'v4', 'no longer of the migration'],
  );
});

test('a connection of ours that is cut off under way is made again, and nothing is missing', async () => {
  await using world = await SalvageWorld.make(cluster, 'cut_off');
  world.startWriters(5);
  const capture = await world.capture();
  await world.migrate(capture);
  await world.written(50);
  let cuts = 0;
  const pending: Promise<unknown>[] = [];
  const faults = {
    point: (name: string): void => {
      if (name !== 'postgres.replay.committed' || cuts > 5) return;
      cuts += 1;
      const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name = 'unship: reading changes'`;
      pending.push(cluster.query(sql).catch(() => undefined));
    },
  };
  await prepare(world.salvageWish(capture, { faults }));
  assert.ok(cuts > 0);
  await Promise.all(pending);
  await world.written(50);
  const { report } = await cutOver(world.salvageWish(capture), { blockedMs: 20_000 });
  await world.stopWriters();
  assert.deepEqual(await judge(world), { missing: [], wrong: [], surplus: [] });
  assert.ok(report && report.ledger.found === report.ledger.markers);
});

test('a slot whose log the server has thrown away is told, and nothing is claimed', async () => {
  await using small_ = await PostgresCluster.start({
    ...{
      max_slot_wal_keep_size: '1MB',
      min_wal_size: '32MB',
      max_wal_size: '32MB',
      wal_segment_size: '16MB',
    },
  }).catch(() =>
    PostgresCluster.start({ max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' }),
  );
  await using world = await SalvageWorld.make(small_, 'lost', small);
  const capture = await world.capture();
  for (let i = 0; i < 4; i += 1)
    await world.query('CREATE TABLE x AS SELECT 1; DROP TABLE x; SELECT pg_switch_wal(); CHECKPOINT');
  await using connection = await connect(world.url, { purpose: 'test' });
  assert.equal((await slotHealth(connection, capture.slot))?.status, 'lost');
  await assert.rejects(prepare(world.salvageWish(capture)), {
    slug: 'capture-lost',
    message: /max_slot_wal_keep_size/,
  });
  await abandon(world.salvageWish(capture));
  assert.equal(await slotHealth(connection, capture.slot), null);
});

test('a server without logical decoding, or without room for a slot, refuses a capture and is left as it was', async () => {
  await using plain = await PostgresCluster.start({ wal_level: 'replica' });
  await using world = await SalvageWorld.make(plain, 'plain', small);
  await assert.rejects(world.capture(), { slug: 'capture-impossible', message: /replica/ });
  await using full = await PostgresCluster.start({ max_replication_slots: 1 });
  await using other = await SalvageWorld.make(full, 'other', small);
  await full.query(`SELECT pg_create_physical_replication_slot('somebody')`);
  await assert.rejects(other.capture(), { slug: 'capture-impossible' });
  assert.deepEqual(await other.query('SELECT pubname FROM pg_publication'), []);
  assert.deepEqual(await other.query(`SELECT relname FROM pg_class WHERE relreplident = 'f'`), []);
});

test('writers wait for a capture no longer than the time limit of a lock; what holds it longer is told', async () => {
  await using world = await SalvageWorld.make(cluster, 'locked', small);
  const holder = await cluster.connect(world.database);
  await holder.query('BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE');
  const capturing = world.capture({ lockTimeoutMs: 100 });
  let slowest = 0;
  const waiting = assert.rejects(capturing, { slug: 'database-locked' }).then(() => true);
  for (let isOver: unknown = false; !isOver; isOver = await Promise.race([waiting, Promise.resolve(false)])) {
    const began = performance.now();
    await world.query(`INSERT INTO t (v) VALUES ('meanwhile')`);
    slowest = Math.max(slowest, performance.now() - began);
  }
  assert.ok(slowest < 2_000, `a writer waited ${slowest} ms`);
  await holder.query('ROLLBACK');
  await holder.end();
  assert.deepEqual(await world.query(`SELECT relname FROM pg_class WHERE relreplident = 'f'`), []);
});

test('a transaction that does not end keeps no slot waiting for ever', async () => {
  await using world = await SalvageWorld.make(cluster, 'slow', small);
  const holder = await cluster.connect(world.database);
  await holder.query(`BEGIN; SELECT txid_current()`);
  await assert.rejects(beginCapture(world.captureWish({ slotWithinMs: 500 })), { slug: 'database-locked' });
  await holder.query('ROLLBACK');
  await holder.end();
  await endCapture({ url: world.url, faults: noFaults }, world.captureWish().key);
  const left = await cluster.query(`SELECT slot_name FROM pg_replication_slots WHERE database = 'slow'`);
  assert.deepEqual(left, []);
});

test('what nobody watches is told, and then nothing is claimed', async () => {
  await using world = await SalvageWorld.make(cluster, 'uncovered', small);
  const capture = await world.capture();
  await world.migrate(capture, change);
  await world.query(
    `CREATE TABLE behind_our_back (id int); INSERT INTO behind_our_back VALUES (1); CREATE UNLOGGED TABLE quick (id int)`,
  );
  const wish = world.salvageWish(capture);
  const report = await prepare(wish);
  assert.deepEqual(report.notCovered, [
    'table public.behind_our_back: made after the capture, not watched',
    'unlogged table public.quick: as in the backup',
  ]);
  const done = await cutOver(wish, { blockedMs: 20_000 });
  assert.ok(done.report && !nothingIsMissing(done.report));
});

test('a marked transaction is told by its mark wherever in it that stands', async () => {
  await cluster.query(
    `CREATE ROLE unmarked LOGIN REPLICATION CREATEDB; GRANT SET ON PARAMETER session_replication_role TO unmarked`,
  );
  await using world = await SalvageWorld.make(cluster, 'mark', small, 'unmarked');
  const capture = await world.capture();
  await using session = await connect(world.url, { purpose: 'migration' });
  assert.equal(await markSession(session, capture), 'transaction');
  await session.run(`BEGIN; UPDATE t SET v = 'bad'`);
  await markTransaction(session, capture);
  await session.run(`INSERT INTO t (v) VALUES ('bad'); COMMIT`);
  await world.query(`UPDATE t SET v = 'mine' WHERE id = 1`);
  const wish = world.salvageWish(capture, { heldInMemory: 10 });
  await prepare(wish);
  const { side } = salvageNames(world.url, capture.key);
  assert.deepEqual(
    (await world.query('SELECT v FROM t WHERE id IN (1, 2, 11) ORDER BY id', side)).map(({ v }) => v),
    ['mine', 'v2'],
  );
});
