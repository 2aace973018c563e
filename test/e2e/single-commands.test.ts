import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { buildProgram, type Program } from '../support/program.ts';
import { firstVersion, type Row, until, type World } from '../support/world.ts';
import { destructive, flat, given, givenGoodRelease, requireExit, requireServed } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

describe('guard', { concurrency: 2 }, () => {
  /** `r1` is live; each look leaves a line, and fails as soon as the application is made sick. */
  async function givenWatched(
    context: TestContext,
    bake: '500ms' | '60s',
  ): Promise<{ readonly world: World; looks(): number; makeSick(): void }> {
    const world = await given(context, program);
    const [log, sick] = [join(world.folder, 'looks'), join(world.folder, 'sick')];
    const probe = `const fs = require('node:fs');
      fs.appendFileSync(${JSON.stringify(log)}, 'look\\n');
      process.exit(fs.existsSync(${JSON.stringify(sick)}) ? 1 : 0);`;
    const checks = [{ command: [process.execPath, '-e', probe], name: 'probe' }];
    world.configure({ production: world.environment('web', { checks }) });
    await world.commit(firstVersion);
    await world.expect(0, ['release', '--yes']);
    const guard = { bake, every: '100ms', failures: 2 } as const;
    world.configure({ production: world.environment('web', { checks, guard }) });
    return {
      world,
      looks: () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0),
      makeSick: () => writeFileSync(sick, ''),
    };
  }

  interface Verdict {
    readonly release: string | null;
    readonly verdict: string;
    readonly checks: readonly { readonly check: string; readonly verdict: string }[];
  }

  it('watches for the whole bake time and ends with 0 when all is well; --once looks once', async (context) => {
    const { world, looks } = await givenWatched(context, '500ms');
    let before = looks();
    const watched = await world.run(['guard', '--json']);
    requireExit(watched, 0);
    const { release, verdict } = JSON.parse(watched.stdout) as Verdict;
    assert.deepEqual({ release, verdict }, { release: 'r1', verdict: 'healthy' });
    assert.ok(looks() - before >= 3, `${looks() - before} looks`);
    before = looks();
    const once = await world.run(['guard', '--once']);
    requireExit(once, 0);
    assert.match(once.stdout, /^r1 is healthy\.$/m);
    assert.equal(looks() - before, 1);
  });

  it('goes on watching until the release fails, ends with 1, names the way back, and takes nothing', async (context) => {
    const { world, looks, makeSick } = await givenWatched(context, '60s');
    const before = { looks: looks(), releases: world.releases(), runs: world.runs() };
    const guard = world.start(['guard']);
    assert.ok(await until(() => looks() - before.looks >= 3, 20_000));
    assert.equal(guard.child.exitCode, null);
    makeSick();
    const ended = await guard.ended;
    requireExit(ended, 1);
    assert.match(ended.stdout, /^r1 is UNHEALTHY\.$/m);
    assert.match(ended.stdout, /^Next +unship plan$/m);
    const once = await world.run(['guard', '--once', '--json']);
    requireExit(once, 1);
    const { verdict, checks } = JSON.parse(once.stdout) as Verdict;
    assert.equal(verdict, 'unhealthy');
    assert.deepEqual(
      checks.map((one) => `${one.check} ${one.verdict}`),
      ['probe fail'],
    );
    assert.deepEqual(
      { releases: world.releases(), runs: world.runs() },
      { releases: before.releases, runs: before.runs },
    );
    await requireServed(world, 'r1', 'v1');
  });

  it('ended before there is a verdict, it says so and does not end with 0', async (context) => {
    const { world, looks } = await givenWatched(context, '60s');
    const before = looks();
    const guard = world.start(['guard', '--json']);
    assert.ok(await until(() => looks() > before, 20_000));
    guard.child.kill('SIGINT');
    const ended = await guard.ended;
    requireExit(ended, 1);
    const { verdict, reason } = JSON.parse(ended.stdout) as Verdict & { readonly reason: string };
    assert.deepEqual(
      { verdict, reason },
      { verdict: 'inconclusive', reason: 'ended before there was a verdict' },
    );
    const timed = await world.run(['guard', '--timeout', '300ms']);
    requireExit(timed, 1);
    assert.match(flat(timed), /r1 could not be judged\. Seen ended before there was a verdict/);
  });

  it('a check that could not be asked is no good news', async (context) => {
    const { world } = await givenWatched(context, '500ms');
    const checks = [{ command: [join(world.folder, 'missing')], name: 'probe' }];
    world.configure({ production: world.environment('web', { checks }) });
    for (const args of [['guard'], ['guard', '--once']]) {
      const ended = await world.run(args);
      requireExit(ended, 1);
      assert.match(ended.stdout, /^r1 could not be judged\.$/m);
    }
  });
});

