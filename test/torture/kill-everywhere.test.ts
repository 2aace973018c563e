import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Opinions } from '../reliability/judge.ts';
import { addOpinions } from '../reliability/part.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { type Scenario, TortureWorld } from './scenarios.ts';

/**
 * Every command is killed with SIGKILL at every place where it has an effect or writes its journal, and another
 * process goes on. One scenario: `UNSHIP_TORTURE=undo npm run torture`; one point of it: `undo:17`; every eighth
 * point from the fifth on: `undo:5+8`.
 */
const worldsSideBySide = 3;
const asked = /^(?<scenario>[a-z]*)(?::(?<first>\d+)(?:\+(?<every>\d+))?)?$/.exec(
  process.env.UNSHIP_TORTURE ?? '',
)?.groups;

interface Failure {
  readonly n: number;
  readonly point: string;
  readonly error: unknown;
}

interface Cycle {
  readonly title: string;
  readonly rehearsal: 'required' | 'off';
  /** Tries every so many points: a rehearsal passes hundreds that touch nothing live. */
  readonly stride: number;
  /** What is done at one point, and what leads back to where the next begins. Null when it never came there. */
  run(torture: TortureWorld, n: number): Promise<string | null>;
}

const cycles: { readonly [scenario in Scenario]: Cycle } = {
  release: {
    title: 'a release and the rollback of it come to the same end wherever they are killed',
    rehearsal: 'off',
    stride: 1,
    run: async (torture, n) => {
      const there = await torture.release(n);
      const back = await torture.rollback(n);
      return there.point ?? back.point;
    },
  },
  undo: {
    title: 'an undo comes to the same end wherever it is killed',
    rehearsal: 'off',
    stride: 1,
    run: async (torture, n) => (await torture.undo(n)).point,
  },
  cancel: {
    title: 'a release that was killed anywhere is cancelled without a trace, up to its point of no return',
    rehearsal: 'off',
    stride: 1,
    run: async (torture, n) => (await torture.cancel(n)).point,
  },
  rehearsal: {
    title: 'a rehearsal that is killed changes nothing live and leaves nothing',
    rehearsal: 'required',
    stride: 12,
    run: async (torture, n) => (await torture.rehearsal(n)).point,
  },
};

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

async function prepared(scenario: Scenario): Promise<TortureWorld> {
  const torture = await TortureWorld.make(program, cycles[scenario].rehearsal);
  if (scenario === 'undo') {
    await torture.release(0);
    await torture.rollback(0);
  }
  return torture;
}

function tell(scenario: Scenario, { n, point, error }: Failure): string {
  const what = error instanceof Error ? error.stack : String(error);
  return `${scenario} killed at point ${n}, ${point}; repeat: UNSHIP_TORTURE=${scenario}:${n} npm run torture\n${what}`;
}

interface Tried {
  readonly points: number;
  /** What somebody who looks for himself thinks of the last words of all commands. */
  readonly opinions: Opinions;
}

/** Tries point after point, each in the next free world, until a command ends before it comes there. */
async function everywhere(scenario: Scenario): Promise<Tried> {
  const { run } = cycles[scenario];
  const stride = asked?.every === undefined ? cycles[scenario].stride : Number(asked.every);
  const single = asked?.first !== undefined && asked.every === undefined;
  const failures: Failure[] = [];
  let next = Number(asked?.first ?? 1);
  let last = single ? next : Number.POSITIVE_INFINITY;
  let tried = 0;
  const opinions: Opinions = { agrees: 0, unknowable: 0, contradicts: 0 };
  const leave = async (torture: TortureWorld | undefined): Promise<void> => {
    if (torture !== undefined) addOpinions(opinions, torture.world.opinions);
    await torture?.end();
  };
  const work = async (): Promise<void> => {
    let torture: TortureWorld | undefined;
    try {
      while (next <= last && failures.length < 5) {
        const n = next;
        next += stride;
        torture ??= await prepared(scenario);
        try {
          const point = await run(torture, n);
          if (point === null) last = Math.min(last, n);
          else tried += 1;
        } catch (error) {
          const failure = { n, point: torture.lastPoint, error };
          failures.push(failure);
          // At once: the other points take their time.
          process.stderr.write(`${tell(scenario, failure)}\n`);
          // What comes after a failure in the same world would only follow from it.
          await leave(torture);
          torture = undefined;
        }
      }
    } finally {
      await leave(torture);
    }
  };
  await Promise.all(Array.from({ length: single ? 1 : worldsSideBySide }, work));
  failures.sort((a, b) => a.n - b.n);
  assert.equal(failures.length, 0, failures.map((failure) => tell(scenario, failure)).join('\n\n'));
  assert.ok(tried > 0, 'no point was passed');
  // Of what was killed nobody can tell what it would have said.
  assert.ok(opinions.agrees > tried / 2, `the observer has judged ${opinions.agrees} commands`);
  return { points: tried, opinions };
}

describe('killed at every point and resumed by another process', { concurrency: false }, () => {
  for (const scenario of Object.keys(cycles) as Scenario[]) {
    if ((asked?.scenario ?? '') !== '' && asked?.scenario !== scenario) continue;
    it(cycles[scenario].title, async (test) => {
      const { points, opinions } = await everywhere(scenario);
      test.diagnostic(`${points} points; judged from outside: ${JSON.stringify(opinions)}`);
    });
  }
});
