import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { systemRuntime } from '../../src/app/system-runtime.ts';
import { detect } from '../../src/config/detect.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { canonicalJson, type Json } from '../../src/domain/json.ts';
import { foldRun } from '../../src/domain/run.ts';
import { Secret } from '../../src/domain/secret.ts';
import { askGateway } from '../../src/gateway/client.ts';
import { isManifest } from '../../src/providers/feed/manifest.ts';
import { Staging } from '../../src/providers/feed/staging.ts';
import { parseFeed } from '../../src/providers/feed/yml.ts';
import { readPackage } from '../../src/providers/server/dependencies.ts';
import { createSlack } from '../../src/providers/slack/index.ts';
import { masked } from '../../src/store/keeping.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import { Input } from '../../src/surfaces/input.ts';
import type { ProviderEnvironment } from '../../src/surfaces/provider.port.ts';
import type { WorkContext } from '../../src/surfaces/surface.port.ts';
import { contractPlan } from '../../src/testing/store-harness.ts';

const sting = '{"polluted":true,"toString":"polluted","name":"polluted"}';
const stings: readonly string[] = [
  `{"__proto__":${sting}}`,
  `{"\\u005f_proto__":${sting}}`,
  `{"constructor":{"prototype":${sting}}}`,
  `{"constructor":${sting}}`,
  `{"prototype":${sting}}`,
  `{"__proto__":{"__proto__":${sting}}}`,
  `{"__proto__":null,"constructor":null}`,
  `{"__proto__":[${sting}],"length":9}`,
  `{"__defineGetter__":${sting},"__lookupGetter__":${sting},"hasOwnProperty":${sting}}`,
  `{"a":1,"a":{"__proto__":${sting}}}`,
];

/** Payloads by their shape: alone, in a list, in members that a reader goes down to. */
const payloads: readonly string[] = stings.flatMap((one) => [
  one,
  `[${one},${one}]`,
  `{"version":${one},"name":${one},"scripts":${one},"dependencies":${one},"environments":${one}}`,
  `{"result":${one},"files":[${one}],"feeds":${one},"steps":[${one}],"plan":${one}}`,
  one.replace('{', '{"version":"1.0.0","name":"vault","schema":"unship.gateway/1","ok":true,"id":1,'),
]);

const prototypes = [Object.prototype, Array.prototype, Function.prototype, String.prototype];
const clean = prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join());

function requireClean(payload: string): void {
  assert.equal(({} as { polluted?: unknown }).polluted, undefined, payload);
  assert.deepEqual(
    prototypes.map((prototype) => Reflect.ownKeys(prototype).map(String).join()),
    clean,
    payload,
  );
  assert.equal(typeof Object.prototype.toString, 'function', payload);
}

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'unship-pollution-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Refused or read: neither may leave a trace. Both happen, or nothing was judged. */
async function throughEach(read: (payload: string) => unknown): Promise<void> {
  assert.ok(payloads.length >= 50, `${payloads.length}`);
  for (const payload of payloads) {
    try {
      await read(payload);
    } catch (error) {
      assert.ok(error instanceof Error, payload);
    }
    requireClean(payload);
  }
}

test('control 13: 50 payloads in a configuration: whole, as its environments, in options', async () => {
  const file = join(folder, 'unship.config.json');
  await throughEach(async (payload) => {
    const options = `{"name":"vault","environments":{"production":{"surfaces":{"web":{"provider":"server","kind":"web","options":${payload}}}}}}`;
    for (const text of [payload, `{"name":"vault","environments":${payload}}`, options]) {
      writeFileSync(file, text, { mode: 0o600 });
      await loadConfiguration(file).catch((error: unknown) => assert.match(String(error), /config-invalid/));
      requireClean(payload);
    }
  });
});

test('control 13: 50 payloads in a package.json, where it is detected from and built by', async () => {
  await throughEach(async (payload) => {
    writeFileSync(join(folder, 'package.json'), payload);
    detect(folder);
    await readPackage(folder);
  });
});

