import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { until, type World } from '../support/world.ts';
import { flat, givenTwoReleases, requireExit, requireServed, untilStep } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** One byte of this entry, as a disk or a hand would change it. */
function damage(world: World, run: number, seq: number): void {
  const database = new DatabaseSync(join(world.stateFolder(), 'state.db'), { timeout: 5000 });
  try {
    const { changes } = database
      .prepare(`update journal set entry = replace(entry, '"type"', '"tyPe"') where run = ? and seq = ?`)
      .run(run, seq);
    assert.equal(Number(changes), 1);
  } finally {
    database.close();
  }
}

interface Evidence {
  readonly last: number;
  readonly journal: readonly { readonly seq: number; readonly entry: string }[];
}

/** The one copy that was put aside of this run. */
function evidenceOf(folder: string, run: number): Evidence {
  const [name, ...others] = readdirSync(folder).filter((file) => file.startsWith(`run-${run}-`));
  assert.deepEqual(others, []);
  const file = join(folder, name ?? 'none');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { journal } = JSON.parse(readFileSync(file, 'utf8')) as Pick<Evidence, 'journal'>;
  return { journal, last: journal.at(-1)?.seq ?? 0 };
}

it('control 10: a run with a damaged journal is not continued, and a rollback still gets back', async (context) => {
  // Given a rollback that waits, its process killed, its journal changed, and that of the bad release too
  const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
  const first = world.start(['rollback', '--yes']);
  await untilStep(world, 3, 'unship.approval', 'applying');
  first.child.kill('SIGKILL');
  await first.ended;
  damage(world, 3, 2);
  damage(world, 2, 2);
  // When it is to go on
  const resumed = await world.run(['resume', '3']);
  // Then it is refused with what to do, the run is kept as it is, and nothing was switched
  requireExit(resumed, 5, 'journal-corrupt');
  assert.match(flat(resumed), /unship rollback/);
  await requireServed(world, 'r2', 'v2');
  // And what was stored of it lies aside, and is told with what to do
  const corrupt = join(world.stateFolder(), 'corrupt');
  const [status, doctor] = [await world.run(['status']), await world.run(['doctor'])];
  requireExit(status, 0);
  assert.match(flat(status), /the journal of run 3 is damaged.*the journal of run 2 is damaged/);
  assert.match(flat(status), /Next: unship rollback \(run 3 can't be continued\)/);
  requireExit(doctor, 1);
  assert.match(flat(doctor), /FAIL journal of run 3: .* fix: unship rollback/);
  assert.match(flat(doctor), /warn journal of run 2: /);
  assert.equal(evidenceOf(corrupt, 3).journal.length, evidenceOf(corrupt, 3).last);
  assert.match(evidenceOf(corrupt, 3).journal[1]?.entry ?? '', /"tyPe"/);
  assert.equal(statSync(corrupt).mode & 0o777, 0o700);
  // And a new plan, made from the facts, gets back
  const second = world.start(['rollback', '--yes']);
  assert.ok(await until(() => world.runs().length === 4, 20_000));
  await untilStep(world, 4, 'unship.approval', 'applying');
  requireExit(await world.run(['approve', '4', '--yes']), 0);
  requireExit(await second.ended, 0);
  await requireServed(world, 'r1', 'v1');
  // And it is told
  const draft = readFileSync(join(world.stateFolder(), 'incidents', 'incident-1.md'), 'utf8');
  assert.match(draft, /r2 rolled back to r1/);
  assert.equal(world.runs().find(({ id }) => id === 3)?.status, 'superseded');
});
