import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it, type TestContext } from 'node:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { buildProgram, type Program } from '../support/program.ts';
import type { World } from '../support/world.ts';
import { flat, given, requireExit } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

const day = 24 * 60 * 60 * 1000;

/** A live database with one row and one backup of it, whose second location is encrypted. */
async function givenEncrypted(context: TestContext) {
  const world = await given(context, program, { surfaces: 'web-and-database' });
  const identity = await generateX25519Identity();
  const encryptTo = await identityToRecipient(identity);
  const elsewhere = join(world.folder, 'elsewhere');
  const options = { file: world.database, environment: 'DB', secondLocation: elsewhere, encryptTo };
  const database = { provider: 'sqlite', kind: 'database', options } as const;
  world.configure({
    production: world.environment('web-and-database', { surfaces: { database }, checks: [] }),
  });
  world.write('README', 'an application without a server');
  await world.commitAll('begins');
  write(
    world,
    "create table entries (id integer primary key, body text); insert into entries values (1, 'kept')",
  );
  await world.expect(0, ['backup']);
  const state = join(world.stateFolder(), 'surfaces', 'database');
  const [name] = readdirSync(elsewhere).filter((file) => file.endsWith('.db.age'));
  assert.ok(name !== undefined);
  const key = join(world.folder, 'key.txt');
  writeFileSync(key, `# public key: ${encryptTo}\n${identity}\n`);
  return { world, elsewhere, state, key, id: name.slice(0, -'.db.age'.length) };
}

function write(world: World, sql: string): void {
  const database = new DatabaseSync(world.database);
  database.exec(sql);
  database.close();
}

describe('encrypted backups', { concurrency: 2 }, () => {
  it('control 25: restore --identity brings a backup back that is gone from this machine', async (context) => {
    const { world, elsewhere, state, key, id } = await givenEncrypted(context);
    for (const name of readdirSync(elsewhere)) {
      assert.match(name, /\.age$/);
      assert.ok(!readFileSync(join(elsewhere, name)).includes('entries'), name);
    }
    rmSync(join(state, 'backups'), { recursive: true });
    write(world, "update entries set body = 'broken'");
    const without = await world.run(['restore', id, '--yes']);
    requireExit(without, 3, 'backup-invalid');
    assert.match(flat(without), /--identity FILE/);
    const noFile = await world.run(['restore', id, '--yes', '--identity', join(world.folder, 'none')]);
    requireExit(noFile, 2);
    const planned = await world.run(['restore', id, '--dry-run', '--json', '--identity', key]);
    requireExit(planned, 0);
    const plan = JSON.parse(planned.stdout) as { readonly hash: string };
    const consent = [`--accept-data-loss=${plan.hash}`];
    await world.expect(0, ['restore', id, '--yes', '--identity', key, ...consent]);
    assert.deepEqual(
      world.rows().map((row) => row.body),
      ['kept'],
    );
    // The key itself is nowhere that this program writes.
    const secret = /AGE-SECRET-KEY-\S+/.exec(readFileSync(key, 'utf8'))?.[0] ?? '';
    for (const entry of readdirSync(world.stateFolder(), { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (statSync(file).isFile()) assert.ok(!readFileSync(file).includes(secret), file);
    }
  });

  it('control 25: resume --due restores as a test, and doctor warns of what failed or is too long ago', async (context) => {
    const { world, elsewhere, state, id } = await givenEncrypted(context);
    const proof = join(state, 'restore-proof.json');
    const doctor = async (): Promise<string> => flat(await world.run(['doctor']));
    await world.expect(0, ['resume', '--due']);
    const proven = JSON.parse(readFileSync(proof, 'utf8'));
    assert.deepEqual([proven.backup, proven.from, proven.failed], [id, 'local', null]);
    assert.doesNotMatch(await doctor(), /test restore/);

    const old = { ...proven, at: proven.at - 8.5 * day, provenAt: proven.provenAt - 8.5 * day };
    writeFileSync(proof, JSON.stringify(old));
    assert.match(await doctor(), /the last test restore is 8 days ago/);
    const copy = join(elsewhere, `${id}.db.age`);
    writeFileSync(copy, readFileSync(copy).subarray(1));
    await world.expect(0, ['resume', '--due']);
    assert.match(await doctor(), /the test restore of backup \S+ failed: .* is not what it was/);
  });
});
