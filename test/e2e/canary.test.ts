import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import { serverSource } from '../support/application-fixture.ts';
import { filesBelow, filesWith, findLeak } from '../support/leaks.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { type Ended, firstVersion, said, until, type World } from '../support/world.ts';
import { given, givenGoodRelease, givenTwoReleases, requireExit } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

it('control 7, 8: a canary in the one secret is in no file, no output and no command line of a story', async (context) => {
  // Given a webhook that says back what it was called with, and refuses
  let asked = 0;
  const hook = createServer((request, response) => {
    asked += 1;
    response.writeHead(400).end(`no: ${request.url} ${Buffer.from(request.url ?? '').toString('base64')}`);
  });
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  context.after(() => hook.close());
  const canary = 'canary-7f3a19-in-a-webhook';
  const address = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/services/${canary}`;
  const { world } = await givenTwoReleases(context, program, {
    environment: {
      notifications: notifications('HOOK'),
    },
    variables: { HOOK: address },
  });
  // When a rollback tells the team, and everything that prints is asked
  const events = join(world.folder, 'events.ndjson');
  const told = [await world.run(['rollback', '--yes', '--json', '--events', events, '-m', `see ${address}`])];
  for (const words of [
    ['status'],
    ['show', '3', '--json'],
    ['incident', 'show', '1'],
    ['runs'],
    ['config'],
  ]) {
    told.push(await world.run(words));
  }
  assert.ok(asked > 0, 'the webhook was asked');
  // Then nothing of it is anywhere
  requireNowhere(world, canary, [...told.map(said), readFileSync(events, 'utf8')]);
});

/** Fails a release, and prints the secret in every form: as another tool would, that was given it by somebody else. */
const telltale = `import { readFileSync } from 'node:fs';
const secret = readFileSync(process.argv[2], 'utf8');
const bytes = Buffer.from(secret);
const forms = [secret, bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'),
  encodeURIComponent(secret), JSON.stringify(secret), ' '.repeat(120), secret];
console.error(forms.join(' '));
process.exit(1);
`;

it('control 7: what another tool says of the secret is masked before it is kept, also where it is shortened', async (context) => {
  // Given a team to tell, and a check that knows the address and fails from the second release on
  const hook = createServer((_request, response) => response.writeHead(200).end('ok'));
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  context.after(() => hook.close());
  const canary = 'canary-7f3a20-of-a-tool';
  const address = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/services/${canary}`;
  const { world } = await givenGoodRelease(context, program, { variables: { HOOK: address } });
  const known = join(world.folder, 'known-to-a-tool');
  const script = join(world.folder, 'telltale.mjs');
  writeFileSync(known, address);
  writeFileSync(script, telltale);
  world.configure({
    production: world.environment('web', {
      checks: [{ command: [process.execPath, script, known], name: 'telltale' }],
      notifications: notifications('HOOK'),
    }),
  });
  // When a release fails by it, and is taken back
  await world.commit({ version: 'v2', column: 'mood' });
  const events = join(world.folder, 'events.ndjson');
  const released = await world.run(['release', '--yes', '--json', '--events', events]);
  assert.notEqual(released.exit, 0, said(released));
  assert.match(said(released), /telltale: exit code 1: .*\*\*\*/s);
  rmSync(known);
  world.configure({ production: world.environment('web', { notifications: notifications('HOOK') }) });
  const told = [released, await world.run(['rollback', '--yes', '-m', 'the check said so'])];
  for (const words of [['show', '2', '--json'], ['incident', 'show', '1'], ['status'], ['doctor']]) {
    told.push(await world.run(words));
  }
  requireExit(told[1] as Ended, 0);
  // Then its words are kept without the secret
  const kept = world.readState((database) =>
    database
      .prepare(`select entry from journal where run = 2 and entry like '%telltale: exit code 1%'`)
      .all(),
  );
  assert.ok(kept.length > 0, 'the words of the check are in the journal');
  assert.match(String(kept[0]?.entry), /\*\*\*/);
  requireNowhere(world, canary, [...told.map(said), readFileSync(events, 'utf8')]);
});

/** Prints the secret in every form, also cut between two writes, on both streams; fails where `fail` is committed. */
const talkativeBuild = `import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
const secret = readFileSync(process.argv[2], 'utf8');
const bytes = Buffer.from(secret);
const forms = [secret, bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'),
  bytes.toString('hex').toUpperCase(), encodeURIComponent(secret), JSON.stringify({ secret }),
  Buffer.from('user:' + secret).toString('base64')];
for (const stream of [process.stdout, process.stderr]) {
  for (const form of forms) stream.write('said ' + form + ' so\\n');
  for (const form of forms) {
    stream.write('in pieces ' + form.slice(0, form.length / 2));
    await sleep(20);
    stream.write(form.slice(form.length / 2) + '\\n');
  }
  stream.write('x'.repeat(3980) + secret + '\\n');
}
process.exitCode = existsSync('fail') ? 1 : 0;
`;

