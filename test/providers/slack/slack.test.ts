import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { systemRuntime } from '../../../src/app/system-runtime.ts';
import { isUnshipError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import type { Channel, Message } from '../../../src/incident/communication.port.ts';
import { createSlack, retryAfterMs } from '../../../src/providers/slack/index.ts';
import { escapeSlack, slackPayload } from '../../../src/providers/slack/payload.ts';
import type { ProviderEnvironment } from '../../../src/surfaces/provider.port.ts';
import type { WorkContext } from '../../../src/surfaces/surface.port.ts';

const token = 'T0CANARYTOKEN1234567890';
const message: Message = {
  audience: 'team',
  title: 'vault: rolled back r42 -> r41',
  lines: ['1,392 rows kept, 0 lost', 'Next: unship incident show 12'],
};

interface Arrival {
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}
let arrivals: Arrival[] = [];
/** One answer per request, the last one for ever. */
let answers: ((response: ServerResponse, request: IncomingMessage) => void)[] = [];
const ok = (response: ServerResponse): void => void response.end('ok');

const sink = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  arrivals.push({ body, headers: request.headers });
  (answers.length > 1 ? answers.shift() : answers[0])?.(response, request);
});
let base = '';

before(async () => {
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(sink.address() as AddressInfo).port}`;
});
beforeEach(() => {
  arrivals = [];
  answers = [ok];
});
after(() => {
  sink.closeAllConnections();
  sink.close();
});

const limits = { exchangeMs: 400, longestWaitMs: 5_000 };

function slackAt(address: string): Channel {
  const environment = { reveal: () => new Secret(address) } as unknown as ProviderEnvironment;
  return createSlack({ webhook: { $secret: 'SLACK_WEBHOOK' } }, environment, limits);
}
const slack = (): Channel => slackAt(`${base}/services/T024BE7LD/B0/${token}?key=${token}`);

function context(signal = new AbortController().signal): WorkContext & { waits: number[] } {
  const runtime = systemRuntime();
  const waits: number[] = [];
  const sleep = async (ms: number): Promise<void> => {
    waits.push(ms);
  };
  return {
    runtime: { ...runtime, clock: { ...runtime.clock, sleep } },
    signal,
    idempotencyKey: 'vault/production/58/unship.notify',
    fence: 1,
    maximumRowsLost: 0,
    progress: () => {},
    waits,
  };
}

/** The error of a delivery that failed; nothing of the address may stand anywhere in it. */
async function failure(sending: Promise<unknown>): Promise<string> {
  const error = await sending.then(
    (delivery) => assert.fail(`it was ${delivery}`),
    (reason: unknown) => reason,
  );
  assert.ok(isUnshipError(error) && error.slug === 'channel-failed', String(error));
  const everything = `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)} ${error.stack}`;
  assert.ok(!everything.includes(token) && !everything.includes(base), everything);
  return error.details.happened;
}

test('a message arrives once, as JSON, with its key', async () => {
  assert.equal(await slack().send(context(), message, 1), 'delivered');
  assert.equal(arrivals.length, 1);
  const { body, headers } = arrivals[0] as Arrival;
  assert.equal(headers['idempotency-key'], 'vault/production/58/unship.notify');
  assert.match(headers['content-type'] ?? '', /^application\/json/);
  assert.deepEqual(JSON.parse(body), {
    text: 'vault: rolled back r42 -&gt; r41\n1,392 rows kept, 0 lost\nNext: unship incident show 12',
    mrkdwn: false,
    blocks: [
      {
        type: 'header',
        text: { type: 'plain_text', text: 'vault: rolled back r42 -&gt; r41', emoji: false },
      },
      {
        type: 'section',
        text: {
          type: 'plain_text',
          text: '1,392 rows kept, 0 lost\nNext: unship incident show 12',
          emoji: false,
        },
      },
    ],
  });
});

test('a server error is ambiguous: the next attempt may be the second message', async () => {
  answers = [(response) => void response.writeHead(500).end('oops'), ok];
  const channel = slack();
  assert.equal(
    await failure(channel.send(context(), message, 1)),
    'Slack: it answered 500 (oops); it may have arrived',
  );
  assert.equal(await channel.send(context(), message, 2), 'maybe-twice');
});

test('a webhook that hangs is given up after the limit, and is ambiguous', async () => {
  answers = [() => {}, (response) => void response.write('begun'), ok];
  const channel = slack();
  const hung = 'Slack: no answer within 0.4 s; it may have arrived';
  assert.equal(await failure(channel.send(context(), message, 1)), hung);
  assert.equal(await failure(channel.send(context(), message, 2)), hung);
  assert.equal(await channel.send(context(), message, 3), 'maybe-twice');
});

test('a connection that breaks after the request is ambiguous', async () => {
  answers = [(_response, request) => void request.socket.resetAndDestroy(), ok];
  const channel = slack();
  assert.equal(await failure(channel.send(context(), message, 1)), 'Slack: ECONNRESET; it may have arrived');
  assert.equal(await channel.send(context(), message, 2), 'maybe-twice');
});

test('what certainly did not arrive leaves the next attempt the first', async () => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  let address = `http://127.0.0.1:${port}/${token}`;
  const environment = { reveal: () => new Secret(address) } as unknown as ProviderEnvironment;
  const channel = createSlack({ webhook: { $secret: 'SLACK_WEBHOOK' } }, environment, limits);
  assert.equal(await failure(channel.send(context(), message, 1)), 'Slack: ECONNREFUSED; it did not arrive');
  address = `${base}/${token}`;
  answers = [(response) => void response.writeHead(404).end('no_service'), ok];
  const refused = 'Slack: it answered 404 (no_service); it did not arrive';
  assert.equal(await failure(channel.send(context(), message, 2)), refused);
  assert.equal(await channel.send(context(), message, 3), 'delivered');
});

