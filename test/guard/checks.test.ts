import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemRuntime } from '../../src/app/system-runtime.ts';
import { isUnshipError } from '../../src/domain/errors.ts';
import { createCheck } from '../../src/guard/checks.ts';
import { createHttpCheck } from '../../src/guard/http-check.ts';

const context = { runtime: systemRuntime(), signal: new AbortController().signal };
let folder = '';
let server: Server;
let base = '';
let answer: RequestListener;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'unship-checks-'));
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const health = (extra: object = {}) => createHttpCheck({ http: '/health', ...extra }, base).run(context);

test('an HTTP check asks the path and compares the status', async () => {
  let asked = '';
  answer = (request, response) => {
    asked = `${request.method} ${request.url}`;
    response.end('ok');
  };
  const passed = await health();
  assert.deepEqual(
    { ...passed, ms: 0 },
    { check: 'GET /health', verdict: 'pass', seen: 'GET /health: 200', ms: 0 },
  );
  assert.equal(asked, 'GET /health');
  answer = (_request, response) => response.writeHead(500).end('boom');
  assert.equal((await health()).seen, 'GET /health: 500, expected 200');
  assert.equal((await health()).verdict, 'fail');
  assert.equal((await health({ status: 500 })).verdict, 'pass');
});

test('a redirect is an answer and is not followed', async () => {
  let asked = 0;
  answer = (_request, response) => {
    asked += 1;
    response.writeHead(302, { location: `${base}/elsewhere` }).end();
  };
  assert.deepEqual([(await health()).verdict, asked], ['fail', 1]);
  assert.equal((await health({ status: 302 })).verdict, 'pass');
});

test('the body must contain the text, also where it was cut into chunks, and only 64 KiB are read', async () => {
  answer = (_request, response) => {
    const bytes = Buffer.from('{"état":"prêt"}');
    response.write(bytes.subarray(0, 3));
    setImmediate(() => response.end(bytes.subarray(3)));
  };
  assert.equal((await health({ body: '"état":"prêt"' })).verdict, 'pass');
  assert.equal((await health({ body: 'ready' })).seen, 'GET /health: 200, without the expected text');
  let sent = 0;
  answer = (_request, response) => {
    const chunk = Buffer.alloc(32 * 1024, 'x');
    const more = (): void => {
      if (response.destroyed) return;
      sent += chunk.length;
      if (response.write(chunk)) setImmediate(more);
      else response.once('drain', more);
    };
    more();
  };
  const endless = await health({ body: 'never', within: '5s' });
  assert.equal(endless.seen, 'GET /health: 200, without the expected text in its first 64 KiB');
  assert.ok(sent < 64 * 1024 * 1024);
  assert.equal((await health()).verdict, 'pass');
});

test('an answer that comes too late, or never ends, is a failure', async () => {
  answer = () => {};
  const hanging = await health({ within: '80ms' });
  assert.equal(hanging.verdict, 'fail');
  assert.equal(hanging.seen, 'GET /health: no full answer within 80 ms');
  answer = (_request, response) => response.write('begun');
  assert.equal((await health({ within: '80ms' })).verdict, 'fail');
});

test('a broken connection is asked about once more; a second break and a refusal are failures', async () => {
  let asked = 0;
  answer = (request, response) => {
    asked += 1;
    if (asked === 1) request.socket.destroy();
    else response.end('ok');
  };
  assert.deepEqual([(await health()).verdict, asked], ['pass', 2]);
  answer = (request) => request.socket.destroy();
  assert.deepEqual([(await health()).verdict, (await health()).seen], ['fail', 'GET /health: ECONNRESET']);
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const refused = await createHttpCheck({ http: '/' }, `http://127.0.0.1:${port}`).run(context);
  assert.deepEqual([refused.verdict, refused.seen], ['fail', 'GET /: ECONNREFUSED']);
});

test('what could not be asked is unknown: no address, no name, an interrupted look', async () => {
  assert.equal((await createHttpCheck({ http: '/' }, null).run(context)).verdict, 'unknown');
  const nowhere = await createHttpCheck({ http: '/' }, 'http://no-such-host.invalid').run(context);
  assert.equal(nowhere.verdict, 'unknown', nowhere.seen);
  answer = () => {};
  const abort = new AbortController();
  const looking = createHttpCheck({ http: '/' }, base).run({ ...context, signal: abort.signal });
  abort.abort();
  assert.equal((await looking).verdict, 'unknown');
});

test('a path that leaves the live address is refused when the check is made', () => {
  for (const http of ['//other.example/x', 'https://other.example/', 'health', '/\\other.example/', '']) {
    assert.throws(
      () => createHttpCheck({ http }, base),
      (error) => isUnshipError(error) && error.slug === 'config-invalid',
      http,
    );
  }
});

