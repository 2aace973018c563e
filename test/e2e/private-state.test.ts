import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { filesBelow, openToOthers } from '../support/leaks.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { firstVersion, until, type World } from '../support/world.ts';
import { given, requireExit } from './given.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** As careless as an operator's shell can be: what is started in here begins with it. */
function carelessly<T>(start: () => T): T {
  const before = process.umask(0);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}

it('control 9: command line, gateway and agent keep everything to themselves, whatever mask they start with', async (context) => {
  // Given a story with all surfaces, a backup, a rollback with its incident, and an agent that is at work
  const world = await given(context, program, { surfaces: 'all' });
  const done = (...words: string[]) => carelessly(() => world.expect(0, words));
  const good = await world.commit(firstVersion);
  await done('release', '--yes');
  const agent = carelessly(() => world.start(['agent']));
  await done('backup', '--yes');
  await world.commit({ version: 'v2', column: 'mood', desktop: '1.1.0' });
  await done('release', '--yes');
  world.standby(good, '1.1.1');
  await done('rollback', '--yes');
  // Then nothing of it can be reached by another user, while its processes run
  assert.equal(agent.child.exitCode, null, 'the agent is at work');
  assert.ok(world.processes().length >= 3, 'gateway and releases too');
  assert.deepEqual(openToOthers(world.stateBase), []);
  const files = filesBelow(world.stateBase);
  for (const part of [
    'state.db',
    'daemon.log',
    '/backups/',
    '/logs/',
    '/staged/',
    'incident-1.md',
    '/releases/',
  ]) {
    assert.ok(
      files.some((file) => file.includes(part)),
      part,
    );
  }
  // And what clients read through a web server is readable, and writable by its owner alone
  const offered = readdirSync(world.feed).map((name) => join(world.feed, name));
  assert.ok(offered.length > 0);
  for (const file of offered.filter((name) => statSync(name).isFile())) {
    assert.equal(statSync(file).mode & 0o777, 0o644, file);
  }
  agent.child.kill('SIGTERM');
  assert.ok(await until(() => agent.child.exitCode !== null || agent.child.signalCode !== null));
});

/** The folder that the state lies in, made before the program comes. */
function parentOf(world: World, mode: number): string {
  const parent = join(world.folder, 'shared');
  mkdirSync(parent);
  chmodSync(parent, mode);
  // The world's own folder is private, and would close the way.
  chmodSync(world.folder, 0o755);
  return join(parent, 'unship');
}

it('control 9: a folder above the state that others can write to is refused before anything is made there', async (context) => {
  for (const mode of [0o777, 0o775, 0o757]) {
    const world = await given(context, program);
    const base = parentOf(world, mode);
    const refused = await world.run(['release', '--yes', '--state-dir', base]);
    requireExit(refused, 2, 'state-unsafe');
    assert.ok(!existsSync(join(base, 'fixture')), 'nothing was made');
  }
  // Where the sticky bit keeps others from renaming what is ours, it is not.
  const world = await given(context, program);
  await world.expect(0, ['status', '--state-dir', parentOf(world, 0o1777)]);
});
