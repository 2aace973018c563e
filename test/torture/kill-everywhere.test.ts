import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { buildProgram, type Program } from '../support/program.ts';
import { type Scenario, TortureWorld } from './scenarios.ts';

/**
 * Every command is killed with SIGKILL at every place where it has an effect or writes its journal, and another
 * process goes on. To repeat one: `UNSHIP_TORTURE=rollback:17 npm run torture`.
 */
const worldsSideBySide = 3;
const [onlyScenario, onlyPoint] = (process.env.UNSHIP_TORTURE ?? '').split(':');

interface Failure {
  readonly n: number;
  readonly point: string;
  readonly error: unknown;
}

let program: Program;
const points: { [scenario in Scenario]?: number } = {};

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

/** What is done at one point: the scenario itself, and what leads back to where the next one begins. */
const cycles: {
  readonly [scenario in Scenario]: (torture: TortureWorld, n: number) => Promise<string | null>;
} = {
  release: async (torture, n) => {
    const { point } = await torture.release(n);
    await torture.rollback(0);
    return point;
  },
  rollback: async (torture, n) => {
    await torture.release(0);
    return (await torture.rollback(n)).point;
  },
  undo: async (torture, n) => (await torture.undo(n)).point,
  cancel: async (torture, n) => (await torture.cancel(n)).point,
};

/** Tries point after point, each in the next free world, until the command ends before it is killed. */
async function everywhere(scenario: Scenario): Promise<void> {
  const failures: Failure[] = [];
  let next = onlyPoint === undefined ? 1 : Number(onlyPoint);
  let last = onlyPoint === undefined ? Number.POSITIVE_INFINITY : next;
  let tried = 0;
  const work = async (): Promise<void> => {
    let torture: TortureWorld | undefined;
    try {
      while (next <= last && failures.length < 5) {
        const n = next;
        next += 1;
        torture ??= await prepared(scenario);
        try {
          const point = await cycles[scenario](torture, n);
          if (point === null) last = Math.min(last, n);
          else tried += 1;
        } catch (error) {
          failures.push({ n, point: torture.lastPoint, error });
          // What comes after a failure in the same world would only follow from it.
          await torture.end();
          torture = undefined;
        }
      }
    } finally {
      await torture?.end();
    }
  };
  await Promise.all(Array.from({ length: worldsSideBySide }, work));
  points[scenario] = tried;
  failures.sort((a, b) => a.n - b.n);
  const told = failures.map(
    ({ n, point, error }) =>
      `${scenario} killed at point ${n}, ${point}; repeat: UNSHIP_TORTURE=${scenario}:${n} npm run torture\n${
        error instanceof Error ? error.stack : String(error)
      }`,
  );
  assert.equal(failures.length, 0, told.join('\n\n'));
  assert.ok(tried > 0, 'no point was passed');
}

async function prepared(scenario: Scenario): Promise<TortureWorld> {
  const torture = await TortureWorld.make(program);
  if (scenario === 'undo') {
    await torture.release(0);
    await torture.rollback(0);
  }
  return torture;
}

describe('killed at every point and resumed by another process', { concurrency: false }, () => {
  for (const scenario of ['release', 'rollback', 'undo', 'cancel'] as const) {
    if (onlyScenario !== undefined && onlyScenario !== '' && onlyScenario !== scenario) continue;
    it(`${scenario} comes to the same end wherever it is killed`, async (test) => {
      await everywhere(scenario);
      test.diagnostic(`${points[scenario]} points`);
    });
  }
});
