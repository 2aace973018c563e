import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnshipError } from '../../src/domain/errors.ts';
import { ask, freePort, isAlive, load, TestGateway, until } from './support.ts';

describe('gateway', () => {
  let gateway: TestGateway;

  beforeEach(async () => {
    gateway = await TestGateway.make();
  });
  afterEach(() => gateway.dispose());

  it('switches to and fro under load on keep-alive connections without one failed request', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    const running = load(gateway.port, '/', 16);
    for (let round = 0; round < 6; round += 1) {
      const release = round % 2 === 0 ? 'r2' : 'r1';
      await gateway.switchTo(release);
      const { headers } = await gateway.ask('/');
      assert.equal(headers['x-unship-release'], release, 'from the moment the switch is acknowledged');
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const { answers, failures } = await running.stop();
    assert.deepEqual(failures, []);
    assert.ok((answers.get('r1') ?? 0) > 20 && (answers.get('r2') ?? 0) > 20, JSON.stringify([...answers]));
  });

  it('lets requests of the old release end, and cuts them when the drain time is over', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    const short = gateway.ask('/slow?ms=400');
    const long = gateway.ask('/slow?ms=30000').catch((error: Error) => error);
    await until('both are under way', async () => (await gateway.status()).releases.r1?.inFlight === 2);
    await gateway.switchTo('r2');
    assert.equal((await short).body, 'r1');
    assert.ok((await long) instanceof Error, 'cut after 1 s of drain');
  });

  it('holds requests back and loses none; those under way end first', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    const slow = gateway.ask('/slow?ms=300');
    await until('it is under way', async () => (await gateway.status()).releases.r1?.inFlight === 1);
    const running = load(gateway.port, '/', 8);
    assert.deepEqual(await gateway.hold(), { inFlight: 0 });
    assert.equal((await slow).body, 'r1');
    const held = Array.from({ length: 200 }, () => gateway.ask('/'));
    await until('all wait', async () => (await gateway.status()).waiting === 208);
    await gateway.switchTo('r2');
    for (const { body } of await Promise.all(held))
      assert.equal(body, 'r2', 'held requests see the new release');
    await gateway.hold();
    await gateway.hold();
    await gateway.resume();
    assert.deepEqual((await running.stop()).failures, []);
    assert.equal((await gateway.status()).held, false);
  });

  it('closes WebSockets for a hold, so that nothing reaches the application', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/`);
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
    await gateway.hold();
    await closed;
    await gateway.resume();
  });

  it('ends a hold by itself when its time is over', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    await gateway.hold({ maxMs: 200 });
    assert.equal((await gateway.ask('/')).body, 'r1');
    assert.match(await gateway.log(), /the hold was ended: it lasted too long/);
  });

  it('ends a hold by itself soon after a newer holder has come, though its owner lives', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    await gateway.hold({ maxMs: 600_000 });
    await gateway.send({ command: 'fence', fence: gateway.fence + 1 });
    assert.equal((await gateway.ask('/')).body, 'r1');
    assert.match(await gateway.log(), /the hold was ended: it lasted too long/);
  });

  it('goes on with the hold of an owner who takes a higher fence', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    await gateway.hold({ maxMs: 600_000 });
    gateway.fence += 1;
    await gateway.send({ command: 'fence', fence: gateway.fence, ownerPid: process.pid });
    await sleep(5_500);
    assert.equal((await gateway.status()).held, true);
    await gateway.resume();
    assert.equal((await gateway.ask('/')).body, 'r1');
  });

  it('ends a hold by itself soon after its owner has died', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const owner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    await gateway.hold({ ownerPid: owner.pid ?? 0 });
    const waiting = gateway.ask('/');
    owner.kill('SIGKILL');
    assert.equal((await waiting).body, 'r1');
    assert.match(await gateway.log(), /the hold was ended: its owner has died/);
  });

  it('refuses a lower fence, also after its own death, and changes nothing', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    gateway.fence = 5;
    await gateway.switchTo('r1');
    await killGateway(gateway);
    for (const command of [
      { command: 'switch', fence: 4, release: 'r2' },
      { command: 'hold', fence: 4, ownerPid: process.pid, drainMs: 0, maxMs: 1_000 },
      { command: 'resume', fence: 4 },
      { command: 'weights', fence: 4, weights: { r2: 1 } },
      { command: 'stop', fence: 4, release: 'r2', drainMs: 0 },
      { command: 'start', fence: 4, spec: gateway.spec('r3') },
      { command: 'standby', fence: 4, release: 'r2', signal: 'SIGUSR2' },
      { command: 'shutdown', fence: 4, stopReleases: true },
    ] as const) {
      await assert.rejects(gateway.send(command), slug('fenced-out'), command.command);
    }
    const { live, fence, held, releases } = await gateway.status();
    assert.deepEqual([live, fence, held, Object.keys(releases).sort()], ['r1', 5, false, ['r1', 'r2']]);
  });

  it('splits requests by weight, and the header tells which release answered', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    await gateway.send({ command: 'weights', fence: 1, weights: { r1: 3, r2: 1 } });
    const counts = { r1: 0, r2: 0 };
    for (let count = 0; count < 200; count += 1) {
      const { headers, body } = await gateway.ask('/');
      assert.equal(headers['x-unship-release'], body);
      counts[body as 'r1' | 'r2'] += 1;
    }
    assert.ok(counts.r2 > 15 && counts.r2 < 100, JSON.stringify(counts));
    await gateway.switchTo('r2');
    assert.deepEqual((await gateway.status()).weights, { r2: 1 });
  });

  it('starts a crashed release again', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const before = (await gateway.ask('/pid')).body;
    assert.equal((await gateway.ask('/crash')).status, 502);
    await until('it answers again', async () => (await gateway.ask('/')).status === 200);
    assert.notEqual((await gateway.ask('/pid')).body, before);
    assert.equal((await gateway.status()).releases.r1?.crashes, 1);
  });

  it('killed and started again, serves the same release from the same processes', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    await gateway.switchTo('r2');
    const before = await gateway.status();
    await killGateway(gateway);
    await assert.rejects(gateway.ask('/'));
    const after = (await gateway.send({ command: 'status' })) as typeof before;
    assert.notEqual(after.pid, before.pid);
    assert.deepEqual(after.releases, before.releases);
    assert.equal((await gateway.ask('/')).body, 'r2');
    // An adopted process that crashes is started again like any other.
    assert.equal((await gateway.ask('/crash')).status, 502);
    await until('it answers again', async () => (await gateway.ask('/')).status === 200);
    await gateway.send({ command: 'stop', fence: 1, release: 'r1', drainMs: 1_000 });
    assert.equal(isAlive(before.releases.r1?.pid ?? 0), false);
  });

  it('after a reboot starts the releases again, and requests wait until the live one is up', async () => {
    await gateway.start('r1', { STARTS_AFTER: '300' });
    await gateway.switchTo('r1');
    const { releases } = await gateway.status();
    await killGateway(gateway);
    process.kill(-(releases.r1?.pid ?? 0), 'SIGKILL');
    await gateway.send({ command: 'status' });
    const { status, body } = await gateway.ask('/');
    assert.deepEqual([status, body], [200, 'r1']);
  });

  it('killed during a hold, goes on holding', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    await gateway.hold();
    await killGateway(gateway);
    await gateway.send({ command: 'status' });
    const waiting = gateway.ask('/');
    await until('it waits', async () => (await gateway.status()).waiting === 1);
    await gateway.resume();
    assert.equal((await waiting).body, 'r1');
  });

  it('reports a release that does not become healthy, and leaves no process of it', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    await assert.rejects(gateway.start('r2', { FAILS: 'no database' }), (error: UnshipError) => {
      assert.equal(error.slug, 'target-unhealthy');
      assert.match(error.details.happened, /exit code 7/);
      assert.match(error.details.happened, /can not start: no database/);
      return true;
    });
    const unhealthy = { ...gateway.spec('r3', { UNHEALTHY: '1' }), startWithinMs: 3_000 };
    await assert.rejects(
      gateway.send({ command: 'start', fence: 1, spec: unhealthy }),
      (error: UnshipError) => {
        assert.match(error.details.happened, /GET \/health: 500/);
        return error.slug === 'target-unhealthy';
      },
    );
    assert.deepEqual(Object.keys((await gateway.status()).releases), ['r1']);
    await assert.rejects(gateway.switchTo('r2'), slug('target-unhealthy'));
    assert.equal((await gateway.ask('/')).body, 'r1');
  });

  it('starts on another port when somebody was faster at the chosen one', async () => {
    await gateway.start('r1', { SQUATTED_ONCE: join(gateway.folder, 'squatted') });
    await gateway.switchTo('r1');
    assert.equal((await gateway.ask('/')).body, 'r1');
  });

  it('does not stop what serves; stops the rest with its whole group', async () => {
    await gateway.start('r1');
    await gateway.start('r2');
    await gateway.switchTo('r1');
    await assert.rejects(
      gateway.send({ command: 'stop', fence: 1, release: 'r1', drainMs: 0 }),
      slug('still-serving'),
    );
    const { releases } = await gateway.status();
    await gateway.send({ command: 'stop', fence: 1, release: 'r2', drainMs: 1_000 });
    await gateway.send({ command: 'stop', fence: 1, release: 'r2', drainMs: 1_000 });
    assert.equal(isAlive(releases.r2?.pid ?? 0), false);
    assert.equal((await gateway.ask('/')).body, 'r1');
  });

  it('starts a warm release at no cost, and a resting one after a wake signal', async () => {
    const cold = await gateway.start('r1');
    const warm = await gateway.start('r1');
    assert.deepEqual([cold.already, warm.already, warm.port], [false, true, cold.port]);
    await gateway.send({ command: 'standby', fence: 1, release: 'r1', signal: 'SIGUSR2' });
    assert.equal((await gateway.status()).releases.r1?.phase, 'standby');
    await until('it has heard', async () =>
      (await readFile(join(gateway.folder, 'logs', 'r1.log'), 'utf8')).includes('r1 rests'),
    );
    const woken = { command: 'start', fence: 1, spec: gateway.spec('r1'), wake: 'SIGCONT' } as const;
    assert.equal(((await gateway.send(woken)) as { already: boolean }).already, true);
    assert.equal((await gateway.status()).releases.r1?.phase, 'running');
  });

  it('keeps its socket and its state to its owner', async () => {
    await gateway.start('r1');
    for (const name of ['control.sock', 'state.json', 'daemon.log', 'logs/r1.log']) {
      assert.equal((await stat(join(gateway.folder, name))).mode & 0o077, 0, name);
    }
  });

  it('moves to another port when the configuration says so', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const moved = new TestGateway(gateway.folder, await freePort());
    const { listen } = moved.location;
    await gateway.send({
      command: 'start',
      fence: 1,
      spec: gateway.spec('r1'),
      ...(listen ? { listen } : {}),
    });
    assert.equal((await ask(moved.port, '/')).body, 'r1');
    await assert.rejects(gateway.ask('/'));
  });

  it('answers with a sentence to what it does not know', async () => {
    await assert.rejects(gateway.send({ command: 'dance' } as never), /does not know the command dance/);
  });
});

describe('gateway that can not start', () => {
  it('names the port that another process has', async () => {
    const gateway = await TestGateway.make();
    const other = createServer().listen(gateway.port, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    await assert.rejects(gateway.send({ command: 'status' }), (error: UnshipError) => {
      assert.equal(error.slug, 'port-taken');
      assert.match(error.details.happened, new RegExp(`127\\.0\\.0\\.1:${gateway.port}`));
      return true;
    });
    await new Promise((resolve) => other.close(resolve));
    await gateway.dispose();
  });

  it('is one, however many start it at once', async () => {
    const gateway = await TestGateway.make();
    const found = await Promise.all(Array.from({ length: 4 }, () => gateway.send({ command: 'status' })));
    assert.equal(new Set(found.map((status) => (status as { pid: number }).pid)).size, 1);
    await gateway.dispose();
    // One that was still on its way would make the folder anew.
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(existsSync(gateway.folder), false);
  });

  it('finds its socket also where the path is too long for one', async () => {
    const short = await TestGateway.make();
    const gateway = new TestGateway(join(short.folder, 'x'.repeat(120)), short.port);
    await gateway.start('r1');
    assert.equal((await gateway.status()).releases.r1?.phase, 'running');
    await killGateway(gateway);
    assert.equal(((await gateway.send({ command: 'status' })) as { held: boolean }).held, false);
    const socket = await readFile(join(gateway.folder, 'socket'), 'utf8');
    assert.equal((await stat(dirname(socket))).mode & 0o077, 0);
    await gateway.dispose();
    for (const folder of [short.folder, dirname(socket)]) await rm(folder, { recursive: true });
  });
});

async function killGateway(gateway: TestGateway): Promise<void> {
  const { pid } = await gateway.status();
  process.kill(pid, 'SIGKILL');
  await until('it is dead', () => !isAlive(pid));
}

function slug(wanted: string): (error: unknown) => boolean {
  return (error) => error instanceof UnshipError && error.slug === wanted;
}
