import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { TestGateway, until } from './support.ts';

const canary = `canary-${randomBytes(8).toString('hex')}`;

describe('gateway as a proxy', () => {
  let gateway: TestGateway;

  before(async () => {
    process.env.SLACK_WEBHOOK = canary;
    process.env.GITHUB_TOKEN = canary;
    gateway = await TestGateway.make();
    await gateway.start('r1');
    await gateway.switchTo('r1');
  });
  after(() => gateway.dispose());

  it('names the release that answered, whatever the application claims', async () => {
    const { status, headers, body } = await gateway.ask('/');
    assert.deepEqual([status, headers['x-unship-release'], body], [200, 'r1', 'r1']);
    assert.equal((await gateway.ask('/headers')).headers['x-unship-release'], 'r1');
  });

  it('removes hop-by-hop headers both ways and keeps the rest as it came', async () => {
    const { headers, body } = await gateway.ask('/headers', {
      headers: [
        ...['Host', 'example.org', 'Connection', 'keep-alive, X-Secret-Hop, content-length, host'],
        ...[
          'X-Secret-Hop',
          '1',
          'Keep-Alive',
          'timeout=9',
          'Proxy-Authorization',
          'Basic eA==',
          'TE',
          'trailers',
        ],
        ...['X-Unship-Release', 'r7', 'Accept', 'text/a', 'Accept', 'text/b'],
      ],
    });
    const names = rawNames(body);
    for (const hop of ['x-secret-hop', 'keep-alive', 'proxy-authorization', 'te', 'x-unship-release']) {
      assert.ok(!names.includes(hop), hop);
    }
    assert.deepEqual(valuesOf(body, 'accept'), ['text/a', 'text/b']);
    assert.deepEqual(valuesOf(body, 'host'), ['example.org']);
    assert.equal(headers['x-private'], undefined);
    assert.equal(headers['proxy-authenticate'], undefined);
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
  });

  it('control 19: strips what a client says about forwarding and says it itself', async () => {
    const { body } = await gateway.ask('/headers', {
      headers: {
        host: 'example.org',
        'x-forwarded-for': '203.0.113.7',
        'x-forwarded-proto': 'https',
        'x-forwarded-user': 'root',
        'x-real-ip': '203.0.113.7',
        forwarded: 'for=203.0.113.7',
      },
    });
    assert.deepEqual(valuesOf(body, 'x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(valuesOf(body, 'x-forwarded-proto'), ['http']);
    assert.deepEqual(valuesOf(body, 'x-forwarded-host'), ['example.org']);
    for (const name of ['x-forwarded-user', 'x-real-ip', 'forwarded'])
      assert.deepEqual(valuesOf(body, name), []);
  });

  it('control 19: refuses requests whose length is ambiguous', async () => {
    const ambiguous = [
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked, foo\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nX: a\nContent-Length: 4\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd',
      'POST /echo HTTP/1.1\nHost: a\nContent-Length: 4\n\nabcd',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4 \r\nabcd\r\n0\r\n\r\n',
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nZ\n0\n\n',
    ];
    for (const text of ambiguous) {
      const answer = await raw(gateway.port, text);
      assert.match(answer, /^HTTP\/1\.1 400 /, text);
      assert.equal(answer.split('HTTP/1.1').length, 2, 'one answer only');
    }
  });

  it('control 19: the gateway holds no token of whoever started it', async () => {
    const { pid } = await gateway.status();
    const text = await readFile(`/proc/${pid}/environ`, 'utf8');
    assert.ok(!text.includes(canary), 'a canary in the environment');
    const names = text.split('\0').flatMap((entry) => (entry === '' ? [] : [entry.split('=')[0] ?? '']));
    const allowed = new Set(['PATH', 'HOME', 'LANG', 'TMPDIR', 'XDG_RUNTIME_DIR', 'SystemRoot']);
    assert.ok(names.includes('PATH'));
    assert.deepEqual(
      names.filter((name) => !allowed.has(name)),
      [],
    );
    assert.ok(!(await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes(canary));
  });

  it('streams an answer as it is made', async () => {
    const arrivals: number[] = [];
    await new Promise<void>((resolve, reject) => {
      request({ host: '127.0.0.1', port: gateway.port, path: '/stream?count=5' }, (response) => {
        response.on('data', () => arrivals.push(performance.now()));
        response.on('end', resolve);
      })
        .on('error', reject)
        .end();
    });
    assert.ok(arrivals.length >= 4, `${arrivals.length} pieces`);
    assert.ok((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0) > 40, 'pieces came apart in time');
  });

  it('streams a request body: the first part is answered before the last is sent', async () => {
    const sent = request({ host: '127.0.0.1', port: gateway.port, path: '/echo', method: 'POST' });
    const first = new Promise<string>((resolve, reject) => {
      sent.on('error', reject);
      sent.on('response', (response) => response.once('data', (chunk: Buffer) => resolve(chunk.toString())));
    });
    sent.write('first part');
    assert.equal(await first, 'first part');
    sent.end();
  });

  it('passes a large body through unchanged, with a length and in chunks', async () => {
    const body = randomBytes(3_000_000).toString('hex');
    const headers = { 'content-length': String(body.length) };
    assert.equal((await gateway.ask('/echo', { body, headers })).body, body);
    assert.equal(
      (await gateway.ask('/echo', { body, headers: { 'transfer-encoding': 'chunked' } })).body,
      body,
    );
  });

  it('serves the next request of a connection whose body was answered early', async () => {
    const body = 'x'.repeat(500_000);
    const { status } = await gateway.ask('/early', { body });
    assert.equal(status, 413);
    assert.equal((await gateway.ask('/')).body, 'r1');
  });

  it('answers 502 in plain text when the application breaks the connection', async () => {
    const { status, headers, body } = await gateway.ask('/reset');
    assert.equal(status, 502);
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(headers['x-unship-release'], undefined);
    assert.equal(body, 'the application does not answer\n');
  });

  it('turns a whole URL into a path', async () => {
    const answer = await raw(
      gateway.port,
      'GET http://example.org/headers?a=1 HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n',
    );
    assert.match(answer, /"url":"\/headers\?a=1"/);
  });

  it('echoes over a WebSocket', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/socket`);
    const answer = await new Promise<string>((resolve, reject) => {
      socket.onopen = () => socket.send('hello');
      socket.onmessage = ({ data }) => resolve(String(data));
      socket.onerror = () => reject(new Error('the socket failed'));
    });
    socket.close();
    assert.equal(answer, 'r1:hello');
  });

  it('passes on an application that declines an upgrade', async () => {
    const answer = await raw(
      gateway.port,
      'GET /refused HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 403 [\s\S]*x-unship-release: r1[\s\S]*no$/);
  });

  it('forgets a client that went away', async () => {
    const sent = request({ host: '127.0.0.1', port: gateway.port, path: '/slow?ms=60000' });
    sent.on('error', () => undefined);
    sent.end();
    await until('it is under way', async () => (await gateway.status()).releases.r1?.inFlight === 1);
    sent.destroy();
    await until('it is over', async () => (await gateway.status()).releases.r1?.inFlight === 0);
  });
});

function rawNames(body: string): string[] {
  const { raw } = JSON.parse(body) as { raw: string[] };
  return raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
}

function valuesOf(body: string, name: string): string[] {
  const { raw } = JSON.parse(body) as { raw: string[] };
  return raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name);
}

/** Sends bytes as they are; resolves with all that came back when the other side closes. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
  });
}
