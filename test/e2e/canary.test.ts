import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { filesBelow, filesWith, findLeak } from '../support/leaks.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { type Ended, said, type World } from '../support/world.ts';
import { givenGoodRelease, givenTwoReleases, requireExit } from './given.ts';

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

function notifications(name: string): { readonly team: readonly never[] } {
  return { team: [{ provider: 'slack', options: { webhook: { $secret: name } } } as never] };
}

/** Neither said, nor in any file of state or feed, nor on the command line of a process. */
function requireNowhere(world: World, canary: string, texts: readonly string[]): void {
  for (const text of texts) assert.equal(findLeak(text, canary), undefined, text);
  const files = filesBelow(world.stateBase);
  for (const name of ['state.db', 'incident-1.md', 'daemon.log']) {
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
