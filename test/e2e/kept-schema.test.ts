import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import type { World } from '../support/world.ts';
import { givenGoodRelease, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const added = `-- migrate:up
alter table entries add column note text;

-- migrate:down
alter table entries drop column note;
`;

const later = `-- migrate:up
create table tags (id integer primary key);

-- migrate:down
drop table tags;
`;

/** `r2` added a column and was taken back; the schema stayed, because the code of `r1` runs on it. */
async function givenKeptSchema(context: TestContext): Promise<World> {
  const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
  await world.commit({ version: 'v2', column: 'mood', migrations: { '0002_note.sql': added } });
  await world.expect(0, ['release', '--yes']);
  await world.expect(0, ['rollback', '--yes']);
  assert.deepEqual(world.ledger(), ['0001', '0002']);
  await requireServed(world, 'r1', 'v1');
  return world;
}

describe('a schema that a rollback kept', { concurrency: 2 }, () => {
  it('belongs to the fix that is released on it: the way back to the fix does not go below', async (context) => {
    // Given a fix that reads the column that is there already
    const world = await givenKeptSchema(context);
    const bad = world.quarantined()[0] ?? '';
    const fix = await world.commit({ version: 'v3', column: 'note' });
    await world.expect(0, ['quarantine', 'lift', bad, '--fixed-by', fix, '--yes']);
    await world.expect(0, ['release', '--yes']);
    // When the release after it, which brings a migration, is taken back
    await world.commit({ version: 'v4', column: 'note', migrations: { '0003_tags.sql': later } });
    await world.expect(0, ['release', '--yes']);
    await world.expect(0, ['rollback', '--yes', '--strategy', 'migrate-down']);
    // Then the fix serves on the schema that it was released on
    await requireServed(world, 'r3', 'v3');
    assert.deepEqual(world.ledger(), ['0001', '0002']);
  });

  it('is recorded also with a release that leaves the database out', async (context) => {
    const world = await givenKeptSchema(context);
    const fix = await world.commit({ version: 'v3', column: 'note' });
    await world.expect(0, ['quarantine', 'lift', world.quarantined()[0] ?? '', '--fixed-by', fix, '--yes']);
    await world.expect(0, ['release', '--only', 'web', '--yes']);
    assert.equal(world.releases().at(-1)?.surfaces.database?.label, '0002');
  });
});
