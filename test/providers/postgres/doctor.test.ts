import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { adviceFrom, type DoctorFacts } from '../../../src/providers/postgres/doctor.ts';
import { createPostgres } from '../../../src/providers/postgres/index.ts';
import { PostgresCluster } from '../../support/postgres-cluster.ts';
import { contextOf, environmentIn } from '../sqlite/world.ts';
import { makeWorld, prepareRole } from './world.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.start();
  await prepareRole(cluster);
});
after(async () => await cluster[Symbol.asyncDispose]());

const all: DoctorFacts = {
  ...{ database: 'vault', role: 'app', serverVersion: 150_018, walLevel: 'replica', maintenance: 'postgres' },
  ...{ isSuperuser: false, canCreateDatabases: true, canReplicate: false, ownsDatabase: true },
  ...{ canCreateSchemas: true, canUseTemporary: true, canSignal: true, unreadable: [], unowned: [] },
  programs: [{ major: 15, version: '15.19', folder: '/x' }],
};

describe('what is missing', () => {
  it('nothing, where every right is there', () => {
    assert.deepEqual(adviceFrom(all), {
      missing: [],
      warnings: [],
      strategies: ['keep-schema', 'migrate-down', 'restore'],
    });
  });

  const cases: readonly (readonly [Partial<DoctorFacts>, mend: string, strategies: number])[] = [
    [{ canCreateDatabases: false }, 'ALTER ROLE "app" CREATEDB;', 2],
    [{ canSignal: false }, 'GRANT pg_signal_backend TO "app";', 2],
    [{ ownsDatabase: false }, 'ALTER DATABASE "vault" OWNER TO "app";', 2],
    [{ canCreateSchemas: false }, 'GRANT CREATE ON DATABASE "vault" TO "app";', 1],
    [{ canUseTemporary: false }, 'GRANT TEMPORARY ON DATABASE "vault" TO "app";', 1],
    [{ unreadable: ['public.keys'] }, 'GRANT SELECT ON public.keys TO "app";', 2],
    [{ unowned: ['public.keys'] }, 'ALTER TABLE public.keys OWNER TO "app";', 1],
    [{ programs: [] }, 'apt-get install postgresql-client-15', 2],
    [
      { programs: [{ major: 14, version: '14.24', folder: '/x' }] },
      'apt-get install postgresql-client-15',
      2,
    ],
    [{ serverVersion: 130_000 }, 'upgrade the server', 1],
    [{ maintenance: 'vault' }, "postgres({ …, maintenance: 'postgres' })", 2],
  ];
  for (const [change, mend, strategies] of cases) {
    it(`${Object.keys(change)}: ${mend}`, () => {
      const advice = adviceFrom({ ...all, ...change });
      assert.deepEqual(
        advice.missing.map((one) => one.mend),
        [mend],
      );
      assert.equal(advice.strategies.length, strategies);
    });
  }

  it('control 24: client programs that write commands of psql into dumps are told', () => {
    const old = adviceFrom({ ...all, programs: [{ major: 15, version: '15.18', folder: '/x' }] });
    assert.match(old.warnings[0]?.what ?? '', /15\.18 .*15\.19/);
    assert.deepEqual(adviceFrom({ ...all, isSuperuser: true }).warnings.length, 1);
  });
});

it('on a real server, each statement that is named gives the right, until none is missing', async () => {
  await using world = await makeWorld(cluster);
  await cluster.query('CREATE ROLE poor LOGIN');
  await cluster.query(
    `CREATE TABLE keys (id serial PRIMARY KEY); REVOKE TEMPORARY ON DATABASE ${world.database} FROM PUBLIC`,
    world.database,
  );
  const { port } = createPostgres(
    { url: cluster.url(world.database, 'poor') },
    environmentIn(world.root, world.commits.source()),
  );
  const failing = async () =>
    ((await port.problems?.(contextOf('look'))) ?? []).filter((problem) => problem.level === 'FAIL');
  const found = await failing();
  assert.equal(found.length, 8, JSON.stringify(found));
  const facts = await port.observe(contextOf('look'), { releases: [], countRisk: false }).catch(() => null);
  assert.equal(facts?.capabilities.restore ?? false, false);
  for (const { fix } of found) await cluster.query(fix, world.database);
  assert.deepEqual(await failing(), []);
});
