import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { destructive, givenGoodRelease, requireServed } from '../e2e/given.ts';
import { badMigration } from '../support/application-fixture.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { type Ended, said, type World } from '../support/world.ts';
import { adding, picture, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const tenDays = 864_000_000;
const hour = 3_600_000;

/** It is done, and says a time that it can have taken. */
function requireDone(ended: Ended): void {
  assert.equal(ended.exit, 0, said(ended));
  const { status, ms } = JSON.parse(ended.stdout) as { readonly status: string; readonly ms: number };
  assert.equal(status, 'done', said(ended));
  assert.ok(ms >= 0 && ms < 120_000, `it says that it took ${ms} ms`);
  assert.doesNotMatch(ended.stderr, /-\d+ (ms|s|min|h)\b/);
}

async function withClock(world: World, args: readonly string[], clock: string): Promise<void> {
  requireDone(await world.run([...args, '--yes', '--json'], { UNSHIP_FAULTS: `clock:${clock}` }));
}

const restoreOnly = `-- unship: restore-only
${badMigration.slice(0, badMigration.indexOf('-- migrate:down'))}`;

describe('a clock that jumps', { concurrency: 2 }, () => {
  it('between commands changes no order: the newest backup is the one that was taken last', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    await withClock(world, ['release'], `${tenDays}`);
    // Given a write after that, and a clock that is right again
    await world.page(world.port, 'POST');
    const before = world.rows();
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': restoreOnly } });
    await withClock(world, ['release'], `${-tenDays}`);
    // Then a restore brings back what was there just before it, not what the clock calls the newest
    await withClock(world, ['rollback'], `${-hour}`);
    assert.deepEqual(world.rows(), before);
    await requireServed(world, 'r2', 'v1');
    await withClock(world, ['undo'], `${hour}`);
    await requireServed(world, 'r3', 'v2');
    assert.deepEqual(
      world.releases().map(({ id, deployment }) => `${id} ${deployment}`),
      ['r1 superseded', 'r2 superseded', 'r3 live'],
    );
    for (const words of [['status'], ['runs'], ['releases'], ['backups'], ['doctor'], ['show', '4']]) {
      const shown = await world.run(words, { UNSHIP_FAULTS: `clock:${-tenDays}` });
      assert.equal(shown.exit, 0, said(shown));
      assert.doesNotMatch(shown.stdout, /(^|\s)-\d/m, words.join(' '));
    }
  });

  it('between commands deletes no backup but the oldest', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    const backups = async (words: readonly string[], clock: number): Promise<readonly string[]> => {
      const ended = await world.run([...words, '--json'], { UNSHIP_FAULTS: `clock:${clock}` });
      assert.equal(ended.exit, 0, said(ended));
      const listed = JSON.parse(ended.stdout) as { readonly backups: readonly { readonly id: string }[] };
      return listed.backups.map(({ id }) => id);
    };
    const taken: string[] = [];
    for (const clock of [tenDays, 0, -tenDays, -hour, hour, 0]) {
      await world.page(world.port, 'POST');
      const known = await backups(['backups'], 0);
      const made = (await backups(['backup', '--yes'], clock)).filter((id) => !known.includes(id));
      taken.push(...made);
    }
    assert.equal(new Set(taken).size, 6);
    // The world keeps three besides the newest of each schema.
    assert.deepEqual((await backups(['backups'], 0)).slice(0, 4), taken.toReversed().slice(0, 4));
  });

  for (const jump of [tenDays, -tenDays, 11_000, -11_000]) {
    it(`during a command by ${jump} ms: it ends as it would have`, async (context) => {
      const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
      await world.page(world.port, 'POST');
      const { served: _, ...data } = await picture(world);
      for (const [round, point] of [2, 12, 24].entries()) {
        await world.git('checkout', '--quiet', '--detach', world.releases()[0]?.commit ?? '');
        await world.commit({ ...destructive, version: `v${round + 2}` });
        await withClock(world, ['release'], `${jump}@${point}`);
        await withClock(world, ['rollback'], `${jump}@${point}`);
        await requireServed(world, 'r1', 'v1');
        const { served: __, ...later } = await picture(world);
        assert.deepEqual(later, data);
      }
      assert.ok(world.runs().every(({ status }) => status === 'done'));
    });
  }

  it('and that is wrong by days gives nobody a lease for days: what was killed is gone on with at once', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.commit({ version: 'v2', column: 'mood', migrations: { '0002_x.sql': adding('feeling') } });
    const killed = await world.run(['release', '--yes'], { UNSHIP_FAULTS: `clock:${tenDays},kill:14` });
    assert.equal(killed.signal, 'SIGKILL');
    const other = requireTold(await world.run(['release', '--yes', '--json']), 4, 'unfinished-run');
    assert.match(other.next ?? '', /unship resume 2, or unship cancel 2/);
    requireDone(await world.run(['resume', '2', '--json'], { UNSHIP_FAULTS: `clock:${-hour}` }));
    await requireServed(world, 'r2', 'v2');
  });
});
