import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Masker } from '../../src/cli/output/mask.ts';
import { isUnshipError, type UnshipError } from '../../src/domain/errors.ts';
import { inspectPostgres, isSameAddress, isSameDatabase } from '../../src/store/inspect-postgres.ts';
import { plainKeeping } from '../../src/store/keeping.ts';
import { openPostgresStore, stateSchema } from '../../src/store/open-postgres.ts';
import { PostgresSession } from '../../src/store/postgres-session.ts';
import { newestStateVersion } from '../../src/store/state-migrations.ts';
import { storeContract } from '../../src/testing/store-contract.ts';
import { contractPlan, slugged } from '../../src/testing/store-harness.ts';
import { sha256 } from '../support/arbitrary-facts.ts';
import { findLeak, formsOf } from '../support/leaks.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';
import { PostgresHarness } from './postgres-harness.ts';
import { begunRun, output, start } from './processes.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
});
after(async () => await cluster[Symbol.asyncDispose]());

storeContract('PostgreSQL', async () => new PostgresHarness(cluster));

const runtime = (): VirtualProcess['runtime'] => new VirtualProcess(new VirtualTime()).runtime;

async function refused(work: Promise<unknown>): Promise<UnshipError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(isUnshipError(error), String(error));
  return error;
}

describe('the shared state', () => {
  test('is synced on every commit whatever the role is set to, and no wait in it is endless', async () => {
    await cluster.query(`create role lax login superuser;
      alter role lax set synchronous_commit = off; alter role lax set default_transaction_read_only = on`);
    await using harness = new PostgresHarness(cluster);
    const url = new URL(cluster.url('postgres', 'lax'));
    url.searchParams.set('options', '-c synchronous_commit=off -c work_mem=5MB');
    const store = await harness.open(undefined, url.href);
    await begunRun(store, harness);
    const session = new PostgresSession(url.href, harness.schema);
    const wanted = {
      search_path: `"${harness.schema}"`,
      synchronous_commit: 'on',
      lock_timeout: '10s',
      statement_timeout: '15s',
      idle_in_transaction_session_timeout: '8s',
      work_mem: '5MB',
    };
    for (const [name, value] of Object.entries(wanted)) {
      const { rows } = await session.query(`select current_setting('${name}') as value`);
      assert.deepEqual(rows, [{ value }], name);
    }
    await session.close();
  });

  test('one that was opened and asked nothing leaves no session behind, nor does one that was asked', async () => {
    await using harness = new PostgresHarness(cluster);
    const wish = { url: cluster.url(), application: harness.application, environment: 'production' };
    const sessions = async (): Promise<number> =>
      (await cluster.query(`select 1 from pg_stat_activity where application_name = 'unship: state'`)).length;
    const before = await sessions();
    for (const isAsked of [false, true]) {
      const store = await openPostgresStore(wish, runtime());
      if (isAsked) await store.lastFence();
      assert.equal(await sessions(), before + 1);
      await store.close();
      for (let looks = 0; looks < 100 && (await sessions()) > before; looks += 1) await sleep(20);
      assert.equal(await sessions(), before);
    }
  });

  test('many processes that open a fresh one make it once', async () => {
    await using harness = new PostgresHarness(cluster);
    const ended = await Promise.all(Array.from({ length: 6 }, () => output(start('open', harness.target))));
    assert.deepEqual(
      ended.map(({ code, lines }) => [code, lines]),
      ended.map(() => [0, ['0']]),
    );
    const version = await harness.query('select * from state_version');
    assert.deepEqual(version, [{ version: newestStateVersion, readable_from: 1 }]);
  });

  test('two processes that append to one journal leave one chain', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    const write = ['append', harness.target, String(fence), String(run), '40'];
    const ended = await Promise.all([output(start(...write)), output(start(...write))]);
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0],
    );
    assert.equal((await store.journal(run)).length, 81);
  });

  test('a process killed while it writes leaves everything it was told was written', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { fence, run } = await begunRun(store, harness);
    for (let round = 0; round < 3; round += 1) {
      const writer = start('append', harness.target, String(fence), String(run), '100000');
      let told = 0;
      writer.stdout?.on('data', (chunk: Buffer) => {
        told = Math.max(told, ...chunk.toString().split('\n').slice(0, -1).map(Number));
        if (told > 10 * (round + 1)) writer.kill('SIGKILL');
      });
      await new Promise((resolve) => writer.once('close', resolve));
      const entries = await store.journal(run);
      assert.ok(told > 0 && entries.length >= told, `${entries.length} entries, ${told} were acknowledged`);
    }
  });

  test('applications and environments share a database and see nothing of each other', async () => {
    const digest = sha256;
    const long = 'a'.repeat(100);
    const names = [
      ['vault', 'production'],
      ['vault', 'staging'],
      ['a.b', 'c'],
      ['a', 'b.c'],
      [long, 'production'],
      [long, 'staging'],
    ] as const;
    const schemas = names.map(([application, environment]) => stateSchema(application, environment, digest));
    assert.equal(new Set(schemas).size, names.length, schemas.join());
    assert.ok(schemas.every((schema) => Buffer.byteLength(schema) <= 63));
    const stores = [];
    for (const [application, environment] of names) {
      const wish = { url: cluster.url(), application: `${application}`, environment };
      stores.push(await openPostgresStore({ ...wish, firstFence: stores.length }, runtime()));
    }
    assert.deepEqual(await Promise.all(stores.map((store) => store.lastFence())), [0, 1, 2, 3, 4, 5]);
    await begunRun(stores[0] as never, { now: () => 0 });
    assert.deepEqual(
      await Promise.all(stores.map(async (store) => (await store.runs(9)).length)),
      [1, 0, 0, 0, 0, 0],
    );
    for (const store of stores) await store.close();
  });

  test('fences of a state that was there before go on, wherever a new one would begin', async () => {
    await using harness = new PostgresHarness(cluster);
    const wish = { url: cluster.url(), application: harness.application, environment: 'production' };
    for (const firstFence of [500, 9_000]) {
      const store = await openPostgresStore({ ...wish, firstFence }, runtime());
      assert.equal(await store.lastFence(), 500);
      await store.close();
    }
  });

  test('one of a newer version is refused where older code could misread it, and used where it could not', async () => {
    await using harness = new PostgresHarness(cluster);
    await harness.open();
    await harness.query(`update state_version set version = ${newestStateVersion + 3}`);
    assert.equal(await (await harness.open()).lastFence(), 0, 'additive');
    await harness.query(`update state_version set readable_from = ${newestStateVersion + 1}`);
    await assert.rejects(harness.open(), slugged('state-version'));
  });

  test('text that PostgreSQL can not keep stays readable', async () => {
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open();
    const { id } = await store.openIncident({
      run: 1,
      release: null,
      openedAt: 1,
      draft: 'a\u0000b "\\ ü\u2028 \u{1f600}',
    });
    assert.equal((await store.incident(id))?.draft, 'a\u2400b "\\ ü\u2028 \u{1f600}');
  });

  test('control 10: what is put aside is all that is stored of a damaged run, as it stands there', async () => {
    await using harness = new PostgresHarness(cluster);
    const evidence: string[] = [];
    const store = await harness.open({
      ...plainKeeping,
      setAside: (run, text) => {
        evidence.push(text);
        return `corrupt/run-${run}.json`;
      },
    });
    const { fence, run } = await begunRun(store, harness);
    await store.append(fence, run, [{ type: 'note', text: 'a' }]);
    await harness.damage(run, 2, () => '{"broken');
    const error = await refused(store.journal(run));
    assert.equal(error.slug, 'journal-corrupt');
    assert.match(error.details.done ?? '', /copied to corrupt\/run-1\.json/);
    const kept = JSON.parse(evidence[0] ?? '');
    assert.equal(kept.run.plan, JSON.stringify(contractPlan));
    assert.deepEqual(
      kept.journal.map(({ seq }: { readonly seq: number }) => seq),
      [1, 2],
    );
    assert.equal(kept.journal[1].entry, '{"broken');
  });

  test('control 7: whatever is handed to the store, a secret is in none of its tables, in no form', async () => {
    const canary = 'canary-at-the-door/of+the?state';
    const masker = new Masker();
    masker.register([canary]);
    await using harness = new PostgresHarness(cluster);
    const store = await harness.open({ ...plainKeeping, mask: (text) => masker.mask(text) });
    const text = `it said ${formsOf(canary).slice(0, 4).join(' ')}`;
    const { fence, run } = await begunRun(store, harness);
    await store.append(fence, run, [
      { type: 'note', text },
      { type: 'step', step: 's', status: 'verified', attempt: 1, observed: text, output: { [text]: [text] } },
    ]);
    await store.quarantine(fence, { commit: 'c', release: 'r1', reason: text, since: 1 });
    await store.signal({ run, name: 'approval', payload: { by: text }, at: 1 });
    await store.openIncident({ run, release: 'r1', openedAt: 1, draft: text });
    let rows = 0;
    const tables = await harness.query(`select tablename from pg_tables where schemaname = $1`, [
      harness.schema,
    ]);
    for (const { tablename } of tables) {
      const content = await harness.query(`select * from "${harness.schema}"."${String(tablename)}"`);
      rows += content.length;
      assert.equal(findLeak(JSON.stringify(content), canary), undefined, String(tablename));
    }
    assert.ok(rows > 8, `${rows} rows`);
  });
});

