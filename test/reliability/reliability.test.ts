import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { contention } from './contention.ts';
import { kills } from './kills.ts';
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
 * The seeds are always the same here; longer forms go on to others. The moments still are not: what a seed strikes
 * depends on how fast the machine is.
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
  it('a hundred processes are killed or frozen at any moment, and others go on', async (test) => {
    await passes(test, kills, { count: 100, minutes: Number.POSITIVE_INFINITY });
  });

  it('several at a time, killed, frozen and with wrong clocks, come to rest by one command', async (test) => {
    await passes(test, contention, { count: 1, minutes: 1 });
  });

  it('a rollback under writers loses nothing that was acknowledged, but what was agreed to', async (test) => {
    await passes(test, writers, { count: 3, minutes: Number.POSITIVE_INFINITY });
  });
});
