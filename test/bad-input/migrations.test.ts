import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { givenGoodRelease } from '../e2e/given.ts';
import { badMigration, firstMigration } from '../support/application-fixture.ts';
import { buildProgram, type Program } from '../support/program.ts';
import type { World } from '../support/world.ts';
import { adding, picture, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const writesE = "-- migrate:up\nupdate entries set body = 'caf\u00e9';\n-- migrate:down\nselect 1;\n";

/** What stands in `0002_x.sql` (and in `0002_y.sql`), and what is said of it. */
const unreadable: readonly (readonly [
  what: string,
  files: readonly (string | Buffer)[],
  exit: number,
  slug: string,
  told: RegExp,
])[] = [
  ['empty', [''], 2, 'migration-invalid', /0002_x\.sql: it has no line `-- migrate:up`/],
  ['without a statement', ['-- migrate:up\n-- migrate:down\n'], 3, 'no-down-migration', /0002_x/],
  ['there twice', [badMigration, badMigration], 2, 'migration-invalid', /0002_y: it has the same version/],
  [
    'Latin-1',
    [Buffer.from(writesE, 'latin1')],
    3,
    'not-utf8',
    /migrations\/0002_x\.sql at \w{7} is not UTF-8/,
  ],
  ['UTF-16', [Buffer.from(`\u{feff}${writesE}`, 'utf16le')], 3, 'not-utf8', /is UTF-16/],
  ['cut by a NUL', [badMigration.replace('update', '\0update')], 2, 'migration-invalid', /NUL/],
];

async function commitMigrations(world: World, version: string, files: object): Promise<void> {
  rmSync(join(world.repository, 'migrations'), { recursive: true, force: true });
  for (const [name, content] of Object.entries(files) as [string, string | Buffer][]) {
    world.write(join('migrations', name), '');
    writeFileSync(join(world.repository, 'migrations', name), content);
  }
  await world.commit({ version, column: 'mood' });
}

describe('migrations that are no good', () => {
  it('what can not be read as a migration is refused before anything is done', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const untouched = await picture(world);
    for (const [what, [x = '', y], exit, slug, told] of unreadable) {
      const files = { '0001_entries.sql': firstMigration, '0002_x.sql': x };
      await commitMigrations(world, what, y === undefined ? files : { ...files, '0002_y.sql': y });
      const error = requireTold(await world.run(['release', '--yes', '--json']), exit, slug);
      assert.match(error.happened, told, what);
      assert.deepEqual(await picture(world), untouched, what);
    }
    assert.equal(world.runs().length, 1);
    // A COMMIT in the middle is found when the migration is about to run, and the run is undone.
    const split = adding('feeling').replace('text;\n', "text;\ncommit;\nupdate entries set body = 'lost';\n");
    await commitMigrations(world, 'split', { '0001_entries.sql': firstMigration, '0002_x.sql': split });
    const error = requireTold(await world.run(['release', '--yes', '--json']), 1, 'migration-forbidden');
    assert.match(error.happened, /0002_x\.sql, line 3: .*: commit$/);
    assert.deepEqual(await picture(world), untouched);
    assert.equal(world.runs().at(-1)?.status, 'undone');
    // A byte order mark is none of the text.
    const marked = { '0001_entries.sql': firstMigration, '0002_x.sql': `\u{feff}${adding('feeling')}` };
    await commitMigrations(world, 'marked', marked);
    await world.expect(0, ['release', '--yes']);
    assert.ok(world.columns().includes('feeling TEXT'));
  });

  it('an applied migration is taken back as it was applied, whatever its file says by now', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const atFirst = { rows: world.rows(), columns: world.columns(), ledger: world.ledger() };
    await world.commit({ version: 'v2', column: 'mood', migrations: { '0002_x.sql': adding('feeling') } });
    await world.expect(0, ['release', '--yes']);
    // Given a later release whose file of it would do something else, and where the first one's is missing
    const changed = adding('feeling').replace(
      'alter table entries drop column feeling',
      'drop table entries',
    );
    await commitMigrations(world, 'v3', { '0002_x.sql': changed, '0003_y.sql': adding('colour') });
    await world.expect(0, ['release', '--yes']);
    assert.deepEqual(world.ledger(), ['0001', '0002', '0003']);
    // When both are taken back
    await world.expect(0, ['migrations', 'down', '0001', '--yes']);
    // Then only their columns are gone
    assert.deepEqual({ rows: world.rows(), columns: world.columns(), ledger: world.ledger() }, atFirst);
    assert.equal((await world.page()).status, 200);
  });
});