test('after a crash nobody knows about the first attempt', async () => {
  assert.equal(await slack().send(context(), message, 2), 'maybe-twice');
});

test('an ambiguous attempt stays ambiguous through later refusals', async () => {
  answers = [
    (response) => void response.writeHead(503).end(),
    (response) => void response.writeHead(403).end('invalid_token'),
    ok,
  ];
  const channel = slack();
  await failure(channel.send(context(), message, 1));
  await failure(channel.send(context(), message, 2));
  assert.equal(await channel.send(context(), message, 3), 'maybe-twice');
});

test('429 is waited for as it asks, within a cap and a number of times', async () => {
  const limited = (after: string) => (response: ServerResponse) =>
    void response.writeHead(429, { 'retry-after': after }).end('rate_limited');
  answers = [limited('2'), ok];
  const patient = context();
  assert.equal(await slack().send(patient, message, 1), 'delivered');
  assert.deepEqual([patient.waits, arrivals.length], [[2_000], 2]);
  answers = [limited('3600')];
  const far = 'Slack: it asks to wait 60 min; it did not arrive';
  arrivals = [];
  assert.equal(await failure(slack().send(context(), message, 1)), far);
  assert.equal(arrivals.length, 1);
  arrivals = [];
  answers = [limited('0')];
  await failure(slack().send(context(), message, 1));
  assert.equal(arrivals.length, 3);
});

test('Retry-After is seconds or a date', () => {
  const now = Date.UTC(2026, 0, 1);
  assert.equal(retryAfterMs('7', now), 7_000);
  assert.equal(retryAfterMs(new Date(now + 9_000).toUTCString(), now), 9_000);
  assert.equal(retryAfterMs(new Date(now - 9_000).toUTCString(), now), 0);
  for (const odd of [undefined, '', '-5', 'soon', '1e9']) {
    const ms = retryAfterMs(odd, now);
    assert.ok(ms >= 0 && Number.isFinite(ms), `${odd}: ${ms}`);
  }
});