describe('migrations up', { concurrency: 2 }, () => {
  function migration(column: string): string {
    return `-- migrate:up\nalter table entries add column ${column} text;\n\n-- migrate:down\nalter table entries drop column ${column};\n`;
  }

  /** The entries in a backup; none where it was taken before there was such a table. */
  function rowsIn(file: string): readonly Row[] {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const table = database.prepare("select 1 from sqlite_master where name = 'entries'").get();
      if (table === undefined) return [];
      return database
        .prepare('select * from entries')
        .all()
        .map((row) => ({ ...row })) as unknown as readonly Row[];
    } finally {
      database.close();
    }
  }

  const first = ['body TEXT', 'id INTEGER', "mood TEXT 'none'"];

  it('applies what the checked-out commit has, after a backup, and nothing of what is not committed', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const rows = world.rows();
    world.write('migrations/0002_a.sql', migration('a'));
    await world.commitAll('adds a');
    // Given that one file was changed since, and another one added
    world.write('migrations/0002_a.sql', migration('changed'));
    world.write('migrations/0003_b.sql', migration('b'));
    const status = await world.expect(0, ['migrations']);
    assert.match(status.stdout, /0002 .*pending/);
    assert.doesNotMatch(status.stdout, /0003/);
    requireExit(await world.run(['migrations', 'up']), 3, 'confirmation-needed');
    assert.deepEqual(world.ledger(), ['0001']);
    // When they are applied
    requireExit(await world.run(['migrations', 'up', '--yes']), 0);
    // Then the committed text was, and that alone
    assert.deepEqual(world.ledger(), ['0001', '0002']);
    assert.deepEqual(world.columns(), ['a TEXT', ...first]);
    assert.deepEqual(
      world.rows(),
      rows.map((row) => ({ ...row, a: null })),
    );
    assert.deepEqual(
      world.runs().map(({ kind, status }) => `${kind} ${status}`),
      ['release done', 'maintenance done'],
    );
    // And a backup holds the rows on the schema before
    const folder = join(world.stateFolder(), 'surfaces', 'database', 'backups');
    const backups = readdirSync(folder).filter((name) => name.endsWith('.db'));
    const kept = backups.map((name) => rowsIn(join(folder, name)));
    assert.ok(
      kept.some((found) => isDeepStrictEqual(found, rows)),
      'no backup has the row without the new column',
    );
    requireExit(await world.run(['migrations', 'up', '--yes']), 3, 'already-there');
    assert.deepEqual(world.columns(), ['a TEXT', ...first]);
  });

  it('goes up to the named version, later to the rest, and down again', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    world.write('migrations/0002_a.sql', migration('a'));
    world.write('migrations/0003_b.sql', migration('b'));
    await world.commitAll('adds a and b');
    requireExit(await world.run(['migrations', 'up', '0002', '--yes']), 0);
    assert.deepEqual(world.ledger(), ['0001', '0002']);
    requireExit(await world.run(['migrations', 'up', '--yes']), 0);
    assert.deepEqual(world.columns(), ['a TEXT', 'b TEXT', ...first]);
    requireExit(await world.run(['migrations', 'down', '0001', '--yes']), 0);
    assert.deepEqual(world.ledger(), ['0001']);
    assert.deepEqual(world.columns(), first);
  });

  it('ends with 1 when a migration fails, and the schema is as it was', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    world.write(
      'migrations/0002_a.sql',
      migration('a').replace('alter table entries add', 'alter table missing add'),
    );
    await world.commitAll('adds a to a table that is not there');
    const up = await world.run(['migrations', 'up', '--yes']);
    requireExit(up, 1, 'migration-failed');
    assert.deepEqual(world.ledger(), ['0001']);
    assert.deepEqual(world.columns(), first);
    await requireServed(world, 'r1', 'v1');
  });
});

