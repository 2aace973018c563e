import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { destructive, flat, givenGoodRelease, requireExit, requireServed, untilStep } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const restoreOnly = `-- unship: restore-only
-- migrate:up
alter table entries add column feeling text not null default 'unknown';
update entries set body = upper(body);
alter table entries drop column mood;

-- migrate:down
`;

const brokenHalfWay = `-- migrate:up
update entries set body = upper(body);
alter table entries drop column mood;
alter table entries ad column feeling text;

-- migrate:down
alter table entries add column mood text not null default 'none';
`;

describe('data', { concurrency: 2 }, () => {
  it('restore-only: refused without consent, the rows are named, and exactly those are lost', async (context) => {
    // Given data written before and after a migration that has no way down
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const before = world.rows();
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': restoreOnly } });
    await world.expect(0, ['release', '--yes']);
    await world.page(world.port, 'POST');
    // When somebody wants back
    requireExit(await world.run(['rollback', '--yes']), 3, 'consent-missing');
    const shown = await world.expect(0, ['plan', '--json']);
    const plan = JSON.parse(shown.stdout) as { hash: string; rowsLost: number; options: object[] };
    assert.equal(plan.rowsLost, 1);
    assert.match((await world.expect(0, ['plan'])).stdout, /LOSES 1\n +lost: entries 1\n/);
    // And more is written than was shown, the consent does not cover it, however often it is repeated
    await world.page(world.port, 'POST');
    const consent = ['rollback', '--yes', `--accept-data-loss=${plan.hash}`];
    requireExit(await world.run(consent), 3, 'loss-exceeds-consent');
    requireExit(await world.run(consent), 3, 'loss-exceeds-consent');
    await requireServed(world, 'r2', 'v2');
    assert.equal(world.rows().length, 3);
    // Then, with what is lost shown anew, exactly that is lost
    const renewed = JSON.parse((await world.expect(0, ['plan', '--json'])).stdout) as typeof plan;
    assert.equal(renewed.rowsLost, 2);
    const back = await world.run(['rollback', '--yes', `--accept-data-loss=${renewed.hash}`, '--json']);
    requireExit(back, 0);
    assert.equal((JSON.parse(back.stdout) as { data: { lost: number } }).data.lost, 2);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(world.rows(), before);
    assert.deepEqual(world.ledger(), ['0001']);
  });

  it('a release cancelled after code and schema changed together goes back without a failing request', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const before = world.rows();
    const watched = world.environment('web-and-database', { guard: { bake: '60s', every: '100ms' } });
    world.configure({ production: watched });
    await world.commit(destructive);
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'unship.watch', 'applying');
    // When people go on using it while it is taken back
    const ended = new AbortController();
    const statuses: number[] = [];
    const use = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        statuses.push((await world.page(world.port, 'POST')).status);
      }
    };
    const users = Promise.all([use(), use()]);
    await world.expect(0, ['cancel', '2', '--yes']);
    ended.abort();
    await users;
    requireExit(await release.ended, 1, 'cancelled');
    // Then nobody has met code on a schema that it does not run on
    assert.deepEqual([...new Set(statuses)], [200]);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(world.ledger(), ['0001']);
    assert.deepEqual(world.rows().slice(0, 1), before);
    assert.equal(world.rows().length, 1 + statuses.length);
  });

  it('a migration that fails half-way: the release is undone, and nothing is lost', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const before = { rows: world.rows(), columns: world.columns(), ledger: world.ledger() };
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': brokenHalfWay } });
    const release = await world.run(['release', '--yes']);
    requireExit(release, 1, 'migration-failed');
    assert.deepEqual({ rows: world.rows(), columns: world.columns(), ledger: world.ledger() }, before);
    await requireServed(world, 'r1', 'v1');
    assert.equal((await world.page(world.port, 'POST')).status, 200, 'writes are still held back');
    assert.deepEqual(
      world.releases().map(({ deployment }) => deployment),
      ['live', 'rolled-back'],
    );
  });

  it('a down migration that does not run ends that way back only: restore is offered and goes through', async (context) => {
    // Given a release whose down names a column that does not exist
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const before = world.rows();
    const migration = destructive.migrations?.['0002_bad.sql']?.replace(
      'drop column feeling',
      'drop column broken',
    );
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': migration ?? '' } });
    await world.expect(0, ['release', '--yes']);
    await world.page(world.port, 'POST');
    // When somebody looks for a way back
    const shown = await world.expect(0, ['plan', '--json']);
    const plan = JSON.parse(shown.stdout) as {
      readonly hash: string;
      readonly options: readonly { strategy: string; verdict: string; reason: string }[];
    };
    const verdicts = new Map(plan.options.map(({ strategy, verdict }) => [strategy, verdict]));
    assert.equal(verdicts.get('migrate-down'), 'impossible');
    assert.equal(verdicts.get('restore'), 'chosen');
    const down = plan.options.find(({ strategy }) => strategy === 'migrate-down');
    assert.match(down?.reason ?? '', /0002_bad\.sql, line \d+: .*broken/);
    requireExit(await world.run(['rollback', '--yes']), 3, 'consent-missing');
    await requireServed(world, 'r2', 'v2');
    assert.match(flat(await world.expect(0, ['explain', 'migration-failed'])), /--strategy restore/);
    // Then, with consent, it goes through
    await world.expect(0, ['rollback', '--yes', `--accept-data-loss=${plan.hash}`]);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(world.rows(), before);
  });

  it('a migration without a way down is refused before anything is touched', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    const migration = '-- migrate:up\nalter table entries drop column mood;\n\n-- migrate:down\n';
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': migration } });
    requireExit(await world.run(['release', '--yes']), 3, 'no-down-migration');
    assert.equal(world.runs().length, 1);
    await requireServed(world, 'r1', 'v1');
  });

  it('a rehearsal finds what would not come back, and nothing live has changed', async (context) => {
    const { world } = await givenGoodRelease(context, program, {
      surfaces: 'web-and-database',
      environment: { rehearsal: 'required' },
    });
    // The down migration forgets a column.
    const forgetful = destructive.migrations?.['0002_bad.sql']?.replace(
      'alter table entries drop column feeling;\n',
      '',
    );
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': forgetful ?? '' } });
    const release = await world.run(['release', '--yes']);
    requireExit(release, 3, 'rehearsal-failed');
    const what =
      /the schema of database is not what it was before the release: entries\.feeling \(TEXT NOT NULL DEFAULT 'unknown'\) was not there before/;
    assert.match(flat(release), what);
    assert.deepEqual(world.ledger(), ['0001']);
    await requireServed(world, 'r1', 'v1');
    // With the whole way back it goes out.
    await world.commit(destructive);
    requireExit(await world.run(['release', '--yes']), 0);
    await requireServed(world, 'r2', 'v2');
  });
});