test('with several web surfaces a check names its own, and their evidence is kept apart', async () => {
  answer = (_request, response) => response.end('ok');
  const addresses = new Map([
    ['web', base],
    ['admin', base],
  ]);
  const result = await createCheck({ http: '/health', surface: 'admin' }, { addresses, root: folder }).run(
    context,
  );
  assert.equal(result.check, 'admin GET /health');
  assert.throws(() => createCheck({ http: '/health' }, { addresses, root: folder }), /config-invalid/);
  const gone = await createCheck({ http: '/', surface: 'gone' }, { addresses, root: folder }).run(context);
  assert.equal(gone.verdict, 'unknown');
});

const command = (script: string, extra: object = {}) =>
  createCheck(
    { command: [process.execPath, '-e', script], name: 'probe', ...extra },
    { addresses: new Map(), root: folder },
  );

test('a command check passes with exit code 0 and tells the last line otherwise', async () => {
  assert.deepEqual(
    { ...(await command('').run(context)), ms: 0 },
    { check: 'probe', verdict: 'pass', seen: 'probe: exit code 0', ms: 0 },
  );
  const noisy =
    "for (let i = 0; i < 20000; i++) console.log('line ' + i); console.error('no rows'); process.exitCode = 7";
  const failed = await command(noisy).run(context);
  assert.deepEqual([failed.verdict, failed.seen], ['fail', 'probe: exit code 7: no rows']);
});

test('no shell: arguments arrive as they are, and only the given variables', async () => {
  process.env.UNSHIP_TEST_CANARY = 'canary-value';
  const script = `require('fs').writeFileSync('seen.json', JSON.stringify([process.argv.slice(1), process.cwd(), Object.keys(process.env)]))`;
  const check = createCheck(
    { command: [process.execPath, '-e', script, '$(touch pwned); `id` && *'] },
    { addresses: new Map(), root: folder, variables: { TARGET: 'x' } },
  );
  assert.equal((await check.run(context)).verdict, 'pass');
  delete process.env.UNSHIP_TEST_CANARY;
  const [argv, cwd, names] = JSON.parse(readFileSync(join(folder, 'seen.json'), 'utf8'));
  assert.deepEqual(argv, ['$(touch pwned); `id` && *']);
  assert.equal(cwd, folder);
  assert.ok(names.includes('TARGET') && !names.includes('UNSHIP_TEST_CANARY'), names.join());
  assert.ok(!existsSync(join(folder, 'pwned')));
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

async function eventually(holds: () => boolean): Promise<boolean> {
  const deadline = Date.now() + 5_000;
  while (!holds() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return holds();
}

const leavesChild = (then: string): string => `
  const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
  require('fs').writeFileSync('child.pid', String(child.pid));
  process.on('SIGTERM', () => {});
  ${then}`;

test('too slow a command is a failure, and its whole process group is ended', async () => {
  const result = await command(leavesChild('setInterval(() => {}, 1000)'), { within: '700ms' }).run(context);
  assert.deepEqual([result.verdict, result.seen], ['fail', 'probe: did not end within 0.7 s']);
  const pid = Number(readFileSync(join(folder, 'child.pid'), 'utf8'));
  assert.ok(await eventually(() => !isRunning(pid)));
});

test('what a command leaves running is ended with it and does not keep the check waiting', async () => {
  const result = await command(leavesChild('child.unref(); process.exit(0)')).run(context);
  assert.equal(result.verdict, 'pass');
  assert.ok(result.ms < 5_000, `${result.ms} ms`);
  const pid = Number(readFileSync(join(folder, 'child.pid'), 'utf8'));
  assert.ok(await eventually(() => !isRunning(pid)));
});

test('a command that cannot be started, is killed or interrupted has not been asked', async () => {
  const environment = { addresses: new Map<string, string>(), root: folder };
  const missing = await createCheck({ command: ['/no/such/program'] }, environment).run(context);
  assert.equal(missing.verdict, 'unknown');
  assert.match(missing.seen, /could not be started.*ENOENT/);
  const nul = await createCheck({ command: ['x\0y'] }, environment).run(context);
  assert.equal(nul.verdict, 'unknown');
  const killed = await command("process.kill(process.pid, 'SIGKILL')").run(context);
  assert.deepEqual([killed.verdict, killed.seen], ['unknown', 'probe: ended by SIGKILL']);
  const abort = new AbortController();
  const running = command('setInterval(() => {}, 1000)').run({ ...context, signal: abort.signal });
  setImmediate(() => abort.abort());
  assert.equal((await running).verdict, 'unknown');
  assert.throws(() => createCheck({ command: [] }, environment), /config-invalid/);
});