describe('desktop standby', { concurrency: 2 }, () => {
  /** Every file below these folders, by the hash of its content. */
  function contentOf(...folders: readonly string[]): { readonly [file: string]: string } {
    const files = folders.flatMap((folder) =>
      existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [],
    );
    return Object.fromEntries(
      files
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name))
        .map((file) => [file, createHash('sha256').update(readFileSync(file)).digest('hex')]),
    );
  }

  /** What clients are offered, and what was taken in for them. */
  function desktopContent(world: World): { readonly [file: string]: string } {
    return contentOf(world.feed, join(world.stateFolder(), 'surfaces', 'desktop', 'staged'));
  }

  async function doctor(world: World): Promise<string> {
    return flat(await world.run(['doctor']));
  }

  it('takes a prepared hotfix in, doctor names it, and the next rollback publishes it', async (context) => {
    const { world, good } = await givenGoodRelease(context, program, { surfaces: 'all' });
    requireExit(await world.run(['desktop', 'standby']), 3, 'artifact-invalid');
    requireExit(await world.run(['desktop', 'standby', good]), 2, 'usage-invalid');
    assert.match(await doctor(world), /warn desktop no standby hotfix/);
    const offered = contentOf(world.feed);
    // When the good code, built under a higher version, is handed over, from the folder one stands in
    world.artifacts('prepared', '1.1.1');
    mkdirSync(join(world.repository, 'desktop'), { recursive: true });
    const dry = ['desktop', 'standby', '--from', '../prepared', '--dry-run'];
    requireExit(await world.run(dry), 0);
    assert.match(await doctor(world), /warn desktop no standby hotfix/);
    const taken = await world.run(['desktop', 'standby', '--from', '../../prepared', '--cwd', 'desktop']);
    requireExit(taken, 0);
    assert.match(flat(taken), new RegExp(`desktop: 1\\.1\\.1 stands by, from ${good.slice(0, 7)}`));
    // Then nobody is offered it yet, it is named, and what was handed over may go
    assert.deepEqual(contentOf(world.feed), offered);
    rmSync(join(world.folder, 'prepared'), { recursive: true });
    assert.match(await doctor(world), /ok desktop standby hotfix 1\.1\.1 is ready/);
    requireExit(await world.run(['desktop', 'standby']), 0);
    // And whoever got the bad version is led away from it
    await world.commit({ ...destructive, desktop: '1.1.0' });
    await world.expect(0, ['release', '--yes']);
    assert.equal(world.offered(), '1.1.0');
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
    assert.equal(world.offered(), '1.1.1');
    const file = readFileSync(join(world.feed, 'fixture-1.1.1.AppImage'), 'utf8');
    assert.equal(file, 'stand-in for 1.1.1\n');
  });

  it('refuses what is damaged, incomplete or too low; what stood by before still does, and is published', async (context) => {
    const { world, good } = await givenGoodRelease(context, program, { surfaces: 'all' });
    world.artifacts('prepared', '1.1.1');
    requireExit(await world.run(['desktop', 'standby', good, '--from', '../prepared']), 0);
    const content = desktopContent(world);
    assert.ok(Object.keys(content).some((file) => file.endsWith('/staged/1.1.1/fixture-1.1.1.AppImage')));
    const prepare = (name: string, version: string, described?: string): string => {
      world.artifacts(name, version);
      const sha512 = createHash('sha512')
        .update(described ?? '')
        .digest('base64');
      const file = `fixture-${version}.AppImage`;
      const feed = `version: ${version}\nfiles:\n  - url: ${file}\n    sha512: ${sha512}\npath: ${file}\nsha512: ${sha512}\nreleaseDate: '2026-01-01T00:00:00.000Z'\n`;
      if (described !== undefined) writeFileSync(join(world.folder, name, 'latest-linux.yml'), feed);
      return join(world.folder, name, file);
    };
    prepare('damaged', '1.1.2', 'what was built');
    writeFileSync(prepare('empty', '1.1.2'), '');
    rmSync(prepare('incomplete', '1.1.2', 'stand-in for 1.1.2\n'));
    prepare('too-low', '0.9.0');
    for (const [name, why] of [
      ['damaged', /fixture-1\.1\.2\.AppImage has another sha512 than latest-linux\.yml says/],
      ['empty', /fixture-1\.1\.2\.AppImage is empty/],
      ['incomplete', /fixture-1\.1\.2\.AppImage is missing/],
      ['too-low', /0\.9\.0 is not higher than 1\.0\.0/],
      ['nowhere', /can't be read/],
    ] as const) {
      const refused = await world.run(['desktop', 'standby', '--from', join(world.folder, name)]);
      requireExit(refused, 3, 'artifact-invalid');
      assert.match(flat(refused), why);
      assert.deepEqual(desktopContent(world), content, name);
    }
    assert.match(await doctor(world), /ok desktop standby hotfix 1\.1\.1 is ready/);
    await world.commit({ ...destructive, desktop: '1.1.0' });
    await world.expect(0, ['release', '--yes']);
    requireExit(await world.run(['rollback', '--yes']), 0);
    assert.equal(world.offered(), '1.1.1');
  });
});
