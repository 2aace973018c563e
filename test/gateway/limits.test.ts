import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createProxy } from '../../src/gateway/proxy.ts';
import { rotateLog } from '../../src/gateway/supervised-process.ts';
import { Traffic } from '../../src/gateway/traffic.ts';
import { ask, isAlive, TestGateway, until } from './support.ts';

describe('proxy before an application of its own', () => {
  let application: Server;
  let proxy: Server;
  let traffic: Traffic;
  let port: number;
  let requests: string[];
  /** Connections on which the application has answered once already are reset at the next request. */
  let resetsReused: boolean;

  beforeEach(async () => {
    requests = [];
    resetsReused = false;
    const used = new WeakSet<Socket>();
    application = createServer((request, response) => {
      requests.push(`${request.method} ${used.has(request.socket) ? 'reused' : 'fresh'}`);
      if (resetsReused && used.has(request.socket)) {
        request.socket.resetAndDestroy();
        return;
      }
      used.add(request.socket);
      request.resume();
      request.on('end', () => response.end('answered'));
    });
    const upstream = await listening(application);
    traffic = new Traffic({ maxWaiting: 3, maxWaitMs: 150 });
    traffic.route({ r1: 1 });
    proxy = createProxy({ traffic, portOf: () => upstream, trustProxy: () => true, report: () => undefined });
    port = await listening(proxy);
  });
  afterEach(async () => {
    for (const server of [proxy, application]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('uses connections to the application again', async () => {
    for (let count = 0; count < 3; count += 1) await ask(port, '/');
    assert.deepEqual(requests, ['GET fresh', 'GET reused', 'GET reused']);
  });

  it('sends a request again, once, when a reused connection was reset before any answer', async () => {
    await ask(port, '/');
    resetsReused = true;
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      requests.length = 0;
      assert.equal((await ask(port, '/', { method })).status, 200, method);
      assert.deepEqual(requests, [`${method} reused`, `${method} fresh`]);
      // The repetition went out on a connection of its own: leave a reusable one for the next round.
      resetsReused = false;
      await ask(port, '/');
      resetsReused = true;
    }
  });

  it('never sends a request twice that may have had its effect', async () => {
    await ask(port, '/');
    resetsReused = true;
    assert.equal((await ask(port, '/', { method: 'POST', body: 'pay' })).status, 502);
    assert.deepEqual(requests, ['GET fresh', 'POST reused']);
  });

  it('refuses those who waited too long, and those who are too many', async () => {
    traffic.hold();
    const began = performance.now();
    const waiting = [1, 2, 3].map(() => ask(port, '/'));
    await until('three wait', () => traffic.waiting === 3);
    const fourth = await ask(port, '/');
    assert.deepEqual([fourth.status, fourth.headers['retry-after']], [503, '5']);
    assert.equal(fourth.headers['x-unship-release'], undefined);
    assert.ok(performance.now() - began < 150, 'at once');
    for (const { status, headers } of await Promise.all(waiting)) {
      assert.deepEqual([status, headers['retry-after']], [503, '5']);
    }
    assert.deepEqual(requests, [], 'nothing reached the application');
    traffic.resume();
    assert.equal((await ask(port, '/')).status, 200);
  });

  it('forgets a waiting client that went away', async () => {
    traffic.hold();
    const controller = new AbortController();
    const gone = fetch(`http://127.0.0.1:${port}/`, { signal: controller.signal });
    await until('it waits', () => traffic.waiting === 1);
    controller.abort();
    await assert.rejects(gone);
    await until('it is forgotten', () => traffic.waiting === 0);
    traffic.resume();
    assert.deepEqual(requests, []);
  });

  it('answers 503 while nothing is released', async () => {
    traffic.route({});
    const { status, body } = await ask(port, '/');
    assert.deepEqual([status, body], [503, 'nothing is released here yet\n']);
  });

  it('passes on what a trusted proxy says about the client', async () => {
    const seen = new Promise<NodeJS.Dict<string | string[]>>((resolve) => {
      application.removeAllListeners('request');
      application.on('request', (request, response) => {
        resolve(request.headers);
        response.end();
      });
    });
    const headers = { host: 'example.org', 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': 'https' };
    await ask(port, '/', { headers });
    const { 'x-forwarded-for': chain, 'x-forwarded-proto': scheme } = await seen;
    assert.deepEqual([chain, scheme], ['203.0.113.7, 127.0.0.1', 'https']);
  });
});

describe('gateway state', () => {
  let gateway: TestGateway;
  beforeEach(async () => {
    gateway = await TestGateway.make();
  });
  afterEach(() => gateway.dispose());

  const kill = async (): Promise<void> => {
    const { pid } = await gateway.status();
    process.kill(pid, 'SIGKILL');
    await until('it is dead', () => !isAlive(pid));
  };

  it('finds a process again whose pid was never written down', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const before = (await gateway.ask('/pid')).body;
    await kill();
    const path = join(gateway.folder, 'state.json');
    const state = JSON.parse(await readFile(path, 'utf8'));
    Object.assign(state.releases.r1, { pid: null, identity: null });
    await writeFile(path, JSON.stringify(state));
    await gateway.send({ command: 'status' });
    assert.equal((await gateway.ask('/pid')).body, before);
  });

  it('does not take a process for its own that only has the same pid', async () => {
    await gateway.start('r1');
    await gateway.switchTo('r1');
    const before = Number((await gateway.ask('/pid')).body);
    await kill();
    process.kill(-before, 'SIGKILL');
    const path = join(gateway.folder, 'state.json');
    const state = JSON.parse(await readFile(path, 'utf8'));
    // As after a reboot: the number belongs to somebody else now, to this test.
    state.releases.r1.pid = process.pid;
    await writeFile(path, JSON.stringify(state));
    await gateway.send({ command: 'status' });
    assert.equal((await gateway.ask('/')).body, 'r1');
    assert.notEqual((await gateway.status()).releases.r1?.pid, process.pid);
  });

  it('sets an unreadable state aside and goes on without', async () => {
    await gateway.send({ command: 'status' });
    await kill();
    await writeFile(join(gateway.folder, 'state.json'), '{"schema":"unship.gateway/1","fen');
    assert.equal(((await gateway.send({ command: 'status' })) as { live: null }).live, null);
    assert.ok((await readdir(gateway.folder)).some((name) => name.startsWith('state.json.unreadable-')));
    assert.match(await gateway.log(), /state file set aside/);
  });

  it('keeps logs small without losing the file that is written to', async () => {
    const path = join(gateway.folder, 'a.log');
    await writeFile(path, 'x'.repeat(100));
    await rotateLog(path, 1_000);
    assert.equal((await readFile(path)).length, 100);
    await rotateLog(path, 50);
    assert.deepEqual([(await readFile(path)).length, (await readFile(`${path}.1`)).length], [0, 100]);
  });
});

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
