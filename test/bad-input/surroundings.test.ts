import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  destructive,
  given,
  givenGoodRelease,
  givenTwoReleases,
  requireServed,
  untilStep,
} from '../e2e/given.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { said, until, type World } from '../support/world.ts';
import { picture, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** Exit code of a command whose reader has gone before it says anything. */
async function withoutReader(world: World, words: readonly string[]): Promise<number | null> {
  const { child, ended } = world.start(words);
  ended.catch(() => undefined);
  child.stdout?.destroy();
  child.stderr?.destroy();
  return await new Promise((resolve) => child.on('exit', resolve));
}

const isRoot = process.getuid?.() === 0;

describe('hostile surroundings', () => {
  it('a repository that can not be used is told with what to do', async (context) => {
    const world = await given(context, program);
    const release = ['release', '--yes', '--json'];
    const empty = requireTold(await world.run(release), 3, 'commit-gone');
    assert.match(empty.happened, /the repository has no commit yet/);
    assert.match(empty.next ?? '', /^git commit/);
    await world.commit({ version: 'v1' });
    const without = requireTold(await world.run(release, { PATH: world.folder }), 1, 'git-failed');
    assert.match(without.next ?? '', /install git/);
    if (isRoot) {
      spawnSync('chown', ['-R', '12345:12345', world.repository]);
      const foreign = requireTold(await world.run(release), 1, 'git-failed');
      assert.match(foreign.next ?? '', /git config --global --add safe\.directory \/.*repository$/);
      assert.equal(foreign.done, 'nothing was changed');
      spawnSync('chown', ['-R', '0:0', world.repository]);
    }
    // A detached head and a dirty work tree change nothing: what is committed is released.
    await world.git('checkout', '--quiet', '--detach');
    world.write('version.json', '{"version":"dirty"}');
    world.write('untracked.txt', '');
    await world.expect(0, ['release', '--yes']);
    await requireServed(world, 'r1', 'v1');
  });

  it('a rollback needs no git, no home and nobody who reads what it says', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    assert.equal(await withoutReader(world, ['status', '--json']), 0);
    assert.equal(await withoutReader(world, ['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
    const bare = { PATH: world.folder, HOME: '' };
    assert.equal((await world.run(['undo', '--yes'], bare)).exit, 0);
    await requireServed(world, 'r2', 'v2');
  });

  it("a gateway's control socket that is replaced or taken away is made again, and a rollback works", async (context) => {
    const { world } = await givenTwoReleases(context, program);
    const socket = join(world.stateFolder(), 'surfaces/web/gateway/control.sock');
    rmSync(socket);
    writeFileSync(socket, 'something else');
    await world.expect(0, ['rollback', '--yes']);
    await requireServed(world, 'r1', 'v1');
    // Somebody who listens there and never answers
    const stranger = createServer(() => undefined);
    context.after(() => stranger.close());
    rmSync(socket);
    await new Promise<void>((resolve) => stranger.listen(socket, resolve));
    await world.expect(0, ['undo', '--yes']);
    await requireServed(world, 'r2', 'v2');
  });

  it('two releases at once: each is done whole, or refused as busy before anything is done', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.commit(destructive);
    const both = await Promise.all([1, 2].map(() => world.run(['release', '--yes', '--json'])));
    const refused = both.filter(({ exit }) => exit !== 0);
    assert.ok(refused.length < 2, both.map(said).join('\n'));
    for (const ended of refused) {
      const { slug } = JSON.parse(ended.stdout) as { readonly slug: string };
      assert.match(slug, /^(busy|unfinished-run|plan-stale)$/);
      requireTold(ended, 4, slug);
    }
    const runs = world.runs();
    assert.equal(runs.length, 3 - refused.length);
    assert.ok(runs.every(({ status }) => status === 'done'));
    assert.deepEqual(world.ledger(), ['0001', '0002']);
    await requireServed(world, runs.at(-1)?.to ?? '', 'v2');
  });

  it('two rollbacks at once: one takes everything back, the other says that it is busy or done', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const atFirst = await picture(world);
    await world.commit(destructive);
    await world.expect(0, ['release', '--yes']);
    const both = await Promise.all([1, 2].map(() => world.run(['rollback', '--yes', '--json'])));
    const refused = both.filter(({ exit }) => exit !== 0);
    assert.equal(refused.length, 1, both.map(said).join('\n'));
    for (const ended of refused) {
      const { slug } = JSON.parse(ended.stdout) as { readonly slug: string };
      assert.match(slug, /^(busy|already-there|no-target)$/, said(ended));
      requireTold(ended, slug === 'busy' ? 4 : 3, slug);
    }
    assert.deepEqual(
      world.runs().map(({ kind, status }) => `${kind} ${status}`),
      ['release done', 'release done', 'rollback done'],
    );
    assert.deepEqual(await picture(world), atFirst);
    await requireServed(world, 'r1', 'v1');
  });

  it('a gateway that is killed in the middle of a release, and of a rollback, is started again', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const { served: _, ...atFirst } = await picture(world);
    await world.commit(destructive);
    for (const [command, release, version] of [
      ['release', 'r2', 'v2'],
      ['rollback', 'r1', 'v1'],
    ] as const) {
      const run = world.runs().length + 1;
      const started = world.start([command, '--yes']);
      await untilStep(
        world,
        run,
        command === 'release' ? 'web.stage' : 'unship.record-rollback',
        'applying',
      ).catch(() => undefined);
      for (const { pid, command: line } of world.processes())
        if (line.includes('gateway.js')) process.kill(pid, 'SIGKILL');
      const ended = await started.ended;
      if (ended.exit !== 0) {
        const open = world.runs().at(-1);
        assert.ok([1, 5].includes(ended.exit ?? -1), said(ended));
        if (open?.status === 'undone') await world.expect(0, [command, '--yes']);
        else if (open?.status !== 'done') await world.expect(0, ['resume', String(open?.id)]);
      }
      if (!(await until(async () => (await world.pageOrNull())?.version === version, 2_000)))
        await world.expect(0, ['serve', '--yes']);
      const page = await world.page();
      assert.equal(page.version, version);
      if (release === 'r1') assert.equal(page.release, release);
    }
    const { served: __, ...later } = await picture(world);
    assert.deepEqual(later, atFirst);
  });

  it('an agent that is killed while it goes on with a run: the next one ends it', async (context) => {
    const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
    const rollback = world.start(['rollback', '--yes']);
    await untilStep(world, 3, 'unship.approval', 'applying');
    rollback.child.kill('SIGKILL');
    await rollback.ended;
    const resumed = (): number =>
      world.readState((database) =>
        Number(
          database.prepare("select count(*) as n from journal where run = 3 and entry like '%running%'").get()
            ?.n,
        ),
      );
    const before = resumed();
    const first = world.start(['agent']);
    assert.ok(await until(() => resumed() > before, 30_000), 'the agent has not gone on with it');
    first.child.kill('SIGKILL');
    await first.ended;
    await requireServed(world, 'r2', 'v2');
    await world.expect(0, ['approve', '3', '--yes']);
    const second = world.start(['agent']);
    const ended = await until(() => world.runs().at(-1)?.status === 'done', 60_000);
    second.child.kill('SIGTERM');
    assert.ok(ended, JSON.stringify(world.runs()));
    assert.equal((await second.ended).exit, 0);
    await requireServed(world, 'r1', 'v1');
  });
});
