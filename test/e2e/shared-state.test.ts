import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { filesWith, findLeak } from '../support/leaks.ts';
import { PostgresCluster } from '../support/postgres-cluster.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { firstVersion, said, World } from '../support/world.ts';

const password = 'the-password-of-the-state';

let program: Program;
let cluster: PostgresCluster;

before(async () => {
  [program, cluster] = await Promise.all([buildProgram(), PostgresCluster.start()]);
});

after(async () => {
  await program[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const state = { provider: 'postgres', options: { url: { $secret: 'UNSHIP_STATE_URL' } } } as const;
let databases = 0;

/** An application whose history is in a database of its own. */
async function givenShared(
  context: TestContext,
): Promise<{ readonly world: World; readonly database: string }> {
  databases += 1;
  const database = `state_${databases}`;
  await cluster.query(`create database ${database}`);
  const url = cluster.url(database, `postgres:${password}`);
  const variables = { UNSHIP_STATE_URL: url };
  const world = await World.make(program, {
    surfaces: 'web-and-database',
    environment: { state },
    variables,
    // It looks into the file of the state.
    witness: false,
  });
  context.after(() => world.end());
  return { world, database };
}

const schema = '"unship/fixture/production"';

interface Listed {
  readonly id: number | string;
  readonly status?: string;
  readonly deployment?: string;
}

async function listed(world: World, what: 'runs' | 'releases', home = ''): Promise<readonly Listed[]> {
  const variables: { readonly [name: string]: string } =
    home === '' ? {} : { XDG_STATE_HOME: join(world.folder, home) };
  const ended = await world.run([what, '--json'], variables);
  assert.equal(ended.exit, 0, said(ended));
  return JSON.parse(ended.stdout)[what];
}

describe('a history that machines share', () => {
  it('leads forward and back like any other, over a restart of its server, and others see it', async (context) => {
    const { world, database } = await givenShared(context);
    await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    await world.commit({ ...firstVersion, version: 'two' });
    await world.expect(0, ['release', '--yes']);
    await cluster.stop();
    const away = await world.run(['rollback', '--yes']);
    assert.equal(away.exit, 1, said(away));
    assert.match(away.stderr, /state-unreachable/);
    assert.equal((await world.page()).version, 'two', 'nothing was done without the history');
    await cluster.begin();
    await world.expect(0, ['rollback', '--yes']);
    assert.equal((await world.page()).version, 'v1');
    const elsewhere = await listed(world, 'releases', 'another-home');
    assert.deepEqual(elsewhere, await listed(world, 'releases'));
    assert.deepEqual(
      elsewhere.map(({ id, deployment }) => [id, deployment]),
      [
        ['r2', 'rolled-back'],
        ['r1', 'live'],
      ],
    );
    const rows = await cluster.query(`select status from ${schema}.runs order by id`, database);
    assert.deepEqual(rows, [{ status: 'done' }, { status: 'done' }, { status: 'done' }]);
    assert.ok(!existsSync(join(world.stateFolder(), 'state.db')), 'no file of its own');
    assert.ok(
      existsSync(join(world.stateFolder(), 'surfaces', 'database', 'backups')),
      'backups stay on the host',
    );
    assert.deepEqual(filesWith(world.stateBase, password), []);
    const tables = ['runs', 'journal', 'releases', 'configurations', 'lease'];
    for (const table of tables) {
      const content = await cluster.query(`select * from ${schema}.${table}`, database);
      assert.equal(findLeak(JSON.stringify(content), password), undefined, table);
    }
  });

  it('doctor and config tell where it is', async (context) => {
    const { world } = await givenShared(context);
    await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    const doctor = await world.run(['doctor', '--json']);
    const row = JSON.parse(doctor.stdout).rows.find(
      ({ subject, level }: { subject: string; level: string }) => subject === 'state' && level === 'FAIL',
    );
    // These tests wait for no disk.
    assert.match(row.text, /^fsync is off/);
    const config = await world.expect(0, ['config']);
    assert.match(config.stdout, /State +postgres, at the address in UNSHIP_STATE_URL/);
    assert.ok(!config.stdout.includes(password) && !doctor.stdout.includes(password));
  });

  it('takes along what was in a file, as a whole and once, and is not opened without its address', async (context) => {
    const { world, database } = await givenShared(context);
    const own = world.environment('web-and-database');
    world.configure({ production: own });
    await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    await world.commit({ ...firstVersion, version: 'v2' });
    await world.expect(0, ['release', '--yes']);
    const before = world.readState((file) => file.prepare('select * from journal order by run, seq').all());
    world.configure({ production: { ...own, state } });
    const unset = await world.run(['status'], { UNSHIP_STATE_URL: '' });
    assert.equal(unset.exit, 2, said(unset));
    assert.match(unset.stderr, /UNSHIP_STATE_URL/);
    // Somebody else was there first, and has made it.
    assert.deepEqual(await listed(world, 'releases', 'another-home'), []);
    const looks = await Promise.all([1, 2, 3].map(async () => await listed(world, 'releases')));
    for (const seen of looks) {
      assert.deepEqual(
        seen.map(({ id, deployment }) => [id, deployment]),
        [
          ['r2', 'live'],
          ['r1', 'superseded'],
        ],
      );
    }
    const after = await cluster.query(`select * from ${schema}.journal order by run, seq`, database);
    assert.deepEqual(
      after.map((row) => ({ ...row, run: Number(row.run), seq: Number(row.seq), at: Number(row.at) })),
      before.map((row) => ({ ...row })),
    );
    await world.expect(0, ['rollback', '--yes']);
    assert.equal((await world.page()).version, 'v1');
    assert.equal((await listed(world, 'runs'))[0]?.id, 3, 'numbers go on');
    const doctor = await world.run(['doctor']);
    assert.match(doctor.stdout.replace(/\s+/g, ' '), /state.db is there too; its history was taken along/);
  });

  it('what is on another machine is left alone, until a person says that it has moved here', async (context) => {
    const { world, database } = await givenShared(context);
    await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    await world.commit({ ...firstVersion, version: 'v2' });
    await world.expect(0, ['release', '--yes']);
    const places = await cluster.query(
      `select surface, host from ${schema}.places order by surface`,
      database,
    );
    assert.deepEqual(places, [
      { surface: 'database', host: hostname() },
      { surface: 'web', host: hostname() },
    ]);
    await cluster.query(`update ${schema}.places set host = 'far'`, database);
    const runs = await listed(world, 'runs');
    for (const command of [
      ['rollback', '--yes'],
      ['serve', '--yes'],
    ]) {
      const refused = await world.run(command);
      assert.equal(refused.exit, 3, said(refused));
      assert.match(refused.stderr, /other-host/);
      assert.match(refused.stderr, /is on far; this is/);
    }
    assert.deepEqual(await listed(world, 'runs'), runs);
    assert.equal((await world.page()).version, 'v2');
    const doctor = await world.run(['doctor', '--json']);
    assert.match(doctor.stdout, /web is on far; this is/);
    await world.expect(0, ['rollback', '--yes', '--take-over']);
    assert.equal((await world.page()).version, 'v1');
    const moved = await cluster.query(`select distinct host from ${schema}.places`, database);
    assert.deepEqual(moved, [{ host: 'far' }, { host: hostname() }]);
  });

  it('a rollback that is killed anywhere is gone on with', async (context) => {
    const { world } = await givenShared(context);
    const good = await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    for (const point of [3, 11, 22]) {
      // What was rolled back stays in quarantine.
      await world.git('reset', '--quiet', '--hard', good);
      world.configure({ production: world.environment('web-and-database', { state }) });
      await world.commit({ ...firstVersion, version: `bad ${point}` });
      await world.expect(0, ['release', '--yes']);
      const killed = await world.run(['rollback', '--yes'], { UNSHIP_FAULTS: `kill:${point}` });
      assert.equal(killed.signal, 'SIGKILL', said(killed));
      const [newest] = await listed(world, 'runs');
      const again = newest?.status === 'running' ? ['resume', '--yes'] : ['rollback', '--yes'];
      const ended = await world.run(again);
      assert.ok(ended.exit === 0, `killed at ${point}: ${said(ended)}`);
      assert.equal((await world.page()).version, 'v1', `killed at ${point}`);
      const runs = await listed(world, 'runs');
      assert.equal(runs[0]?.status, 'done');
    }
  });
});

it('who keeps his history in a file loads nothing of PostgreSQL', async (context) => {
  const list = join(program.file, '..', '..', 'loaded.cjs');
  writeFileSync(
    list,
    `process.on('exit', () => require('node:fs').writeFileSync(process.env.LOADED, Object.keys(require.cache).join('\\n')));`,
  );
  const chunks = globSync(join(program.file, '..', '..', 'dist', '*.cjs')).filter((file) =>
    readFileSync(file, 'utf8').includes('SCRAM-SHA-256'),
  );
  assert.equal(chunks.length, 1, chunks.join());
  const { world } = await givenShared(context);
  const loaded = join(world.folder, 'loaded');
  const variables = { NODE_OPTIONS: `--require ${list}`, LOADED: loaded };
  const shared = await world.run(['releases'], variables);
  assert.equal(shared.exit, 0, said(shared));
  assert.ok(readFileSync(loaded, 'utf8').includes(chunks[0] ?? ''), 'a shared one does');
  world.configure({ production: world.environment('web-and-database') });
  const own = await world.run(['plan'], variables);
  assert.equal(own.exit, 3, said(own));
  const files = readFileSync(loaded, 'utf8').split('\n');
  assert.ok(files.length > 1);
  assert.deepEqual(
    files.filter((file) => /postgres|shared-state/.test(file) || chunks.includes(file)),
    [],
  );
});
