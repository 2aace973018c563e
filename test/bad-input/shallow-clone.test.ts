import assert from 'node:assert/strict';
import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { destructive, givenGoodRelease, requireServed } from '../e2e/given.ts';
import { buildProgram, type Program } from '../support/program.ts';
import type { Version, World } from '../support/world.ts';
import { picture, requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** Where the history is; the world's repository is a clone of its newest commit alone, as CI makes one for every run. */
class Origin {
  readonly #world: World;
  readonly #folder: string;

  constructor(world: World) {
    this.#world = world;
    this.#folder = join(world.folder, 'origin');
    renameSync(world.repository, this.#folder);
  }

  async clone(): Promise<void> {
    const world = this.#world;
    rmSync(world.repository, { recursive: true, force: true });
    await world.gitIn(
      world.folder,
      'clone',
      '--quiet',
      '--depth',
      '1',
      `file://${this.#folder}`,
      'repository',
    );
    assert.equal((await world.git('rev-list', '--all', '--count')).trim(), '1');
  }

  /** Commits on top of `base`, or of what is there, and clones anew. */
  async commit(version: Version, base?: string): Promise<void> {
    const world = this.#world;
    rmSync(world.repository, { recursive: true, force: true });
    renameSync(this.#folder, world.repository);
    if (base !== undefined) await world.git('reset', '--quiet', '--hard', base);
    await world.commit(version);
    renameSync(world.repository, this.#folder);
    await this.clone();
  }
}

it('a clone of depth 1: releases and goes back; what its history must tell and cannot is not guessed at', async (context) => {
  const { world, good } = await givenGoodRelease(context, program, { surfaces: 'web-and-database' });
  await world.page(world.port, 'POST');
  const { served: _, ...atFirst } = await picture(world);
  const origin = new Origin(world);
  await origin.commit(destructive);
  await world.expect(0, ['release', '--yes']);
  await requireServed(world, 'r2', 'v2');
  await origin.clone();
  await world.expect(0, ['rollback', '--yes']);
  await requireServed(world, 'r1', 'v1');
  // Given more work on top of what was rolled back, in a clone that does not show it
  await origin.commit({ version: 'v3', column: 'feeling' });
  const runs = world.runs().length;
  const refused = requireTold(await world.run(['release', '--yes', '--json']), 3, 'history-cut-off');
  assert.match(refused.happened, /is a shallow clone: whether \w{7} contains the quarantined \w{7}/);
  assert.match(refused.next ?? '', /git fetch --unshallow/);
  assert.equal(world.runs().length, runs);
  const { served: __, ...untouched } = await picture(world);
  assert.deepEqual(untouched, atFirst);
  // When done as told, it shows
  await world.git('fetch', '--quiet', '--unshallow');
  requireTold(await world.run(['release', '--yes', '--json']), 3, 'quarantined');
  // Work without it ships from a whole clone
  await origin.commit({ version: 'v4', column: 'mood' }, good);
  requireTold(await world.run(['release', '--yes', '--json']), 3, 'history-cut-off');
  await world.git('fetch', '--quiet', '--unshallow');
  await world.expect(0, ['release', '--yes']);
  const live = world.releases().at(-1)?.id ?? '';
  await requireServed(world, live, 'v4');
  // Where the way back has to be built again, the clone lacks the commit, and says so
  await world.expect(0, ['serve', 'stop', '--yes']);
  await world.expect(0, ['serve', '--yes']);
  const builds = join(world.stateFolder(), 'surfaces/web/releases');
  for (const name of readdirSync(builds).filter((item) => item.startsWith('r1-')))
    rmSync(join(builds, name), { recursive: true });
  await origin.clone();
  const gone = requireTold(await world.run(['rollback', 'r1', '--yes', '--json']), 3, 'target-gone');
  assert.match(gone.happened, /is not in the repository/);
  await requireServed(world, live, 'v4');
  await world.git('fetch', '--quiet', '--unshallow');
  await world.expect(0, ['rollback', 'r1', '--yes']);
  await requireServed(world, 'r1', 'v1');
});
