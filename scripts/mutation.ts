import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Stryker } from '@stryker-mutator/core';

/**
 * `npm run mutation -- [FILE[:LINE-LINE]]…`: breaks these files, by default all of engine and domain, in one small
 * way after the other, tells what the tests did not notice, and fails when that is more than one of ten. Left out are
 * sentences, and what runs only while files are loaded (tables, regular expressions): each of these would need a
 * process of its own and all tests.
 */
const leastNoticed = 90;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

interface Group {
  /** Where the score is to be reached: in each file, or in all of them together. */
  readonly name: string;
  readonly mutate: readonly string[];
  /** Tests that live in memory and virtual time; those that are told first are asked first. */
  readonly tests: readonly string[];
}

const engine = ['journal', 'session', 'step-runner', 'engine'];

const groups: readonly Group[] = [
  ...engine.map((name) => ({
    name: `src/engine/${name}.ts`,
    mutate: [`src/engine/${name}.ts`],
    tests: [name, ...engine.filter((other) => other !== name)].map((one) => `test/engine/${one}.test.ts`),
  })),
  {
    name: 'src/domain',
    mutate: globSync('src/domain/**/*.ts').sort(),
    // Not the properties: what they enter differs from run to run.
    tests: globSync(['test/domain/**/!(planner-properties).test.ts', 'test/guard/guard.test.ts']).sort(),
  },
];

type Result = Awaited<ReturnType<Stryker['runMutationTest']>>[number];

interface Score {
  readonly noticed: number;
  /** Of these, how many because the tests came to no end. */
  readonly endless: number;
  readonly of: number;
  readonly percent: number;
}

/** Of what could be noticed: a mutant that does not even load is none. */
function scoreOf(results: readonly Result[]): Score {
  const count = (...statuses: readonly string[]): number =>
    results.filter(({ status }) => statuses.includes(status)).length;
  const endless = count('Timeout');
  const noticed = count('Killed') + endless;
  const of = noticed + count('Survived', 'NoCoverage');
  return { noticed, endless, of, percent: of === 0 ? 100 : (100 * noticed) / of };
}

function line(name: string, { noticed, endless, of, percent }: Score): string {
  const columns = [`${percent.toFixed(1)} %`, `${noticed} of ${of}`, `${endless} endless`, name];
  return columns.map((text, at) => text.padStart([7, 14, 14, 0][at] ?? 0)).join('  ');
}

const asked = process.argv.slice(2);
// The tests of the engine write databases, and whatever is ended early leaves them behind.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'unship-mutation-'));
Object.assign(process.env, {
  TMPDIR: folder,
  NODE_COMPILE_CACHE: join(folder, 'compiled'),
});

const started = performance.now();
const results: Result[] = [];
const tooFew: string[] = [];
try {
  for (const { name, mutate, tests } of groups) {
    const chosen =
      asked.length === 0 ? mutate : asked.filter((file) => mutate.includes(file.split(':')[0] ?? ''));
    if (chosen.length === 0) continue;
    const found = await new Stryker({
      testRunner: 'in-process',
      mutate: [...chosen],
      testFiles: [...tests],
    }).runMutationTest();
    results.push(...found);
    if (scoreOf(found).percent < leastNoticed) tooFew.push(line(name, scoreOf(found)));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

console.log(`\nnoticed, in ${Math.round((performance.now() - started) / 60_000)} min:`);
for (const file of new Set(results.map(({ fileName }) => fileName))) {
  const of = results.filter(({ fileName }) => fileName === file);
  console.log(line(relative('', file), scoreOf(of)));
}
console.log(line('together', scoreOf(results)));
for (const group of tooFew) console.error(`${group}: less than ${leastNoticed} %`);
if (results.length === 0) throw new Error('nothing was broken: there is no such file');
process.exitCode = tooFew.length > 0 ? 1 : 0;
