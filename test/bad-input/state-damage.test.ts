import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { destructive, givenGoodRelease, requireServed } from '../e2e/given.ts';
import { badMigration } from '../support/application-fixture.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { said, type World } from '../support/world.ts';
import { picture, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

function changeState(world: World, sql: string): void {
  const database = new DatabaseSync(join(world.stateFolder(), 'state.db'), { timeout: 5000 });
  database.exec(sql);
  database.close();
}

const restoreOnly = `-- unship: restore-only
${badMigration.slice(0, badMigration.indexOf('-- migrate:down'))}`;

describe('what unship keeps, damaged', () => {
  it('an altered journal: its run is not continued, and a rollback works all the same', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const { rows, columns, ledger } = await picture(world);
    await world.commit(destructive);
    await world.expect(0, ['release', '--yes']);
    const killed = await world.run(['rollback', '--yes'], { UNSHIP_FAULTS: 'kill:14' });
    assert.equal(killed.signal, 'SIGKILL');
    assert.equal(world.runs().at(-1)?.status, 'running');
    changeState(
      world,
      'update journal set entry = replace(entry, \'"attempt":1\', \'"attempt":7\') where run = 3',
    );
    for (const command of [['resume'], ['cancel', '--yes'], ['show', '3']]) {
      const error = requireTold(await world.run([...command, '--json']), 5, 'journal-corrupt');
      assert.match(error.happened, /entry \d of run 3 does not match its chain/);
      assert.match(error.next ?? '', /unship rollback/);
    }
    await world.expect(0, ['rollback', '--yes']);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(
      { rows: world.rows(), columns: world.columns(), ledger: world.ledger() },
      { rows, columns, ledger },
    );
    assert.deepEqual(
      world.runs().map(({ status }) => status),
      ['done', 'done', 'superseded', 'done'],
    );
  });

  it('a state that is lost: what serves is adopted, and releases and ways back go on from there', async (context) => {
    const { world, good } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    await world.commit(destructive);
    await world.expect(0, ['release', '--yes']);
    await world.expect(0, ['rollback', '--yes']);
    const served = await picture(world);
    const file = join(world.stateFolder(), 'state.db');
    writeFileSync(file, 'no database '.repeat(4000));
    const error = requireTold(await world.run(['status', '--json']), 3, 'state-corrupt');
    // When done as told
    assert.match(
      error.next ?? '',
      /move state\.db away, with its -wal and -shm, then unship init --adopt COMMIT/,
    );
    for (const ending of ['', '-wal', '-shm']) {
      if (existsSync(file + ending)) renameSync(file + ending, `${file}${ending}.away`);
    }
    const guessed = requireTold(await world.run(['init', '--adopt', '--yes', '--json']), 2, 'usage-invalid');
    assert.match(guessed.happened, /web serves r1 of a state that is gone; HEAD need not be its commit/);
    const folder = readdirSync(join(world.stateFolder(), 'surfaces/web/releases')).find((name) =>
      name.startsWith('r1-'),
    );
    assert.equal(folder, `r1-${good.slice(0, 7)}`);
    await world.expect(0, ['init', '--adopt', good, '--yes']);
    // Then its number is above all that the lost state has named, and nothing has changed
    assert.deepEqual(
      world.releases().map(({ id, commit }) => [id, commit]),
      [['r3', good]],
    );
    assert.deepEqual(await picture(world), served);
    // And what the old fences would have refused works, with a backup of its own
    await world.page(world.port, 'POST');
    const { rows } = await picture(world);
    await world.expect(0, ['release', '--yes']);
    await requireServed(world, 'r4', 'v2');
    assert.ok(
      readdirSync(join(world.stateFolder(), 'surfaces/database/backups')).some((name) =>
        name.startsWith('r4-'),
      ),
    );
    await world.expect(0, ['rollback', '--yes']);
    await requireServed(world, 'r3', 'v1');
    assert.deepEqual(world.rows(), rows);
  });

  it('a backup that is flipped, cut or gone is not restored, and nothing is touched', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const before = world.rows();
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': restoreOnly } });
    await world.expect(0, ['release', '--yes']);
    const folder = join(world.stateFolder(), 'surfaces/database/backups');
    const name = readdirSync(folder).find((file) => /^r2-.*\.db$/.test(file)) ?? '';
    const file = join(folder, name);
    const whole = readFileSync(file);
    const released = await picture(world);
    const flipped = Buffer.from(whole);
    flipped[5000] = (flipped[5000] ?? 0) ^ 1;
    for (const damage of [
      () => writeFileSync(file, flipped, { mode: 0o600 }),
      () => truncateSync(file, 5000),
      () => rmSync(file),
    ]) {
      writeFileSync(file, whole, { mode: 0o600 });
      damage();
      const id = name.replace(/\.db$/, '');
      requireTold(await world.run(['restore', id, '--yes', '--json']), 3, 'backup-invalid');
      const back = await world.run(['rollback', '--yes', '--json']);
      assert.equal(back.exit, 3, said(back));
      // What can't be read can't be counted either; whoever agrees to that all the same is refused at the restore.
      const hash = /plan ([0-9a-f]{6}) loses rows/.exec(back.stdout)?.[1];
      const asked = ['rollback', '--plan', `${hash}`, `--accept-data-loss=${hash}`, '--yes', '--json'];
      const answer = hash === undefined ? back : await world.run(asked);
      assert.equal(answer.exit, 3, said(answer));
      assert.match(answer.stdout, /backup/);
      assert.deepEqual(await picture(world), released);
    }
    writeFileSync(file, whole, { mode: 0o600 });
    await world.expect(0, ['rollback', '--yes']);
    assert.deepEqual(world.rows(), before);
  });
});
