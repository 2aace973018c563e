import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { nothingIsMissing } from '../../../src/providers/postgres/data-at-risk.ts';
import { cutOver, prepare, undo } from '../../../src/providers/postgres/salvage.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { judge, SalvageWorld } from './salvage-world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_prepared_transactions: 5 });
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const clean = { missing: [], wrong: [], surplus: [] };

test('a bad migration is gone, and every acknowledged commit of writers is there', async () => {
  await using world = await SalvageWorld.make(cluster, 'story');
  world.startWriters(5);
  await world.written(60);
  const capture = await world.capture();
  await world.written(60);
  await world.migrate(capture);
  await world.written(150);
  const wish = world.salvageWish(capture, { fills: {} });
  const prepared = await prepare(wish);
  assert.ok(prepared.carried.transactions > 100);
  assert.equal(prepared.carried.migrationTransactions, 1);
  await world.written(50);
  const done = await cutOver(wish, { blockedMs: 20_000 });
  assert.equal(done.standing, 'switched');
  await world.written(50);
  await world.stopWriters();
  assert.deepEqual(await judge(world), clean);
  const report = done.report;
  assert.ok(report);
  assert.deepEqual({ ...report.conflicts, first: [] }, { count: 0, byReason: {}, first: [] });
  assert.ok(report.rewrittenEdits.count > 0, 'edits of values that the migration had rewritten are told');
  assert.equal(report.ledger.found, report.ledger.markers);
  assert.deepEqual(report.notCovered, []);
  assert.ok(nothingIsMissing(report));
  // What it needed is gone from both databases.
  assert.deepEqual(await cluster.query('SELECT slot_name FROM pg_replication_slots'), []);
  assert.deepEqual(await cluster.query('SELECT roname FROM pg_replication_origin'), []);
  for (const database of [world.database, done.kept]) {
    assert.deepEqual(await world.query('SELECT pubname FROM pg_publication', database), []);
    const full = `SELECT relname FROM pg_class WHERE relreplident = 'f'`;
    assert.deepEqual(await world.query(full, database), []);
  }
});

test('undo: the bad database is live again, with all of its own, and what came since is kept beside it', async () => {
  await using world = await SalvageWorld.make(cluster, 'undone');
  const capture = await world.capture();
  await world.migrate(capture);
  const wish = world.salvageWish(capture);
  await prepare(wish);
  const done = await cutOver(wish, { blockedMs: 20_000 });
  await world.query(`INSERT INTO accounts (email) VALUES ('since@example.test')`);
  const { kept } = await undo(wish, { blockedMs: 20_000 });
  assert.deepEqual(await undo(wish, { blockedMs: 20_000 }), { kept }, 'a second time changes nothing');
  const [bad] = await world.query(`SELECT count(*)::int AS count FROM accounts WHERE region = 'eu'`);
  assert.deepEqual(bad, { count: 301 });
  const since = `SELECT email FROM accounts WHERE email LIKE 'since%'`;
  assert.deepEqual(await world.query(since), []);
  assert.deepEqual(await world.query(since, kept), [{ email: 'since@example.test' }]);
  const names = await cluster.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database WHERE datname LIKE 'undone%' ORDER BY 1`,
  );
  assert.deepEqual(
    names.map(({ name }) => name),
    [world.database, kept].sort(),
  );
  assert.notEqual(kept, done.kept);
});
