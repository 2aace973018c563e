import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { firstVersion } from '../support/world.ts';
import { flat, given, givenTwoReleases, requireExit } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

describe('what a newcomer meets', { concurrency: 2 }, () => {
  it('a database whose variable is not named is refused before anything is built', async (context) => {
    const world = await given(context, program, { surfaces: 'web-and-database' });
    await world.commit(firstVersion);
    const { surfaces } = world.environment('web-and-database');
    const database = { provider: 'sqlite', kind: 'database', options: { file: world.database } } as const;
    world.configure({
      production: world.environment('web-and-database', {
        surfaces: { web: surfaces.web, database } as typeof surfaces,
        rehearsal: 'required',
      }),
    });
    const refused = await world.run(['release', '--yes']);
    requireExit(refused, 3, 'rehearsal-failed');
    assert.match(flat(refused), /name it: database: sqlite\(\{ …, environment: 'NAME' \}\)/);
    assert.deepEqual(world.runs(), []);
  });

  it('doctor tells before the first release what would stop it: no write-ahead log, no checks', async (context) => {
    const world = await given(context, program, {
      surfaces: 'web-and-database',
      environment: { checks: [] },
    });
    await world.commit(firstVersion);
    const file = new DatabaseSync(world.database);
    file.exec('PRAGMA journal_mode = DELETE');
    file.close();
    const doctor = flat(await world.run(['doctor']));
    assert.match(doctor, /FAIL database .* is in journal mode delete fix: run `sqlite3 '[^']+' 'PRAGMA/);
    assert.match(doctor, /warn guard no checks: no watch can end well/);
  });

  it('doctor tells that there is no commit to release yet', async (context) => {
    const world = await given(context, program);
    assert.match(flat(await world.run(['doctor'])), /FAIL code .*no commit yet fix: git commit/);
    await world.commit(firstVersion);
    assert.doesNotMatch(flat(await world.run(['doctor'])), /FAIL code/);
  });

  it('a release that was begun is open in the status, which names the two ways on', async (context) => {
    const world = await given(context, program, { surfaces: 'web-and-database' });
    await world.commit(firstVersion);
    await world.expect(0, ['release', 'begin', '--yes']);
    const status = flat(await world.expect(0, ['status']));
    assert.match(status, /r1 \([0-9a-f]{7}\) is begun and not finished/);
    assert.match(status, /Next: unship release finish \(or unship release abort\)/);
    // There is no release to go back to, and the abort takes back what begin did all the same
    assert.deepEqual(world.ledger(), ['0001']);
    await world.expect(0, ['release', 'abort', '--yes']);
    assert.deepEqual(world.ledger(), []);
    assert.doesNotMatch(flat(await world.expect(0, ['status'])), /is begun|release finish/);
    await world.expect(0, ['release', '--yes']);
    assert.deepEqual(
      world.releases().map(({ deployment }) => deployment),
      ['rolled-back', 'live'],
    );
  });

  it('a surface that is not there is no release of nothing', async (context) => {
    const world = await given(context, program);
    await world.commit(firstVersion);
    const refused = await world.run(['release', '--only', 'wbe', '--yes']);
    requireExit(refused, 2, 'unknown-surface');
    assert.match(flat(refused), /there is no surface wbe .* surfaces: web/);
    assert.deepEqual(world.releases(), []);
  });

  it('a quarantine is lifted by the name of its release, and the answer names both commits', async (context) => {
    const { world, bad } = await givenTwoReleases(context, program);
    await world.expect(0, ['rollback', '--yes']);
    const fix = await world.commit({ version: 'v3', column: 'mood' });
    const lifted = await world.expect(0, ['quarantine', 'lift', 'r2', '--fixed-by', 'HEAD', '--yes']);
    assert.equal(lifted.stdout, `${bad.slice(0, 7)} may ship again together with ${fix.slice(0, 7)}.\n`);
    assert.deepEqual(world.quarantined(), []);
  });

  it('what was undone says first what mends its cause', async (context) => {
    const world = await given(context, program);
    await world.commit(firstVersion);
    const other = createServer().listen(world.port, '127.0.0.1');
    context.after(() => other.close());
    const release = await world.run(['release', '--yes']);
    requireExit(release, 1, 'port-taken');
    assert.match(
      release.stdout + release.stderr,
      /^Next {6}end the process on port [\s\S]*\n {10}unship show 1$/m,
    );
  });
});