test('control 13: 50 payloads in a reply of the gateway', async (context) => {
  const place = join(folder, 'gateway');
  mkdirSync(place);
  let reply = '';
  let asked = 0;
  const server = createServer((socket) => {
    socket.once('data', () => {
      asked += 1;
      socket.end(`${reply}\n`);
    });
  });
  const path = join(place, 'control.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  context.after(() => server.close());
  writeFileSync(join(place, 'socket'), path);
  await throughEach(async (payload) => {
    for (const [ok, member] of [
      ['true', 'result'],
      ['false', 'error'],
    ]) {
      reply = `{"id":1,"ok":${ok},"${member}":${payload}}`;
      await askGateway(place, { command: 'status' }).catch(() => undefined);
      requireClean(payload);
    }
  });
  assert.equal(asked, 2 * payloads.length);
});

test('control 13: 50 payloads in a reply of Slack', async (context) => {
  let body = '';
  let asked = 0;
  const server = createHttpServer((request, response) => {
    asked += 1;
    request.resume().on('end', () => response.writeHead(asked % 2 === 0 ? 200 : 400).end(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T1`;
  const environment = { reveal: () => new Secret(address) } as unknown as ProviderEnvironment;
  const channel = createSlack({ webhook: { $secret: 'HOOK' } }, environment);
  const work = {
    runtime: systemRuntime(),
    signal: new AbortController().signal,
    idempotencyKey: 'k',
    fence: 1,
    maximumRowsLost: 0,
    progress: () => {},
  } satisfies WorkContext;
  await throughEach(async (payload) => {
    body = payload;
    for (const _ of [1, 2]) {
      await channel.send(work, { audience: 'team', title: 't', lines: ['l'] }, 1).catch(() => undefined);
    }
  });
  assert.ok(asked >= payloads.length);
});

test('control 13: 50 payloads as stored plans and in entries of the journal', async (context) => {
  const file = join(folder, 'state.db');
  const runtime = systemRuntime();
  const store = openSqliteStore(file, runtime);
  const database = new DatabaseSync(file, { timeout: 5000 });
  context.after(async () => {
    database.close();
    await store.close();
  });
  const owner = { host: 'h', pid: 1, pidStartedAt: '1', user: 'ada', command: 'unship rollback' };
  const request = { owner, mode: 'normal', run: null, kind: null, now: 0, ttlMs: 1e9 } as const;
  const answer = await store.acquireLease({ ...request, isAlive: () => true });
  assert.ok(answer.granted);
  const { fence } = answer.lease;
  await throughEach(async (payload) => {
    const value = JSON.parse(payload) as Json;
    const { run } = await store.createRun(fence, contractPlan, 1, 'l');
    const entry = {
      type: 'step',
      step: 'web.switch',
      status: 'verified',
      attempt: 1,
      output: value,
    } as const;
    await store.append(fence, run, [entry]);
    await store.signal({ run, name: 'approval', payload: value, at: 1 });
    foldRun(contractPlan, await store.journal(run));
    assert.equal(canonicalJson(masked(value, (text) => text)), canonicalJson(value), 'kept as it was');
    requireClean(payload);
    database.prepare('update runs set plan = ? where id = ?').run(payload, run);
    await assert.rejects(store.journal(run), { slug: 'journal-corrupt' });
    const plan = await store.plan(run);
    if (plan !== undefined) new Input(plan as unknown as Json).optionalText('kind');
  });
});

test('control 13: 50 payloads in a manifest, and in the list of a feed', async () => {
  const staging = new Staging(folder);
  mkdirSync(staging.path('1.0.0'));
  await throughEach(async (payload) => {
    const whole = `{"version":"1.0.0","commit":"","files":[],"feeds":${payload}}`;
    for (const text of [payload, whole]) {
      isManifest(JSON.parse(text));
      writeFileSync(staging.path('1.0.0', 'manifest.json'), text);
      await staging.find('1.0.0');
      await parseFeed(text).catch(() => undefined);
      await parseFeed(`version: 1.0.0\nfiles: []\nextra: ${payload}\n`).catch(() => undefined);
      requireClean(payload);
    }
  });
});
