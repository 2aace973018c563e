import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it, type TestContext } from 'node:test';
import type { JournalEntry } from '../../src/domain/run.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { type Started, said, until, type World } from '../support/world.ts';
import { Webhook } from '../torture/observer.ts';
import {
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

/** A rollback from `r2` to `r1` whose process was killed while it waited for an approval. */
async function givenKilledRollback(context: TestContext): Promise<World> {
  const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
  await killAt(world, world.start(['rollback', '--yes']), 3, 'unship.approval');
  return world;
}

/** A release of `r2` whose process was killed in its watch; the watch fails as soon as the file `sick` is there. */
async function givenReleaseKilledInWatch(
  context: TestContext,
): Promise<{ readonly world: World; readonly sick: string }> {
  const { world } = await givenGoodRelease(context, program);
  const sick = join(world.folder, 'sick');
  const probe = `process.exit(require('node:fs').existsSync(${JSON.stringify(sick)}) ? 1 : 0)`;
  world.configure({
    production: world.environment('web', {
      checks: [{ command: [process.execPath, '-e', probe], name: 'probe' }],
      guard: { bake: '2s', every: '100ms', failures: 2 },
    }),
  });
  await world.commit({ version: 'v2', column: 'mood' });
  await killAt(world, world.start(['release', '--yes']), 2, 'unship.watch');
  await requireServed(world, 'r2', 'v2');
  return { world, sick };
}

/** Kills the command, as a crash would, once its run is at this step. */
async function killAt(world: World, command: Started, run: number, step: string): Promise<void> {
  await untilStep(world, run, step, 'applying');
  command.child.kill('SIGKILL');
  await command.ended;
}

function statusOf(world: World, run: number): string | undefined {
  return world.runs().find(({ id }) => id === run)?.status;
}

async function untilStatus(world: World, run: number, status: string): Promise<void> {
  const seen = await until(() => statusOf(world, run) === status, 30_000);
  assert.ok(seen, `run ${run} is ${statusOf(world, run)}, not ${status}`);
}

/** Waits until this process is the one that holds the environment, with this run. */
async function untilHeldBy(world: World, pid: number | undefined, run: number): Promise<void> {
  const seen = await until(() => {
    const lease = world.readState((database) => database.prepare('select owner, run from lease').get());
    const owner = JSON.parse(String(lease?.owner ?? null)) as { readonly pid: number } | null;
    return owner !== null && owner.pid === pid && lease?.run === run;
  }, 30_000);
  assert.ok(seen, `process ${pid} never held run ${run}`);
}

function journalOf(world: World, run: number): readonly JournalEntry[] {
  return world
    .readState((database) =>
      database.prepare('select entry from journal where run = ? order by seq').all(run),
    )
    .map((row) => JSON.parse(String(row.entry)) as JournalEntry);
}

/** How often this run was gone on with after it had stopped. */
function resumedTimes(world: World, run: number): number {
  return journalOf(world, run).filter((entry) => entry.type === 'run' && entry.note === 'resumed').length;
}

/** How often each step of this run was begun. */
function begunTimes(world: World, run: number): { readonly [step: string]: number } {
  const times: { [step: string]: number } = {};
  for (const entry of journalOf(world, run)) {
    if (entry.type === 'step' && entry.status === 'applying')
      times[entry.step] = (times[entry.step] ?? 0) + 1;
  }
  return times;
}

/** An agent that has begun its work. */
async function startAgent(world: World): Promise<Started> {
  const agent = world.start(['agent']);
  let heard = '';
  agent.child.stderr?.on('data', (chunk: Buffer) => {
    heard += String(chunk);
  });
  assert.ok(await until(() => heard.includes('Agent of fixture production'), 30_000), heard);
  return agent;
}

/** Tells an agent to end: it does, without an error. */
async function end(agent: Started): Promise<void> {
  const { child } = agent;
  child.kill('SIGTERM');
  assert.ok(await until(() => child.exitCode !== null || child.signalCode !== null, 20_000), 'it goes on');
  const ended = await agent.ended;
  assert.equal(ended.signal, null, said(ended));
  requireExit(ended, 0);
  assert.match(ended.stdout, /The agent has ended/);
}

/** No command of this program runs any more; what serves the application does. */
function requireNoCommandLeft(world: World): void {
  const left = world.processes().filter(({ command }) => command.includes('unship.js'));
  assert.deepEqual(left, []);
}

/** Stops a process where it stands, outside of any write: frozen in one, it would keep everybody from writing. */
async function freeze(world: World, command: Started): Promise<void> {
  const isFree = (): boolean => {
    const database = new DatabaseSync(join(world.stateFolder(), 'state.db'));
    try {
      database.exec('pragma busy_timeout = 0; begin immediate; rollback');
      return true;
    } catch {
      return false;
    } finally {
      database.close();
    }
  };
  const frozen = await until(() => {
    command.child.kill('SIGSTOP');
    if (isFree()) return true;
    command.child.kill('SIGCONT');
    return false;
  });
  assert.ok(frozen, 'the process was always in a write');
}

/** A build sees no file of the test, but the network: it asks, and is answered once the gate is open. */
async function givenGate(
  context: TestContext,
): Promise<{ readonly port: number; asked(): number; open(): void }> {
  let asked = 0;
  let letThrough: () => void = () => {};
  const isOpen = new Promise<void>((resolve) => {
    letThrough = resolve;
  });
  const server = createServer((_, response) => {
    asked += 1;
    void isOpen.then(() => response.end());
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  context.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, asked: () => asked, open: letThrough };
}

describe('the agent', { concurrency: 2 }, () => {
  it('ends a release whose process was killed in its build, and it serves', async (context) => {
    // Given a build that takes until somebody lets it go on
    const { world } = await givenGoodRelease(context, program);
    const gate = await givenGate(context);
    const build = `fetch('http://127.0.0.1:${gate.port}/').then((answer) => answer.text());`;
    const web = world.webSurface(world.port, { build: [process.execPath, '-e', build] });
    world.configure({ production: world.environment('web', { surfaces: { web } }) });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes']);
    assert.ok(await until(() => gate.asked() === 1, 60_000));
    // When its process is killed there
    release.child.kill('SIGKILL');
    await release.ended;
    gate.open();
    assert.equal(statusOf(world, 2), 'running');
    await requireServed(world, 'r1', 'v1');
    // Then an agent does the rest, and the application goes on serving after the agent has ended
    const agent = await startAgent(world);
    await untilStatus(world, 2, 'done');
    await requireServed(world, 'r2', 'v2');
    assert.equal(resumedTimes(world, 2), 1);
    assert.deepEqual(
      world.releases().map(({ deployment, health }) => `${deployment} ${health}`),
      ['superseded good', 'live good'],
    );
    await end(agent);
    requireNoCommandLeft(world);
    await requireServed(world, 'r2', 'v2');
  });

  it('takes over from a process that froze once its lease has run out; thawed, that one changes nothing', async (context) => {
    const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
    const rollback = world.start(['rollback', '--yes']);
    await untilStep(world, 3, 'unship.approval', 'applying');
    await freeze(world, rollback);
    const agent = await startAgent(world);
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    await untilStatus(world, 3, 'done');
    await requireServed(world, 'r1', 'v1');
    const told = journalOf(world, 3);
    // When it wakes up
    rollback.child.kill('SIGCONT');
    const thawed = await rollback.ended;
    // Then it says that somebody else has gone on, and nothing is done a second time
    requireExit(thawed, 1);
    assert.match(flat(thawed), /superseded by another run/);
    assert.deepEqual(journalOf(world, 3), told);
    assert.equal(begunTimes(world, 3)['web.switch'], 1);
    await requireServed(world, 'r1', 'v1');
    await end(agent);
  });

  it('goes on with a run that waits, as soon as it is approved', async (context) => {
    const world = await givenKilledRollback(context);
    const agent = await startAgent(world);
    await untilHeldBy(world, agent.child.pid, 3);
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    await untilStatus(world, 3, 'done');
    await requireServed(world, 'r1', 'v1');
    await end(agent);
    requireNoCommandLeft(world);
  });

  it('told to end while a run waits, it leaves no process, and the next agent goes on', async (context) => {
    const world = await givenKilledRollback(context);
    const agent = await startAgent(world);
    await untilHeldBy(world, agent.child.pid, 3);
    await end(agent);
    requireNoCommandLeft(world);
    await requireServed(world, 'r2', 'v2');
    // Nobody wanted the run paused: it is as due as before
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    const next = await startAgent(world);
    await untilStatus(world, 3, 'done');
    await requireServed(world, 'r1', 'v1');
    await end(next);
  });

  it('two of them do the work of a run once', async (context) => {
    // Given a host that is switched by a command, which notes what it does and takes until it is let go on
    const webhook = await Webhook.start();
    context.after(() => webhook.close());
    const world = await given(context, program, { variables: { HOOK: webhook.url } });
    const live = join(world.folder, 'live');
    const log = join(world.folder, 'log');
    const gate = join(world.folder, 'gate');
    const activate = `const fs = require('node:fs');
      fs.appendFileSync(${JSON.stringify(log)}, process.env.UNSHIP_RELEASE + '\\n');
      const wait = () => fs.existsSync(${JSON.stringify(gate)})
        ? fs.writeFileSync(${JSON.stringify(live)}, process.env.UNSHIP_RELEASE)
        : setTimeout(wait, 20);
      wait();`;
    const say = `process.stdout.write(require('node:fs').readFileSync(${JSON.stringify(live)}, 'utf8'))`;
    const commands = { activate: [process.execPath, '-e', activate], live: [process.execPath, '-e', say] };
    for (const file of [live, log, gate]) writeFileSync(file, '');
    const web = { provider: 'server', kind: 'web', options: { build: false, switch: { commands } } } as never;
    world.configure({
      production: world.environment('web', {
        surfaces: { web },
        checks: [{ command: [process.execPath, '-e', ''], name: 'nothing' }],
        approvals: ['rollback'],
        notifications: { team: [{ provider: 'slack', options: { webhook: { $secret: 'HOOK' } } }] },
      }),
    });
    await world.commit({ version: 'v1' });
    await world.expect(0, ['release', '--yes']);
    await world.commit({ version: 'v2' });
    await world.expect(0, ['release', '--yes']);
    await killAt(world, world.start(['rollback', '--yes']), 3, 'unship.approval');
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    writeFileSync(log, '');
    // When two agents find the run due
    rmSync(gate);
    const agents = await Promise.all([startAgent(world), startAgent(world)]);
    assert.ok(await until(() => readFileSync(log, 'utf8') !== '', 20_000));
    const owner = world.readState((database) => database.prepare('select owner from lease').get()?.owner);
    const { pid } = JSON.parse(String(owner)) as { readonly pid: number };
    const [worker, other] = agents[0].child.pid === pid ? agents : [agents[1], agents[0]];
    assert.equal(worker.child.pid, pid);
    // Then one of them has looked and left it to the other, which does it
    await end(other);
    writeFileSync(gate, '');
    await untilStatus(world, 3, 'done');
    await end(worker);
    assert.equal(readFileSync(live, 'utf8'), 'r1');
    assert.equal(readFileSync(log, 'utf8'), 'r1\n');
    assert.equal(webhook.keys.length, 1);
    assert.equal(resumedTimes(world, 3), 1);
    const { 'unship.approval': approval, ...others } = begunTimes(world, 3);
    assert.equal(approval, 2, 'once before it was killed, once after');
    assert.deepEqual([...new Set(Object.values(others))], [1]);
    requireNoCommandLeft(world);
  });
});

describe('resume --due', { concurrency: 2 }, () => {
  interface Resumed {
    readonly runs: readonly { readonly run: number; readonly status: string }[];
  }

  function resumedIn(stdout: string): readonly string[] {
    return (JSON.parse(stdout) as Resumed).runs.map(({ run, status }) => `${run} ${status}`);
  }

  it('ends a release whose process was killed in its watch, and then nothing is due', async (context) => {
    const { world } = await givenReleaseKilledInWatch(context);
    assert.equal(world.releases().at(-1)?.health, 'unproven');
    const due = await world.run(['resume', '--due', '--json']);
    requireExit(due, 0);
    assert.deepEqual(resumedIn(due.stdout), ['2 done']);
    assert.equal(statusOf(world, 2), 'done');
    assert.equal(world.releases().at(-1)?.health, 'good');
    await requireServed(world, 'r2', 'v2');
    const again = await world.run(['resume', '--due']);
    requireExit(again, 0);
    assert.match(again.stdout, /^Nothing is due\.$/m);
    assert.equal(resumedTimes(world, 2), 1);
  });

  it('ends with 1 when what it goes on with fails', async (context) => {
    const { world, sick } = await givenReleaseKilledInWatch(context);
    writeFileSync(sick, '');
    const due = await world.run(['resume', '--due']);
    requireExit(due, 1, 'guard-unhealthy');
    assert.equal(statusOf(world, 2), 'failed');
    assert.equal(world.releases().at(-1)?.health, 'bad');
    await requireServed(world, 'r2', 'v2');
  });

  it('leaves alone what a living process drives and what a person has paused', async (context) => {
    const { world } = await givenGoodRelease(context, program);
    requireExit(await world.run(['resume', '--due', '2', '--yes']), 2, 'usage-invalid');
    world.configure({ production: world.environment('web', { guard: { bake: '60s', every: '100ms' } }) });
    await world.commit({ version: 'v2', column: 'mood' });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 2, 'unship.watch', 'applying');
    const driven = await world.run(['resume', '--due', '--json']);
    requireExit(driven, 0);
    assert.deepEqual(resumedIn(driven.stdout), []);
    release.child.kill('SIGINT');
    requireExit(await release.ended, 5);
    const paused = await world.run(['resume', '--due']);
    requireExit(paused, 0);
    assert.match(paused.stdout, /^Nothing is due\.$/m);
    assert.equal(statusOf(world, 2), 'paused');
    assert.equal(resumedTimes(world, 2), 0);
  });

  it('ends with 5 when its time is over first, and the run stays due', async (context) => {
    const world = await givenKilledRollback(context);
    requireExit(await world.run(['resume', '--due', '--timeout', '1s']), 5);
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    const due = await world.run(['resume', '--due', '--json']);
    requireExit(due, 0);
    assert.deepEqual(resumedIn(due.stdout), ['3 done']);
    await requireServed(world, 'r1', 'v1');
  });
});

describe('approve', { concurrency: 2 }, () => {
  it('refuses what waits for no approval; at the right word the run goes on, and the journal says whose', async (context) => {
    const { world } = await givenTwoReleases(context, program, { environment: { approvals: ['rollback'] } });
    const rollback = world.start(['rollback', '--yes']);
    await untilStep(world, 3, 'unship.approval', 'applying');
    const refused = async (words: readonly string[], exit: number, slug: string, why: RegExp) => {
      const ended = await world.run(['approve', ...words]);
      requireExit(ended, exit, slug);
      assert.match(flat(ended), why);
    };
    await refused(['--yes'], 2, 'usage-invalid', /approve needs RUN/);
    await refused(['r3', '--yes'], 2, 'usage-invalid', /`r3` is no run/);
    await refused(['99', '--yes'], 2, 'unknown-run', /there is no run 99/);
    await refused(['2', '--yes'], 2, 'usage-invalid', /run 2 is done and waits for nothing/);
    await refused(
      ['3', 'web.switch', '--yes'],
      2,
      'usage-invalid',
      /run 3 has no step web\.switch to approve/,
    );
    await refused(['3'], 3, 'confirmation-needed', /Approve run 3\?/);
    requireExit(await world.run(['approve', '3', '--dry-run']), 0);
    // Nothing of that was an approval
    assert.equal(statusOf(world, 3), 'waiting');
    await requireServed(world, 'r2', 'v2');
    requireExit(await world.run(['approve', '3', 'unship.approval', '--yes']), 0);
    requireExit(await rollback.ended, 0);
    await requireServed(world, 'r1', 'v1');
    const by = `approved by ${userInfo().username}`;
    assert.ok(
      journalOf(world, 3).some(
        (entry) => entry.type === 'step' && entry.step === 'unship.approval' && entry.observed === by,
      ),
    );
    assert.match(flat(await world.run(['show', '3'])), new RegExp(by));
    await refused(['3', '--yes'], 2, 'usage-invalid', /run 3 is done and waits for nothing/);
  });

  it('counts the first word, though nobody drives the run when it comes', async (context) => {
    const world = await givenKilledRollback(context);
    requireExit(await world.run(['approve', '3', '--yes']), 0);
    const second = await world.run(['approve', '3', '--yes']);
    requireExit(second, 3);
    assert.match(second.stdout, /was there first; nothing has changed/);
    requireExit(await world.run(['resume', '--due']), 0);
    await requireServed(world, 'r1', 'v1');
  });

  it('refuses a run that waits for its watch only, and one that was cancelled', async (context) => {
    const { world } = await givenReleaseKilledInWatch(context);
    const watching = await world.run(['approve', '2', '--yes']);
    requireExit(watching, 2, 'usage-invalid');
    assert.match(flat(watching), /run 2 waits for no approval/);
    requireExit(await world.run(['resume', '--due']), 0);
    world.configure({ production: world.environment('web', { approvals: ['release'] }) });
    await world.commit({ version: 'v3', column: 'mood' });
    const release = world.start(['release', '--yes']);
    await untilStep(world, 3, 'unship.approval', 'applying');
    requireExit(await world.run(['cancel', '3', '--yes']), 0);
    requireExit(await release.ended, 1);
    const cancelled = await world.run(['approve', '3', '--yes']);
    requireExit(cancelled, 2, 'usage-invalid');
    assert.match(flat(cancelled), /run 3 is undone and waits for nothing/);
    await requireServed(world, 'r2', 'v2');
  });
});
