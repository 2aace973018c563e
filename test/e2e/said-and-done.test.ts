import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { until } from '../support/world.ts';
import { flat, given, givenGoodRelease, givenTwoReleases, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

describe('what is said is what is done', { concurrency: 2 }, () => {
  it('serve after adopting builds what was adopted, says so, and it serves', async (context) => {
    const world = await given(context, program);
    await world.commit({ version: 'v1', column: 'mood' });
    requireExit(await world.run(['init', '--adopt', '--yes']), 0);
    const plan = await world.run(['serve', '--dry-run']);
    requireExit(plan, 0);
    assert.match(flat(plan), /web not running r1 check out, build, start, serve/);
    requireExit(await world.run(['serve', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
    assert.match(flat(await world.run(['serve', '--dry-run'])), /web r1 r1 runs already: check it, serve it/);
  });

  it('serve says that what is live is gone, and what helps', async (context) => {
    const world = await given(context, program);
    await world.commit({ version: 'v1', column: 'mood' });
    requireExit(await world.run(['init', '--adopt', '--yes']), 0);
    rmSync(`${world.repository}/.git`, { recursive: true });
    await world.git('init', '--quiet');
    await world.commitAll('rewritten');
    const serve = await world.run(['serve', '--yes']);
    requireExit(serve, 3, 'target-gone');
    assert.match(flat(serve), /release a commit that is there/);
  });

  it('a limited rollback says what is recorded, a restore that it replaces the database', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.commit({ version: 'v2' });
    await world.expect(0, ['release', '--yes']);
    const back = await world.run(['rollback', '--only', 'web', '--yes']);
    requireExit(back, 0);
    assert.match(flat(back), /r2 is recorded with web r1/);
    assert.doesNotMatch(flat(back), /superseded/);
    const backups = JSON.parse((await world.expect(0, ['backups', '--json'])).stdout) as {
      readonly backups: readonly { readonly id: string }[];
    };
    const restore = await world.run(['restore', backups.backups[0]?.id ?? '', '--dry-run']);
    requireExit(restore, 0);
    assert.match(flat(restore), /database 0001 empty replace it by the backup of \d{4}-/);
    assert.doesNotMatch(flat(restore), /no surface changes/);
  });

  it('a release that does not exist is told as that, whatever else is wrong', async (context) => {
    const { world } = await givenTwoReleases(context, program, { surfaces: 'web-and-database' });
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${world.database}${suffix}`, { force: true });
    requireExit(await world.run(['plan', 'r99']), 2, 'unknown-release');
    requireExit(await world.run(['rollback', 'r99', '--yes']), 2, 'unknown-release');
  });

  it('a failed build shows the end of its log once; a draft shows no invisible characters', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    await world.expect(0, ['rollback', '--yes', '-m', 'see http://127.0.0.1:1/board']);
    const draft = await world.run(['incident', 'show', '1']);
    requireExit(draft, 0);
    assert.match(draft.stdout, /http:\/\/127\.0\.0\.1/);
    assert.doesNotMatch(draft.stdout, /2060|\u2060/);

    const build = [process.execPath, '-e', 'console.error("cannot find the module"); process.exit(3)'];
    const web = world.webSurface(world.port, { build });
    world.configure({ production: world.environment('web', { surfaces: { web } }) });
    await world.git('reset', '--quiet', '--hard', 'HEAD~1');
    world.configure({ production: world.environment('web', { surfaces: { web } }) });
    await world.commit({ version: 'v3', column: 'mood' });
    const release = await world.run(['release', '--yes']);
    requireExit(release, 1, 'build-failed');
    const logged = `${release.stdout}${release.stderr}`.match(/^.*cannot find the module$/gm) ?? [];
    assert.equal(logged.filter((line) => !line.includes('console.error')).length, 1, logged.join('\n'));
  });

  it('what can not be seen is told as unknown, and a watch of it is not healthy', async (context) => {
    const { world } = await givenTwoReleases(context, program, { surfaces: 'web-and-database' });
    const seen = async (): Promise<{ readonly [surface: string]: string }> => {
      const told = await world.expect(0, ['status', '--json']);
      const { surfaces } = JSON.parse(told.stdout) as {
        readonly surfaces: readonly { readonly surface: string; readonly now: string }[];
      };
      return Object.fromEntries(surfaces.map(({ surface, now }) => [surface, now]));
    };
    assert.deepEqual(await seen(), { web: 'r2', database: '0001' });
    // When nobody answers any more, and the database can't be read
    for (const { pid, command } of world.processes())
      if (command.includes('gateway.js')) process.kill(pid, 'SIGKILL');
    assert.ok(await until(async () => (await world.pageOrNull()) === null));
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${world.database}${suffix}`, { force: true });
    writeFileSync(world.database, 'no database '.repeat(2000));
    // Then nothing is said of them that nobody can know
    const { web, database } = await seen();
    assert.match(web ?? '', /^(nothing|unknown)$/);
    assert.equal(database, 'unknown');
    const watched = await world.run(['guard', '--once', '--json']);
    requireExit(watched, 1);
    const { verdict } = JSON.parse(watched.stdout) as { readonly verdict: string };
    assert.match(verdict, /^(unhealthy|inconclusive)$/);
    requireExit(await world.run(['plan']), 3, 'database-corrupt');
    // And somebody who looks for himself has agreed to all of it
    assert.equal(world.opinions.contradicts, 0);
    assert.ok(world.opinions.agrees >= 5, JSON.stringify(world.opinions));
  });
});