describe('where the shared state can not be kept', () => {
  test('a role that lacks a right is told the statement that gives it, and that statement does', async () => {
    await cluster.query('create database team');
    await cluster.query(`create role keeper login; create role operator login;
      revoke all on database team from public; grant connect on database team to keeper, operator`);
    await cluster.query('revoke all on schema public from public', 'team');
    const wish = { application: 'vault', environment: 'production' };
    const open = async (user: string): Promise<void> =>
      await (await openPostgresStore({ ...wish, url: cluster.url('team', user) }, runtime())).close();
    const schemaMissing = await refused(open('keeper'));
    assert.equal(schemaMissing.slug, 'state-rights');
    const [statement = ''] = (schemaMissing.details.next ?? '').split(', as a role');
    assert.match(statement, /^CREATE SCHEMA "unship\/vault\/production" AUTHORIZATION "keeper"$/);
    await cluster.query(statement, 'team');
    await open('keeper');

    const rightsMissing = await refused(open('operator'));
    assert.equal(rightsMissing.slug, 'state-rights');
    assert.doesNotMatch(rightsMissing.message, /postgres:\/\//);
    const grants = (rightsMissing.details.next ?? '').split('; ').filter((part) => part.startsWith('GRANT'));
    assert.equal(grants.length, 2);
    await cluster.query(grants[0] ?? '', 'team');
    await cluster.query('GRANT SELECT ON ALL TABLES IN SCHEMA "unship/vault/production" TO operator', 'team');
    await open('operator');
    const url = cluster.url('team', 'operator');
    assert.deepEqual((await inspectPostgres({ ...wish, url }, sha256)).missing, grants);
    await cluster.query(grants[1] ?? '', 'team');
    const seen = await inspectPostgres({ ...wish, url }, sha256);
    assert.deepEqual([seen.missing, seen.owner], [[], 'keeper']);
    const store = await openPostgresStore({ ...wish, url }, runtime());
    await begunRun(store, { now: () => 0 });
    await store.close();
    const owners = await inspectPostgres({ ...wish, url: cluster.url('team', 'keeper') }, sha256);
    assert.equal(owners.owner, null);
  });

  test('a database in another encoding, an address that is none, a role that is not there', async () => {
    await cluster.query(`create database ascii encoding 'SQL_ASCII' template template0`);
    const open = async (url: string): Promise<UnshipError> =>
      await refused(openPostgresStore({ url, application: 'a', environment: 'b' }, runtime()));
    const encoding = await open(cluster.url('ascii'));
    assert.equal(encoding.slug, 'state-unsuitable');
    assert.match(encoding.details.happened, /SQL_ASCII/);
    for (const url of ['https://example.com/', 'a-secret-of-another-kind']) {
      const error = await open(url);
      assert.equal(error.slug, 'state-unsuitable');
      assert.ok(!JSON.stringify(error.details).includes(url));
    }
    const secret = cluster.url('postgres', 'nobody:hunter2hunter2');
    const begun = performance.now();
    const error = await open(secret);
    assert.equal(error.slug, 'state-unreachable');
    assert.match(error.details.happened, /nobody/);
    assert.doesNotMatch(`${error.message} ${JSON.stringify(error.details)}`, /hunter2/);
    assert.equal((await open(cluster.url('no-such-database'))).slug, 'state-unreachable');
    assert.ok(performance.now() - begun < 5_000, 'what will not change is told at once');
  });

  test('a database is known again under another address', async () => {
    await cluster.query('create database live');
    const live = cluster.url('live');
    const alias = live.replace('127.0.0.1', 'localhost');
    assert.equal(isSameAddress(live, alias), true);
    assert.equal(isSameAddress(live, cluster.url('postgres')), false);
    // An address that says nothing: the other loopback.
    const elsewhere = live.replace('127.0.0.1', '127.0.0.2');
    assert.equal(isSameAddress(live, elsewhere), false);
    await cluster.query('alter database live rename to renamed');
    await cluster.query('create role apart login');
    const renamed = cluster.url('renamed', 'apart');
    assert.equal(
      await isSameDatabase(cluster.url('renamed'), renamed.replace('127.0.0.1', 'localhost')),
      true,
    );
    assert.equal(await isSameDatabase(cluster.url('postgres'), renamed), false);
    assert.equal(await isSameDatabase(cluster.url('postgres'), live), false, 'one that is not there');
  });
});
