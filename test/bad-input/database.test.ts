import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { destructive, givenGoodRelease, requireServed } from '../e2e/given.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { adding, copyOf, picture, removeDatabase, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const pageSize = 4096;

/** 0xff over the head of every page but the first, which holds the schema. */
function withoutHeads(bytes: Buffer): Buffer {
  const damaged = Buffer.from(bytes);
  for (let page = pageSize; page < damaged.length; page += pageSize) damaged.fill(0xff, page, page + 64);
  return damaged;
}

/** 0xff over a few rows, which are written from the end of the page towards its head. */
function withoutRows(bytes: Buffer, page: number): Buffer {
  return Buffer.from(bytes).fill(0xff, page * pageSize - 90, page * pageSize - 30);
}

/** A database that was tampered with: what a release and a rollback that needs it say. */
const damages: readonly (readonly [
  what: string,
  damage: (file: string, bytes: Buffer) => void,
  exit: number,
  slug: string,
  told: RegExp,
])[] = [
  ['gone', () => undefined, 2, 'database-missing', /there is no file .*entries\.db/],
  ['a folder', (file) => mkdirSync(file), 2, 'database-missing', /is a folder, not a file/],
  [
    'a text',
    (file) => writeFileSync(file, 'no database '.repeat(2000)),
    3,
    'database-corrupt',
    /file is not a database/,
  ],
  [
    'flipped in its tables',
    (file, bytes) => writeFileSync(file, withoutHeads(bytes)),
    3,
    'database-corrupt',
    /entries\.db: database disk image is malformed/,
  ],
];

describe('a database that is no good', () => {
  it('is named, nothing is made or changed, and with the newest backup in its place all goes on', async (context) => {
    // Whoever looks at the live address wakes the application, which makes a missing file anew.
    const { world } = await givenGoodRelease(context, program, {
      surfaces: 'web-and-database',
      witness: false,
    });
    for (let i = 0; i < 30; i += 1) await world.page(world.port, 'POST');
    await world.commit(destructive);
    await world.expect(0, ['release', '--yes']);
    await world.expect(0, ['backup']);
    const untouched = await picture(world);
    const runs = world.runs().length;
    const page = world.readDatabase((database) =>
      Number(database.prepare("select rootpage from sqlite_schema where name = 'entries'").get()?.rootpage),
    );
    const copy = copyOf(world.database);
    await world.commit({ version: 'v3', column: 'feeling', migrations: { '0003_x.sql': adding('colour') } });
    for (const [what, damage, exit, slug, told] of damages) {
      removeDatabase(world.database);
      damage(world.database, copy.bytes);
      const before = statSync(world.database, { throwIfNoEntry: false });
      for (const command of ['release', 'rollback']) {
        const error = requireTold(await world.run([command, '--yes', '--json']), exit, slug);
        assert.match(error.happened, told, `${command}: ${what}`);
        assert.match(error.next ?? '', /check `file` in the configuration/, `${command}: ${what}`);
      }
      const later = statSync(world.database, { throwIfNoEntry: false });
      assert.deepEqual([later?.size, later?.mtimeMs], [before?.size, before?.mtimeMs], what);
    }
    assert.equal(world.runs().length, runs, 'a run was begun');
    const status = await world.expect(0, ['status']);
    assert.match(status.stdout.replace(/\s+/g, ' '), /unknown database-corrupt/);
    // Damage among the rows is found by the backup that comes before anything else; the release is undone.
    removeDatabase(world.database);
    writeFileSync(world.database, withoutRows(copy.bytes, page));
    const error = requireTold(await world.run(['release', '--yes', '--json']), 1, 'database-corrupt');
    assert.match(error.happened, /entries\.db/);
    assert.equal((await world.page()).release, 'r2');
    // What `explain` says to do, done by hand
    const listed = await world.expect(0, ['backups', '--json']);
    const { backups } = JSON.parse(listed.stdout) as { backups: { location: string }[] };
    removeDatabase(world.database);
    copyFileSync(backups[0]?.location ?? '', world.database);
    const put = new DatabaseSync(world.database);
    put.exec('pragma journal_mode = wal');
    put.close();
    assert.deepEqual(await picture(world), untouched);
    await world.expect(0, ['release', '--yes']);
    await world.expect(0, ['rollback', 'r1', '--yes']);
    assert.equal(world.rows().length, 30);
    await requireServed(world, 'r1', 'v1');
  });

  it('locked by somebody for good, a release is undone and a rollback waits to be resumed', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const atFirst = await picture(world);
    await world.commit(destructive);
    const holder = new DatabaseSync(world.database);
    context.after(() => holder.close());
    holder.exec('begin exclusive');
    const release = requireTold(await world.run(['release', '--yes', '--json']), 1, 'database-locked');
    assert.match(release.next ?? '', /end the program or the long transaction/);
    holder.exec('rollback');
    assert.equal(world.runs().at(-1)?.status, 'undone');
    assert.deepEqual(await picture(world), atFirst);
    await world.expect(0, ['release', '--yes']);
    await requireServed(world, 'r3', 'v2');
    const released = await picture(world);
    holder.exec('begin exclusive');
    const back = requireTold(await world.run(['rollback', '--yes', '--json']), 1, 'database-locked');
    assert.match(back.next ?? '', /end the program or the long transaction/);
    holder.exec('rollback');
    assert.deepEqual(await picture(world), released);
    await world.expect(0, ['rollback', '--yes']);
    const { served: _, ...data } = atFirst;
    assert.deepEqual({ rows: world.rows(), columns: world.columns(), ledger: world.ledger() }, data);
    await requireServed(world, 'r1', 'v1');
  });

  it('on a disk that can only be read, it is left as it is and the release is undone', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    const atFirst = await picture(world);
    await world.commit(destructive);
    const folder = dirname(world.database);
    const bind = spawnSync('mount', ['--bind', folder, folder], { encoding: 'utf8' });
    if (bind.status !== 0) return context.skip(`nothing can be mounted here: ${bind.stderr}`);
    try {
      spawnSync('mount', ['-o', 'remount,ro,bind', folder]);
      const error = requireTold(await world.run(['release', '--yes', '--json']), 1, 'database-denied');
      assert.match(error.happened, /entries\.db/);
    } finally {
      spawnSync('umount', ['-l', folder]);
    }
    assert.deepEqual(await picture(world), atFirst);
    await world.expect(0, ['release', '--yes']);
    assert.ok(existsSync(world.database));
  });
});
