import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, LookupFunction } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isPublic } from '../../src/outgoing/addresses.ts';
import { exchange, OutgoingError, type OutgoingRequest } from '../../src/outgoing/client.ts';

const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

interface Site {
  readonly url: URL;
  readonly port: number;
  readonly asked: IncomingMessage[];
  connections: number;
}

async function site(answer: RequestListener): Promise<Site> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const made: Site = { url: new URL(`http://127.0.0.1:${port}/`), port, asked, connections: 0 };
  server.on('connection', () => {
    made.connections += 1;
  });
  return made;
}

function ask(url: URL, more: Partial<OutgoingRequest> = {}): ReturnType<typeof exchange> {
  const signal = new AbortController().signal;
  return exchange({ url, source: 'configured', signal, withinMs: 5_000, bodyLimit: 1_000, ...more });
}

function code(wanted: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof OutgoingError, String(error));
    assert.equal(error.code, wanted);
    return true;
  };
}

const well: RequestListener = (_request, response) => response.end('well');

describe('the one client', () => {
  it('control 11: an address that the operator wrote may be private', async () => {
    const { url } = await site(well);
    assert.deepEqual(await (await ask(url)).text(), { text: 'well', cut: false });
  });

  const spellings = [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '017700000001',
    '0177.0.0.1',
    '0',
    '0.0.0.0',
    '127.255.255.254',
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'app.localhost',
    '①②⑦.0.0.1',
    '127。0。0。1',
  ];
  it(`control 11: a foreign address reaches this machine in none of ${spellings.length} spellings`, async () => {
    const { port, asked, ...target } = await site(well);
    for (const host of spellings) {
      const url = new URL(`http://${host}:${port}/`);
      await assert.rejects(ask(url, { source: 'foreign' }), code('EADDRREFUSED'), host);
    }
    assert.equal(asked.length + target.connections, 0);
  });

  it('control 11: private, link-local and metadata addresses are refused, public ones are not', async () => {
    const refused =
      '10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 192.0.0.192 224.0.0.1 255.255.255.255 fe80::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 2001::1 ::ffff:10.0.0.1';
    for (const address of refused.split(' ')) {
      assert.equal(isPublic(address), false, address);
      const host = address.includes(':') ? `[${address}]` : address;
      const asking = ask(new URL(`http://${host}/`), { source: 'foreign' });
      await assert.rejects(asking, code('EADDRREFUSED'), address);
    }
    for (const address of '1.1.1.1 172.32.0.1 100.128.0.1 2606:4700::1111 2a00::1'.split(' ')) {
      assert.equal(isPublic(address), true, address);
    }
  });

  it('control 11: a name is judged by every address that it resolves to, at the connection', async () => {
    const target = await site(well);
    const url = new URL(`http://storage.example:${target.port}/`);
    const answers = [['127.0.0.1'], ['1.1.1.1', '127.0.0.1'], ['::1'], ['169.254.169.254'], []];
    for (const addresses of answers) {
      const resolve: LookupFunction = (_name, _options, callback) =>
        callback(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        );
      await assert.rejects(ask(url, { source: 'foreign', resolve }), code('EADDRREFUSED'), String(addresses));
    }
    assert.equal(target.connections, 0);
    // The same name, written by the operator: the resolver is used, and the server is reached.
    const resolve: LookupFunction = (_name, { all }, callback) =>
      all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4);
    assert.equal((await (await ask(url, { resolve })).text()).text, 'well');
  });

  it('control 12: redirects are an answer unless they are asked for, and at most three are followed', async () => {
    const chain = await site((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) return void response.end('there');
      response.writeHead(302, { location: `/${left - 1}` }).end();
    });
    const at = (path: string): URL => new URL(path, chain.url);
    const alone = await ask(at('/2'));
    alone.close();
    assert.equal(alone.status, 302);
    const followed = await ask(at('/3'), { followRedirects: true });
    assert.deepEqual([followed.url.pathname, (await followed.text()).text], ['/0', 'there']);
    await assert.rejects(ask(at('/4'), { followRedirects: true }), code('ETOOMANYREDIRECTS'));
    const posted = await ask(at('/2'), { method: 'POST', body: '{}', followRedirects: true });
    posted.close();
    assert.equal(posted.status, 302);
  });

  it('control 11, 12: a redirect is judged as a foreign address, and no token leaves its origin', async () => {
    const other = await site(well);
    const locations = [
      `http://127.0.0.1:${other.port}/`,
      `https://127.0.0.1:${other.port}/`,
      `https://localhost:${other.port}/`,
      `https://[::ffff:7f00:1]:${other.port}/`,
      'https://169.254.169.254/latest/meta-data/',
      `//127.0.0.1:${other.port}/`,
      'file:///etc/passwd',
    ];
    for (const location of locations) {
      const first = await site((_request, response) => response.writeHead(307, { location }).end());
      const secretHeaders = { authorization: 'Bearer canary', 'x-token': 'canary' };
      const asking = ask(first.url, { followRedirects: true, secretHeaders });
      await assert.rejects(asking, OutgoingError, location);
      assert.equal(first.asked[0]?.headers['x-token'], 'canary');
    }
    assert.equal(other.connections, 0);
  });

  it('control 12: tokens go along within the configured origin', async () => {
    const home = await site((request, response) => {
      if (request.url === '/') return void response.writeHead(301, { location: '/moved' }).end();
      response.end(`${request.headers.authorization} ${request.headers['x-token']}`);
    });
    const secretHeaders = { authorization: 'Bearer one', 'x-token': 'two' };
    const reply = await ask(home.url, { followRedirects: true, secretHeaders });
    assert.equal((await reply.text()).text, 'Bearer one two');
  });

  it('control 12: a body without end is read up to its limit, and the connection is closed', async () => {
    const endless = await site((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(10_000)));
      };
      response.on('drain', more);
      more();
    });
    const { text, cut } = await (await ask(endless.url)).text();
    assert.deepEqual([text.length, cut], [1_000, true]);
    const reply = await ask(endless.url);
    let bytes = 0;
    await assert.rejects(async () => {
      for await (const chunk of reply.body) bytes += chunk.length;
    }, code('EBODYTOOLARGE'));
    assert.equal(bytes, 1_000);
  });

  it('control 12: silence before or within the answer ends with the time limit', async () => {
    const silent = await site(() => undefined);
    const isLate = (error: unknown): boolean => error instanceof OutgoingError && error.late;
    await assert.rejects(ask(silent.url, { withinMs: 100 }), isLate);
    await assert.rejects(ask(silent.url, { answerWithinMs: 100 }), isLate);
    const stalled = await site((_request, response) => void response.write('first'));
    const reply = await ask(stalled.url, { withinMs: 300 });
    await assert.rejects(reply.text(), isLate);
  });

  it('control 11: no other source asks over HTTP', () => {
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !/^(outgoing|gateway)\//.test(file))
      .map((file) => join('src', file));
    assert.ok(sources.length > 100);
    const asking = /(['"`])(node:(https?|http2)|undici)\1|\bfetch\(|new (WebSocket|EventSource)\(/;
    assert.deepEqual(
      sources.filter((file) => asking.test(readFileSync(file, 'utf8'))),
      [],
    );
  });
});