test('a redirect is not followed, wherever it points', async () => {
  let led = 0;
  const elsewhere = createServer((_request, response) => {
    led += 1;
    response.end('ok');
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`;
  answers = [(response) => void response.writeHead(307, { location }).end()];
  assert.equal(
    await failure(slack().send(context(), message, 1)),
    'Slack: it answered 307; it did not arrive',
  );
  elsewhere.close();
  assert.equal(led, 0);
});

test('an endless answer is cut, and an answer that echoes the address is masked', async () => {
  answers = [
    (response) => {
      response.writeHead(400);
      const more = (): void => {
        if (response.destroyed) return;
        if (response.write(Buffer.alloc(32_768, 'x'))) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    },
    (response, request) => void response.writeHead(400).end(`bad ${request.url} \u001b[31m\nred`),
  ];
  assert.match(await failure(slack().send(context(), message, 1)), /^Slack: it answered 400 \(x{120}\);/);
  const echoed = await failure(slack().send(context(), message, 1));
  assert.match(
    echoed,
    /^Slack: it answered 400 \(bad \/services\/\*\*\*\/B0\/\*\*\*\?key=\*\*\* \[31m red\)/,
  );
});

test('an interrupted send ends at once', async () => {
  answers = [() => {}];
  const abort = new AbortController();
  const sending = slack().send(context(abort.signal), message, 1);
  setTimeout(() => abort.abort(), 20);
  assert.match(await failure(sending), /^Slack: interrupted;/);
});

test('validate looks at the address only, and names the variable and not its value', async () => {
  await slack().validate(context());
  assert.equal(arrivals.length, 0);
  for (const address of ['hooks.example/x/secretsecret', 'file:///etc/passwd', 'javascript:alert(1)']) {
    await assert.rejects(slackAt(address).validate(context()), (error) => {
      assert.ok(isUnshipError(error) && error.slug === 'config-invalid');
      assert.match(error.details.happened, /SLACK_WEBHOOK/);
      return !inspect(error).includes(address);
    });
  }
});

test('control 20: outside text makes no mention, link or line', () => {
  assert.equal(
    escapeSlack('<!here> <@U1> <https://x.example|y> & &lt;'),
    '&lt;!\u2060here&gt; &lt;@\u2060U1&gt; &lt;https://x.example|y&gt; &amp; &amp;lt;',
  );
  assert.equal(escapeSlack('a\r\nb\u2028c\u0000\u001b[2J\u202Ed'), 'a b c[2Jd');
  assert.equal(
    escapeSlack('UNSHIP_STATE_DIR entries_old --plan 7f3a19'),
    'UNSHIP_STATE_DIR entries_old --plan 7f3a19',
  );
  for (const mention of ['@channel', '@here', '@all', '@someone']) {
    assert.ok(!escapeSlack(`x ${mention}`).includes(mention));
  }
  assert.ok(!escapeSlack('![a](https://x.example)').includes(']('));
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const escaped = escapeSlack(text);
      assert.ok(!/[<>\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(escaped.replaceAll('\u2060', '')), escaped);
      assert.ok(!/&(?!(amp|lt|gt);)/.test(escaped));
      assert.ok(!/@[\p{L}\p{N}]/u.test(escaped));
    }),
  );
});

test('long messages are cut to what Slack takes, never inside an entity', () => {
  const long = fc
    .array(fc.constantFrom('<', '&', '>', 'a', '😀'), { minLength: 100, maxLength: 1_200, size: 'max' })
    .map((characters) => characters.join(''));
  fc.assert(
    fc.property(fc.array(long, { minLength: 1, maxLength: 6 }), (lines) => {
      const { text, blocks } = slackPayload({ audience: 'team', title: lines[0] ?? '', lines });
      const texts = [text, ...blocks.map((block) => block.text.text)];
      for (const one of texts) {
        assert.ok(one.length <= 3_000);
        assert.ok(!/&(?!(amp|lt|gt);)/.test(one), one.slice(-20));
        assert.equal(Buffer.from(one).toString(), one);
      }
      assert.ok((blocks[0]?.text.text.length ?? 0) <= 150);
    }),
  );
});
