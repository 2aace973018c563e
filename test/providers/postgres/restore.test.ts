import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { createPostgres } from '../../../src/providers/postgres/index.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { contextOf, environmentIn } from '../sqlite/world.ts';
import { makeWorld, type PostgresWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start({ max_connections: 100 });
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

const isSlug =
  (slug: string, text = /./) =>
  (error: unknown) =>
    isUnshipError(error) && error.slug === slug && text.test(error.details.happened);

async function given(sql: string): Promise<{ readonly world: PostgresWorld; readonly backup: string }> {
  const world = await makeWorld(cluster);
  const commit = world.commit({ '1_first.sql': `-- migrate:up\n${sql}\n` });
  await world.port.migrateUp(contextOf('first'), { release: 'r1', commit, versions: ['1'] });
  const backup = await world.port.backup(contextOf('backup'), 'r2');
  return { world, backup: backup.id };
}

/** Writes one row after the other, and comes again when its session is ended: what was acknowledged, by number. */
async function writer(
  world: PostgresWorld,
  name: string,
  until: AbortSignal,
  acknowledged: Set<string>,
): Promise<number> {
  let longest = 0;
  for (let n = 0; !until.aborted; n += 1) {
    const begun = performance.now();
    for (let client: pg.Client | undefined; client === undefined && !until.aborted; ) {
      client = await cluster.connect(world.database, 'app').catch(() => undefined);
      if (client === undefined) await sleep(10);
      try {
        await client?.query('insert into notes (body) values ($1)', [`${name}-${n}`]);
        if (client !== undefined) acknowledged.add(`${name}-${n}`);
      } catch {
        // Nobody said that it is kept.
      } finally {
        await client?.end().catch(() => {});
      }
    }
    longest = Math.max(longest, performance.now() - begun);
  }
  return longest;
}

describe('restoring beside the live database', { concurrency: 2 }, () => {
  it('while people write: what was acknowledged is in the live database or in the kept one, and counted', async () => {
    const { world, backup } = await given(
      'create table notes (id bigint generated always as identity primary key, body text not null);',
    );
    await using _ = world;
    const ended = new AbortController();
    const acknowledged = new Set<string>();
    const writers = ['a', 'b', 'c'].map((name) => writer(world, name, ended.signal, acknowledged));
    await sleep(300);
    await assert.rejects(
      world.port.restore(contextOf('refused'), { backup, maximumRowsLost: 0 }),
      isSlug('loss-exceeds-consent'),
    );
    const result = await world.port.restore(contextOf('restore'), { backup, maximumRowsLost: 1_000_000 });
    await sleep(300);
    ended.abort();
    await Promise.all(writers);
    const bodies = async (database: string): Promise<readonly string[]> =>
      (await cluster.query<{ body: string }>('select body from notes', database)).map(({ body }) => body);
    const [kept] = await cluster.query<{ name: string }>(
      `select datname::text as name from pg_database where starts_with(datname::text, '${world.database}_unship_kept_')`,
    );
    const [live, before] = await Promise.all([bodies(world.database), bodies(kept?.name ?? '')]);
    const all = new Set([...live, ...before]);
    assert.deepEqual(
      [...acknowledged].filter((body) => !all.has(body)),
      [],
    );
    assert.ok(live.length > 0 && before.length > 0, 'both have been written to');
    assert.equal(result.rowsLost, before.length, 'what is only in the kept database is what was counted');
    await world.port.verifyBackup(contextOf('verify'), result.safetyBackup);
  });

  it('settings, rights and the order of texts of the database come along; another kept one goes', async () => {
    const { world, backup } = await given('create table notes (id int primary key);');
    await using _ = world;
    await cluster.query(`ALTER DATABASE ${world.database} SET search_path TO public, app;
      ALTER DATABASE ${world.database} SET statement_timeout TO '77s'; REVOKE CONNECT ON DATABASE ${world.database} FROM PUBLIC`);
    const look = `select datcollate, encoding, datacl::text, pg_get_userbyid(datdba) as owner,
      (select setconfig::text from pg_db_role_setting s where s.setdatabase = d.oid) as settings from pg_database d where datname = '${world.database}'`;
    const before = await cluster.query(look);
    for (const key of ['one', 'two'])
      await world.port.restore(contextOf(key), { backup, maximumRowsLost: 0 });
    const normal = (rows: readonly pg.QueryResultRow[]) =>
      rows.map((row) => ({ ...row, datacl: String(row.datacl).replaceAll(/[{}]/g, '').split(',').sort() }));
    assert.deepEqual(normal(await cluster.query(look)), normal(before));
    const beside = await cluster.query(
      `select 1 from pg_database where starts_with(datname::text, '${world.database}_')`,
    );
    assert.equal(beside.length, 1);
  });

  it('prepared transactions that nobody has ended stand in the way, and are named', async () => {
    await using own = await PostgresCluster.start({ max_prepared_transactions: 2 });
    await prepareRole(own);
    await using world = await makeWorld(own);
    const commit = world.commit({
      '1_first.sql': '-- migrate:up\ncreate table notes (id int primary key);\n',
    });
    await world.port.migrateUp(contextOf('first'), { release: 'r1', commit, versions: ['1'] });
    const backup = await world.port.backup(contextOf('backup'), 'r2');
    await world.write(`create table other (id int)`);
    await own.query(
      `begin; select count(*) from pg_class; create temp table x (id int); commit`,
      world.database,
    );
    const client = await own.connect(world.database);
    await client.query('begin');
    await client.query('select txid_current()');
    await client.query(`prepare transaction 'left'`);
    await client.end();
    await assert.rejects(
      world.port.restore(contextOf('restore'), { backup: backup.id, maximumRowsLost: 0 }),
      isSlug('database-locked', /1 prepared transactions/),
    );
    assert.deepEqual(await world.read('select count(*)::int as n from other'), [{ n: 0 }]);
    await own.query(`rollback prepared 'left'`, world.database);
  });
});

describe('backups', { concurrency: 2 }, () => {
  it('control 25: they are private, and a flipped or missing byte in any file refuses them', async () => {
    const { world, backup } = await given(
      `create table notes (id int primary key, body text); insert into notes select n, repeat('x', n) from generate_series(1, 50) n;`,
    );
    await using _ = world;
    const folder = join(world.root, 'state', 'backups', `${backup}.dump`);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    const names = readdirSync(folder);
    assert.ok(names.length >= 2, `${names}`);
    for (const name of names) {
      const file = join(folder, name);
      assert.equal(statSync(file).mode & 0o777, 0o600, name);
      const whole = readFileSync(file);
      const flipped = Buffer.from(whole);
      flipped[Math.floor(whole.length / 2)] = (flipped[Math.floor(whole.length / 2)] ?? 0) ^ 1;
      for (const damaged of [flipped, whole.subarray(0, -1)]) {
        writeFileSync(file, damaged);
        const restore = world.port.restore(contextOf('x'), { backup, maximumRowsLost: 0 });
        await assert.rejects(restore, isSlug('backup-invalid'), name);
      }
      writeFileSync(file, whole);
    }
    await world.port.verifyBackup(contextOf('v'), backup);
  });

  it('control 25: the newest is restored as a test once a week, beside the live database', async () => {
    const { world, backup } = await given('create table notes (id int primary key);');
    await using _ = world;
    const proof = await world.port.proveRestore(contextOf('p'));
    assert.deepEqual([proof?.backup, proof?.failed, proof?.from], [backup, null, 'local']);
    assert.deepEqual(await world.port.restoreProof(), proof);
    assert.equal(await world.port.proveRestore(contextOf('p')), null, 'it is not due again');
    const beside = await cluster.query(
      `select 1 from pg_database where starts_with(datname::text, '${world.database}_')`,
    );
    assert.deepEqual(beside, []);
  });

  it('control 24: what a dump carries is never read by psql: a hostile comment runs nothing', async () => {
    const proof = join(cluster.folder, 'proof');
    const { world, backup } = await given(
      `create table notes (id int primary key); comment on table notes is E'x\\n\\\\! touch ${proof}\\n'; create table "a\n\\! touch ${proof}" (id int);`,
    );
    await using _ = world;
    await world.port.restore(contextOf('restore'), { backup, maximumRowsLost: 0 });
    assert.throws(() => statSync(proof), { code: 'ENOENT' });
    assert.deepEqual(
      await world.read(`select count(*)::int as n from pg_class where relname like 'a%touch%'`),
      [{ n: 1 }],
    );
  });

  it('control 8: the password is in no argument of a program, and in no error', async () => {
    await using world = await makeWorld(cluster);
    const password = 'canary/with+signs%';
    const url = world.url.replace('app@', `app:${encodeURIComponent(password)}@`);
    const seen = new Set<string>();
    const ended = new AbortController();
    const watch = (async () => {
      while (!ended.signal.aborted) {
        for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
          try {
            const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
            if (/pg_(dump|restore)/.test(line)) seen.add(line);
          } catch {
            // It has ended meanwhile.
          }
        }
        await sleep(5);
      }
    })();
    const { port } = createPostgres({ url }, environmentIn(world.root, world.commits.source()));
    const backup = await port.backup(contextOf('backup'), 'r1');
    await port.restore(contextOf('restore'), { backup: backup.id, maximumRowsLost: 0 });
    ended.abort();
    await watch;
    assert.ok(seen.size > 0, 'it was looked while they ran');
    for (const line of seen)
      for (const form of [password, encodeURIComponent(password)]) assert.ok(!line.includes(form));
    const away = createPostgres(
      { url: url.replace(`:${cluster.port}`, ':1') },
      environmentIn(world.root, world.commits.source()),
    );
    await assert.rejects(away.port.backup(contextOf('x'), 'r9'), (error) => {
      assert.ok(isUnshipError(error) && error.slug === 'database-unreachable');
      assert.ok(!JSON.stringify(error.details).includes('canary'));
      return true;
    });
  });
});