it('control 7: what a build prints of the secret is masked before it is kept, in whatever pieces it comes', async (context) => {
  // Given builds, of the web and of the desktop, that know the address from a file of their own
  const canary = 'canary-7f3a21-of-a-build';
  const address = `http://127.0.0.1:9/services/${canary}?a=b&c=d`;
  const world = await given(context, program, { surfaces: 'all', variables: { HOOK: address } });
  const known = join(world.folder, 'known-to-a-build');
  const script = join(world.folder, 'build.mjs');
  writeFileSync(known, address);
  writeFileSync(script, talkativeBuild);
  const building = { build: [process.execPath, script, known], buildReads: [known, script] };
  const { surfaces, ...rest } = world.environment('all', { notifications: notifications('HOOK') });
  const { desktop, database } = surfaces as { [name: string]: EnvironmentDefinition['surfaces'][string] };
  const artifacts = { ...building, build: [...building.build, '--', 'desktop'], artifacts: '.' };
  world.configure({
    production: {
      ...rest,
      surfaces: {
        web: world.webSurface(world.port, building),
        ...(database === undefined ? {} : { database }),
        ...(desktop === undefined
          ? {}
          : { desktop: { ...desktop, options: { ...(desktop.options as object), ...artifacts } as never } }),
      },
    },
  });
  // When one is built well, and the next is not
  await world.commit(firstVersion);
  await world.expect(0, ['release', '--only', 'web,database', '--yes']);
  const events = join(world.folder, 'events.ndjson');
  const told = [await world.run(['release', '--yes', '--json', '--events', events])];
  world.write('fail', '');
  await world.commit({ version: 'v2', column: 'mood' });
  told.push(await world.run(['release', '--only', 'web', '--yes', '--events', events]));
  requireExit(told[1] as Ended, 1, 'build-failed');
  told.push(await world.run(['show', '3', '--json']));
  // Then both logs hold all that was said, but for the secret
  const logs = filesBelow(world.stateBase).filter((file) => /\/logs\/build-.*\.log$/.test(file));
  assert.deepEqual(logs.map((file) => file.split('/').at(-3)).sort(), ['desktop', 'web', 'web']);
  for (const log of logs) {
    const text = readFileSync(log, 'utf8');
    assert.equal(text.match(/^said .*\*\*\*.* so$/gm)?.length, 16, text);
    assert.equal(text.match(/in pieces .*\*\*\*/g)?.length, 16, text);
  }
  rmSync(known);
  const texts = [...told.map(said), readFileSync(events, 'utf8')];
  requireNowhere(world, canary, texts, ['state.db', 'daemon.log']);
});

/** Says the secret in every form whenever it is asked, and goes on. */
const talkativeServer = serverSource.replace(
  "  if (request.url === '/health') {",
  `  if (request.url === '/health') {
    const secret = readFileSync(process.env.KNOWN, 'utf8');
    const bytes = Buffer.from(secret);
    for (const form of [secret, bytes.toString('base64'), bytes.toString('hex'), encodeURIComponent(secret),
      'ä ' + secret, JSON.stringify({ secret })]) console.log('said ' + form + ' so');
    process.stdout.write(Buffer.from([0xff, 0xfe]));
    console.log(' no text ' + secret + ' so');
`,
);

it('control 7: what a released process prints of the secret is covered where it stands', async (context) => {
  const canary = 'canary-7f3a22-of-a-server';
  const address = `http://127.0.0.1:9/services/${canary}`;
  const world = await given(context, program, { variables: { HOOK: address } });
  const known = join(world.folder, 'known-to-a-server');
  writeFileSync(known, address);
  world.write('server.mjs', talkativeServer);
  world.configure({
    production: world.environment('web', {
      surfaces: { web: world.webSurface(world.port, { environment: { KNOWN: known } }) },
      notifications: notifications('HOOK'),
    }),
  });
  const log = join(world.stateFolder(), 'surfaces/web/gateway/logs/r1.log');
  const lines = (): readonly string[] => readFileSync(log, 'utf8').split('\n').slice(0, -1);
  await world.commit({ version: 'v1' });
  await world.expect(0, ['release', '--yes']);
  const atFirst = lines().length;
  assert.ok(atFirst >= 7 && atFirst % 7 === 0, `${atFirst} lines`);
  assert.deepEqual(filesWith(world.stateBase, canary), []);
  // It goes on printing into the same file, and whoever comes by on time covers that too
  for (let asked = 0; asked < 3; asked += 1)
    await fetch(`http://127.0.0.1:${world.port}/health`, { headers: { connection: 'close' } });
  assert.ok(await until(() => lines().length === atFirst + 21), `${lines().length} lines`);
  assert.notDeepEqual(filesWith(world.stateBase, canary), []);
  await world.expect(0, ['resume', '--due']);
  assert.deepEqual(filesWith(world.stateBase, canary), []);
  for (const line of lines()) assert.match(line, /^(said |\ufffd\ufffd no text ).*\*{8}.* so$/);
  assert.equal(lines().length, atFirst + 21);
});

function notifications(name: string): { readonly team: readonly never[] } {
  return { team: [{ provider: 'slack', options: { webhook: { $secret: name } } } as never] };
}

/** Neither said, nor in any file of state or feed, nor on the command line of a process. */
function requireNowhere(
  world: World,
  canary: string,
  texts: readonly string[],
  kept: readonly string[] = ['state.db', 'incident-1.md', 'daemon.log'],
): void {
  for (const text of texts) assert.equal(findLeak(text, canary), undefined, text);
  const files = filesBelow(world.stateBase);
  for (const name of kept) {
    assert.ok(
      files.some((file) => file.endsWith(name)),
      name,
    );
  }
  assert.deepEqual([...filesWith(world.stateBase, canary), ...filesWith(world.feed, canary)], []);
  const running = world.processes();
  assert.ok(running.length > 0);
  for (const { command } of running) assert.equal(findLeak(command, canary), undefined, command);
}
