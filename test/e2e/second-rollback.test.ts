import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { destructive, givenGoodRelease, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

it('a rollback that takes over from a blocked one tells in its incident what both did', async (context) => {
  // Given a rollback that has taken the schema back and could not start the old code
  const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
  await world.commit(destructive);
  await world.expect(0, ['release', '--yes']);
  await world.page(world.port, 'POST');
  const environment = world.environment('web-and-database');
  const broken = world.webSurface(world.port, { start: [process.execPath, '-e', 'process.exit(7)'] });
  const surfaces = { ...environment.surfaces, web: broken };
  world.configure({ production: { ...environment, surfaces } });
  requireExit(await world.run(['rollback', '--yes', '-m', 'names shout']), 1, 'blocked');
  assert.deepEqual(world.ledger(), ['0001']);
  // When the next one gets through
  world.configure({ production: environment });
  await world.expect(0, ['rollback', '--yes']);
  await requireServed(world, 'r1', 'v1');
  // Then the incident does not say that the database was left alone
  const { stdout } = await world.expect(0, ['incident', 'show', '2']);
  assert.doesNotMatch(stdout, /database unchanged/);
  assert.match(stdout, /In short: \d+ rows? kept, 1 archived, 0 lost/);
  assert.match(stdout, /Archived rows lie in \S+;/);
  assert.match(stdout, /Reason given: names shout$/m);
});
