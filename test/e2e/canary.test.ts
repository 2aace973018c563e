import assert from 'node:assert/strict';
import { globSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { said } from '../support/world.ts';
import { givenTwoReleases } from './given.ts';

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
      notifications: { team: [{ provider: 'slack', options: { webhook: { $secret: 'HOOK' } } } as never] },
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
  const forms = ['utf8', 'base64', 'hex'].map((form) =>
    Buffer.from(canary)
      .toString(form as 'hex')
      .slice(0, 32),
  );
  const holds = (text: string): boolean => forms.some((form) => text.includes(form));
  for (const ended of told) assert.ok(!holds(said(ended)), said(ended));
  assert.ok(!holds(readFileSync(events, 'utf8')), 'events');
  const files = globSync('**/*', { cwd: world.stateBase }).map((file) => join(world.stateBase, file));
  const written = files.filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  assert.ok(written.some((file) => file.endsWith('state.db')));
  assert.deepEqual(
    written.filter((file) => holds(readFileSync(file, 'latin1'))),
    [],
  );
  const running = world.processes();
  assert.ok(running.length > 0);
  for (const { command } of running) assert.ok(!holds(command), command);
});
