import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { get, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { checkout, dbmate, list, type RunningVault, start, write, writeSamples } from './vault.ts';

const run = promisify(execFile);

describe('the example journal, good version', () => {
  let tree: Awaited<ReturnType<typeof checkout>>;
  let database: string;
  let vault: RunningVault;

  before(async () => {
    tree = await checkout('good');
    database = join(tree.folder, 'vault.db');
    await dbmate(tree.folder, database, 'up');
    vault = await start(tree.folder, database, { UNSHIP_RELEASE: 'r7', VAULT_HOSTS: 'journal.example.org' });
  });
  after(async () => {
    await vault[Symbol.asyncDispose]();
    await tree[Symbol.asyncDispose]();
  });

  test('health reads the database and names schema and release', async () => {
    const response = await fetch(`${vault.url}/health`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { ok: true, schema: '0002', release: 'r7' });
  });

  test('keeps entries exactly as written, lists them newest first, page by page', async () => {
    const written = await writeSamples(vault.url);
    assert.equal(written[4]?.body, 'SHE SAID YES.\n\nI repeat, for the record: she said yes.');
    assert.deepEqual(await list(vault.url), written.toReversed());
    for (let i = 0; i < 25; i++) assert.equal((await write(vault.url, { body: `Line ${i}` })).status, 201);

    const first = await list(vault.url);
    assert.equal(first.length, 30);
    const rest = await list(vault.url, `?before=${first.at(-1)?.id}`);
    assert.equal(rest.length, 5);
    assert.equal(rest.at(-1)?.id, written[0]?.id);
  });

  test('searches without regard to case and accents, within a mood too', async () => {
    assert.deepEqual(
      (await list(vault.url, '?q=ubersee')).map((entry) => entry.mood),
      ['joyful'],
    );
    assert.equal((await list(vault.url, '?q=100%25')).length, 0, 'no wildcards');
    assert.equal((await list(vault.url, '?q=the&mood=sad')).length, 1);
    assert.equal((await list(vault.url, '?mood=grateful')).length, 2);
  });

  test('counts moods', async () => {
    const { moods } = (await (await fetch(`${vault.url}/api/moods`)).json()) as { moods: { name: string }[] };
    assert.deepEqual(moods[0], { name: 'joyful', entries: 2 });
    assert.equal(moods.length, 6);
  });

  test('refuses what is no entry and says why, in JSON', async () => {
    const json = { 'content-type': 'application/json' };
    const refused: [number, RequestInit][] = [
      [400, { headers: json, body: '{"body": "  "}' }],
      [400, { headers: json, body: '{"body": "x", "mood": "__proto__"}' }],
      [400, { headers: json, body: '[]' }],
      [400, { headers: json, body: 'null' }],
      [400, { headers: json, body: '{' }],
      [400, { headers: json, body: JSON.stringify({ body: 'x'.repeat(20_001) }) }],
      [413, { headers: json, body: JSON.stringify({ body: 'x'.repeat(90_000) }) }],
      [415, { body: '{"body": "from a form of another site"}' }],
    ];
    const count = (await list(vault.url)).length;
    for (const [status, init] of refused) {
      const response = await fetch(`${vault.url}/api/entries`, { method: 'POST', ...init });
      assert.equal(response.status, status, String(init.body).slice(0, 40));
      assert.match(((await response.json()) as { error: string }).error, /\.$/);
    }
    assert.equal((await list(vault.url)).length, count);
    for (const query of ['?mood=furious', '?before=1%20OR%201', `?q=${'x'.repeat(201)}`]) {
      assert.equal((await fetch(`${vault.url}/api/entries${query}`)).status, 400, query);
    }
    assert.equal((await fetch(`${vault.url}/api/entries`, { method: 'DELETE' })).status, 405);
    assert.equal((await fetch(`${vault.url}/../server.mjs`)).status, 404);
    assert.equal((await fetch(`${vault.url}//`)).status, 400);
  });

  test('answers only to its own names, so that a rebound name of another site reads nothing', async () => {
    const statusFor = async (host: string) => {
      const [response] = (await once(get(vault.url, { headers: { host } }), 'response')) as [IncomingMessage];
      response.resume();
      return response.statusCode;
    };
    assert.equal(await statusFor('attacker.example:8080'), 421);
    assert.equal(await statusFor('journal.example.org'), 200);
    assert.equal(await statusFor('localhost:1234'), 200);
  });

  test('the page allows its own scripts and styles only, and has none inline', async () => {
    const response = await fetch(vault.url);
    const policy = response.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    const page = await response.text();
    assert.doesNotMatch(page, /<script(?![^>]+src=)|<style|\son\w+=|\sstyle=/);
  });

  test('installs offline, builds hashed assets, and serves those', async () => {
    await using built = await checkout('good');
    await run('npm', ['ci', '--offline'], { cwd: built.folder });
    await run(process.execPath, ['build.mjs'], { cwd: built.folder });
    const names = await readdir(join(built.folder, 'dist'));
    const script = names.find((name) => /^app\.[0-9a-f]{12}\.mjs$/.test(name));
    assert.ok(script, names.join());
    const info = JSON.parse(await readFile(join(built.folder, 'dist/build-info.json'), 'utf8'));
    assert.equal(info.assets['app.mjs'], script);

    await using served = await start(built.folder, database);
    assert.match(await (await fetch(served.url)).text(), new RegExp(`src="/${script}"`));
    const asset = await fetch(`${served.url}/${script}`);
    assert.match(asset.headers.get('content-type') ?? '', /javascript/);
    assert.match(asset.headers.get('cache-control') ?? '', /immutable/);
    assert.equal((await fetch(`${served.url}/build-info.json`)).status, 404);
  });

  test('on SIGTERM lets a request under way finish, then ends with code 0', async () => {
    const ending = await start(tree.folder, database);
    const sending = request(`${ending.url}/api/entries`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', expect: '100-continue' },
    });
    sending.flushHeaders();
    await once(sending, 'continue');
    const exit = ending.stop();
    // Only once it takes no new connection is it known to have heard the signal.
    const deadline = Date.now() + 10_000;
    while (
      await fetch(`${ending.url}/health`, { headers: { connection: 'close' } }).then(
        () => true,
        () => false,
      )
    ) {
      assert.ok(Date.now() < deadline, 'it went on taking connections');
    }
    sending.end('{"body": "Written while the server was ending."}');
    const [response] = (await once(sending, 'response')) as [IncomingMessage];
    response.resume();
    assert.equal(response.statusCode, 201);
    assert.equal(await exit, 0);
    assert.equal((await list(vault.url))[0]?.body, 'Written while the server was ending.');
  });

  test('does not make an empty journal where there is none', async () => {
    await assert.rejects(start(tree.folder, join(tree.folder, 'elsewhere.db')), /There is no journal at/);
    assert.equal((await readdir(tree.folder)).includes('elsewhere.db'), false);
  });
});
