import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { until } from '../support/world.ts';
import {
  destructive,
  flat,
  given,
  givenGoodRelease,
  givenTwoReleases,
  requireExit,
  requireServed,
  untilStep,
} from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

describe('rolling back, come what may', { concurrency: 2 }, () => {
  it('two at once: one goes on, the other hears who, since when and what to do', async (context) => {
    // Given a policy by which a rollback waits for somebody else's word
    const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
    const first = world.start(['rollback', '--yes']);
    await untilStep(world, 3, 'unship.approval', 'applying');
    // When a second one comes
    const second = await world.run(['rollback', '--yes']);
    // Then it is told
    requireExit(second, 4, 'busy');
    assert.match(
      flat(second),
      /holds production with `unship rollback --yes` \(run 3\), process \d+, for \d+ s/,
    );
    assert.match(flat(second), /--take-over if it hangs/);
    await requireServed(world, 'r2', 'v2');
    // And the first one ends as soon as it is approved
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    requireExit(await first.ended, 0);
    await requireServed(world, 'r1', 'v1');
  });

  it('twice does not go further back', async (context) => {
    const { world, bad } = await givenTwoReleases(context, program);
    await world.commit({ version: 'v3', column: 'mood' });
    await world.expect(0, ['release', '--yes']);
    await world.expect(0, ['rollback', '--yes']);
    await requireServed(world, 'r2', 'v2');
    const again = await world.run(['rollback', '--yes']);
    requireExit(again, 3, 'already-there');
    assert.match(again.stderr, /unship rollback rN/);
    await requireServed(world, 'r2', 'v2');
    assert.deepEqual(world.quarantined().includes(bad), false);
    // Whoever names the release is obeyed
    requireExit(await world.run(['rollback', 'r1', '--yes', '-m', 'slow pages']), 0);
    await requireServed(world, 'r1', 'v1');
    assert.match(flat(await world.run(['quarantine', 'list'])), /slow pages/);
  });

  it('passes over the same commit, released again and found good twice', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    const again = await world.run(['release', '--yes']);
    requireExit(again, 0);
    assert.match(
      flat(again),
      /r3 is the same code as r2 \([0-9a-f]{7}\): a rollback goes to what was before both/,
    );
    const named = await world.run(['plan', 'r2']);
    assert.match(flat(named), /r2 is the same code as r3/);
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
    requireExit(await world.run(['release', '--yes']), 3, 'quarantined');
  });

  it('refuses what it does not know and what is no longer so', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    requireExit(await world.run(['rollback', 'r99', '--yes']), 2, 'unknown-release');
    const shown = await world.expect(0, ['plan', '--json']);
    const { hash } = JSON.parse(shown.stdout) as { hash: string };
    // When the world moves after the plan was shown
    await world.commit({ version: 'v3', column: 'mood' });
    await world.expect(0, ['release', '--yes']);
    // Then exactly that plan is refused
    requireExit(await world.run(['rollback', '--yes', '--plan', hash]), 3, 'plan-stale');
    await requireServed(world, 'r3', 'v3');
    const without = await world.run(['rollback']);
    requireExit(without, 3, 'confirmation-needed');
  });

  it('works after the gateway was killed, and the application is served again', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    const gateway = world.processes().find(({ command }) => command.includes('gateway.js'));
    assert.ok(gateway);
    process.kill(gateway.pid, 'SIGKILL');
    assert.ok(await until(async () => (await world.pageOrNull()) === null));
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
  });

  it('works from the stored configuration when the bad commit broke the file', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    writeFileSync(join(world.repository, 'unship.config.json'), '{ "name": "fixture", ');
    await world.commitAll('broken configuration');
    requireExit(await world.run(['release', '--yes']), 2, 'config-invalid');
    const back = await world.run(['rollback', '--yes']);
    requireExit(back, 0);
    assert.match(flat(back), /the configuration is broken; this is the one of the last release/);
    await requireServed(world, 'r1', 'v1');
  });

  it('whose undo is undone takes the bad commit away again, and it cannot be released', async (context) => {
    const { world, bad } = await givenTwoReleases(context, program);
    await world.expect(0, ['rollback', '--yes', '-m', 'it loses entries']);
    const states = (): unknown =>
      world.releases().map(({ id, deployment, health }) => [id, deployment, health]);
    const rolledBack = states();
    await world.expect(0, ['undo', '--yes']);
    await requireServed(world, 'r2', 'v2');
    const again = await world.run(['undo', '--yes']);
    requireExit(again, 0);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(states(), rolledBack);
    assert.deepEqual(world.quarantined(), [bad]);
    assert.match(flat(await world.run(['quarantine', 'list'])), /it loses entries/);
    requireExit(await world.run(['release', '--yes']), 3, 'quarantined');
    await requireServed(world, 'r1', 'v1');
    // Undone once more, it is what it was after the first undo.
    await world.expect(0, ['undo', '--yes']);
    await requireServed(world, 'r2', 'v2');
    assert.deepEqual(world.quarantined(), []);
  });

  it('is not stopped by a missing secret of a channel, and says that nobody was told', async (context) => {
    const channel = { provider: 'slack', options: { webhook: { $secret: 'HOOK' } } };
    const { world } = await givenTwoReleases(context, program, {
      environment: { notifications: { team: [channel] } },
    });
    const back = await world.run(['rollback', '--yes']);
    requireExit(back, 0);
    assert.match(back.stdout + back.stderr, /HOOK/);
    await requireServed(world, 'r1', 'v1');
  });

  it('goes before a release that is in its watch', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    const slow = world.environment('web', { guard: { bake: '60s', every: '100ms' } });
    world.configure({ production: slow });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'unship.watch', 'applying');
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['rollback', '--yes']), 0);
    await requireServed(world, 'r1', 'v1');
    requireExit(await release.ended, 1);
    assert.deepEqual(
      world.runs().map(({ kind, status }) => `${kind} ${status}`),
      ['release done', 'release superseded', 'rollback done'],
    );
    assert.deepEqual(
      world.releases().map(({ id, deployment }) => `${id} ${deployment}`),
      ['r1 live', 'r2 rolled-back'],
    );
  });

  it('goes before a release that is in its migration, and nothing of it is left', async (context) => {
    const { world } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
    await world.page(world.port, 'POST');
    const rows = world.rows();
    const migration = destructive.migrations?.['0002_bad.sql'] ?? '';
    // It counts for some seconds before it changes anything.
    const slow = migration.replace(
      'update entries',
      "insert into entries (body) with recursive n(i) as (select 1 union all select i + 1 from n where i < 12000000) select 'x' from n where i < 0;\nupdate entries",
    );
    await world.commit({ ...destructive, migrations: { '0002_bad.sql': slow } });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'database.migrate-up', 'applying');
    requireExit(await world.run(['rollback', '--yes']), 0);
    const ended = await release.ended;
    assert.notEqual(ended.exit, 0);
    await requireServed(world, 'r1', 'v1');
    assert.deepEqual(world.ledger(), ['0001']);
    assert.deepEqual(world.rows(), rows);
    await world.page(world.port, 'POST');
    assert.equal(world.rows().length, rows.length + 1);
  });

  it('says that the port is taken, and by what it can be mended', async (context) => {
    const world = await given(context, program);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(world.port, '127.0.0.1', resolve));
    context.after(() => other.close());
    await world.commit({ version: 'v1', column: 'mood' });
    const release = await world.run(['release', '--yes']);
    requireExit(release, 1, 'port-taken');
    assert.match(flat(release), new RegExp(String(world.port)));
    other.close();
    await until(() => !other.listening);
    requireExit(await world.run(['release', '--yes']), 0);
  });

  it('pauses at Ctrl-C with exit code 5, and resume goes on', async (context) => {
    const { world } = await givenGoodRelease(context, program, {
      environment: { guard: { bake: '2s', every: '100ms' } },
    });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'unship.watch', 'applying');
    release.child.kill('SIGINT');
    requireExit(await release.ended, 5);
    assert.equal(world.runs().at(-1)?.status, 'paused');
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['resume']), 0);
    assert.equal(world.runs().at(-1)?.status, 'done');
    assert.equal(world.releases().at(-1)?.health, 'good');
  });
});
