import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import type { PartRequest, PartResult } from './part.ts';
import { writers } from './writers.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/**
 * What is killed, frozen and set against each other at any moment depends on the machine, so that stands in the long
 * forms alone: `npm run soak -- kills`, `npm run soak -- contention`.
 *
 * The seeds are always the same here, so that a change is what made it fail; longer forms go on to others.
 */
async function passes(
  test: TestContext,
  part: (request: PartRequest) => Promise<PartResult>,
  { count, minutes }: Pick<PartRequest, 'count' | 'minutes'>,
): Promise<void> {
  const request = { program, seed: 1, count, minutes, tell: (text: string) => test.diagnostic(text) };
  const { violations, ...reached } = await part(request);
  test.diagnostic(JSON.stringify(reached));
  assert.equal(violations.length, 0, violations.join('\n\n'));
  assert.ok(reached.opinions.agrees > 0, 'the observer has judged nothing');
}

describe('real processes, judged by an observer of its own', { concurrency: false }, () => {
  it('a rollback under writers loses nothing that was acknowledged, but what was agreed to', async (test) => {
    await passes(test, writers, { count: 3, minutes: Number.POSITIVE_INFINITY });
  });
});
