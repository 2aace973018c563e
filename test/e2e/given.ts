import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { badMigration } from '../support/application-fixture.ts';
import type { Program } from '../support/program.ts';
import {
  type Ended,
  firstVersion,
  said,
  until,
  type Version,
  World,
  type WorldOptions,
} from '../support/world.ts';

/** A world that ends with its test. */
export async function given(
  context: TestContext,
  program: Program,
  options: WorldOptions = {},
): Promise<World> {
  const world = await World.make(program, options);
  context.after(() => world.end());
  return world;
}

/** `r1`, good and live. */
export async function givenGoodRelease(
  context: TestContext,
  program: Program,
  options: WorldOptions = {},
): Promise<{ readonly world: World; readonly good: string }> {
  const world = await given(context, program, options);
  const good = await world.commit(firstVersion);
  await world.expect(0, ['release', '--yes']);
  return { world, good };
}

/** `r1` good, and `r2` live above it. */
export async function givenTwoReleases(
  context: TestContext,
  program: Program,
  options: WorldOptions = {},
): Promise<{ readonly world: World; readonly good: string; readonly bad: string }> {
  const { world, good } = await givenGoodRelease(context, program, options);
  const bad = await world.commit({ version: 'v2', column: 'mood' });
  await world.expect(0, ['release', '--yes']);
  return { world, good, bad };
}

export const destructive: Version = {
  version: 'v2',
  column: 'feeling',
  migrations: { '0002_bad.sql': badMigration },
};

export function requireExit(ended: Ended, exit: number, slug?: string): void {
  assert.equal(ended.exit, exit, said(ended));
  if (slug !== undefined) assert.match(said(ended), new RegExp(`\\b${slug}\\b`), said(ended));
}

/** Waits until this step of this run is in this state. */
export async function untilStep(world: World, run: number, step: string, status: string): Promise<void> {
  const select =
    "select count(*) as n from journal where run = ? and entry ->> 'step' = ? and entry ->> 'status' = ?";
  const seen = await until(
    () => world.readState((database) => Number(database.prepare(select).get(run, step, status)?.n)) > 0,
    20_000,
  );
  assert.ok(seen, `${step} of run ${run} never was ${status}`);
}

/** What was said, with its line breaks taken out. */
export function flat(ended: Ended): string {
  return `${ended.stdout} ${ended.stderr}`.replace(/\s+/g, ' ');
}

export async function requireServed(
  world: World,
  release: string,
  version: string,
  port?: number,
): Promise<void> {
  const page = await world.page(port);
  assert.deepEqual({ release: page.release, version: page.version }, { release, version });
}
