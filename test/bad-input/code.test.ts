import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type Finished, runProgram, temporaryFolder } from '../cli/program.ts';
import { flat, givenTwoReleases, requireExit, requireServed } from '../e2e/given.ts';
import { buildProgram, type Program } from '../support/program.ts';
import { requireTold } from './damage.ts';

let program: Program;

before(async () => {
  program = await buildProgram();
});

after(async () => {
  await program[Symbol.asyncDispose]();
});

interface Refused {
  readonly slug: string;
  readonly happened: string;
  readonly done: string;
  readonly exit: number;
}

async function refusal(context: TestContext, name: string, text: string): Promise<Refused & Finished> {
  const home = temporaryFolder(context);
  writeFileSync(join(home, name), text);
  const finished = await runProgram(home, ['rollback', '--yes', '--json']);
  assert.equal(finished.code, 2, finished.stdout + finished.stderr);
  assert.ok(!existsSync(join(home, '.local')), 'a state folder was made');
  assert.doesNotMatch(finished.stderr, /^ {4}at /m);
  return { ...finished, ...(JSON.parse(finished.stdout) as Refused) };
}

/** Code that is no good, and what is told of it. */
const code: readonly (readonly [what: string, name: string, text: string, told: RegExp])[] = [
  ['loops', 'unship.config.mjs', 'for (;;);', /^unship\.config\.mjs: it was not evaluated after 10 s$/],
  ['loops in TypeScript', 'unship.config.ts', 'const n: number = 1; while (n > 0);', /after 10 s$/],
  ['loops and catches', 'unship.config.mjs', 'for (;;) try { for (;;); } catch {}', /after 10 s$/],
  ['loops after it has waited', 'unship.config.mjs', 'await null; for (;;);', /after 10 s$/],
  ['loops beside it', 'unship.config.mjs', 'queueMicrotask(() => { for (;;); }); await null;', /after 10 s$/],
  ['waits for ever', 'unship.config.mjs', 'await new Promise(() => {});', /`await` in it never settles$/],
  ['waits for long', 'unship.config.mjs', 'await new Promise((r) => setTimeout(r, 6e5));', /after 10 s$/],
  ['ends the process', 'unship.config.mjs', 'process.exit(0);', /calls process\.exit\(0\)$/],
  ['waits and ends it', 'unship.config.mjs', 'await null; process.exit(0);', /calls process\.exit\(0\)$/],
  ['throws', 'unship.config.ts', '\nthrow new Error("no PORT");', /^unship\.config\.ts:2: no PORT$/],
  ['throws nothing', 'unship.config.mjs', 'throw undefined;', /^unship\.config\.mjs: undefined$/],
  [
    'waits and throws',
    'unship.config.mjs',
    '\nawait null;\nthrow new Error("x");',
    /^unship\.config\.mjs:3: x$/,
  ],
  ['rejects', 'unship.config.mjs', 'await Promise.reject(new TypeError("y"));', /TypeError: y$/],
  ['exports a function', 'unship.config.mjs', 'await null; export default () => 1;', /must be plain data/],
  [
    'names a provider that is none',
    'unship.config.mjs',
    "await null; import { heroku } from 'unship/providers/heroku'; export default heroku();",
    /there is no provider `heroku` in this version of unship/,
  ],
];

describe('a configuration whose code is no good', { concurrency: 8 }, () => {
  for (const [what, name, text, told] of code) {
    it(`that ${what} is told by its name, and nothing is done`, async (context) => {
      const { slug, happened, done, exit } = await refusal(context, name, text);
      assert.deepEqual({ slug, done, exit }, { slug: 'config-invalid', done: 'nothing', exit: 2 });
      assert.match(happened, told);
    });
  }

  it('that waits before it exports is loaded all the same, with what it prints kept off the result', async (context) => {
    const home = temporaryFolder(context);
    writeFileSync(
      join(home, 'unship.config.ts'),
      `import { defineApplication } from 'unship';
       import { server } from 'unship/providers/server';
       console.log('printed');
       const port: number = await Promise.resolve(8080);
       export default defineApplication({ name: 'vault', environments: { production: {
         surfaces: { web: server({ switch: { gateway: { port } } }) } } } });`,
    );
    const { code: exit, stdout, stderr } = await runProgram(home, ['config', '--json']);
    assert.equal(exit, 0, stderr);
    const { definition } = JSON.parse(stdout) as { readonly definition: { readonly name: string } };
    assert.equal(definition.name, 'vault');
  });

  it('ends at Ctrl-C, also while it loops', async (context) => {
    const home = temporaryFolder(context);
    writeFileSync(join(home, 'unship.config.mjs'), 'console.error("looping"); for (;;);');
    const child = spawn(process.execPath, [program.file, 'rollback', '--yes'], {
      cwd: home,
      env: { PATH: process.env.PATH ?? '', HOME: home },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = new Promise((resolve) => child.on('exit', (exit, signal) => resolve(signal ?? exit)));
    child.stderr.once('data', () => child.kill('SIGINT'));
    const began = performance.now();
    assert.equal(await ended, 130);
    assert.ok(performance.now() - began < 9_000, 'it went on looping');
  });

  it('stops no rollback: the one of the last release is taken, and it says so', async (context) => {
    const { world } = await givenTwoReleases(context, program);
    world.write('unship.config.mjs', "throw new Error('no PORT');");
    requireTold(await world.run(['release', '--yes', '--json']), 2, 'config-invalid');
    await requireServed(world, 'r2', 'v2');
    for (const [text, release, version, words] of [
      ['for (;;);', 'r1', 'v1', ['rollback', '--yes']],
      ['await null; for (;;);', 'r2', 'v2', ['undo', '--yes']],
      ["throw new Error('no PORT');", 'r1', 'v1', ['rollback', '--yes']],
    ] as const) {
      world.write('unship.config.mjs', text);
      const back = await world.run(words);
      requireExit(back, 0);
      assert.match(flat(back), /the configuration is broken; this is the one of the last release/);
      await requireServed(world, release, version);
    }
  });
});
