import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PartialStrykerOptions } from '@stryker-mutator/api/core';
import { Stryker } from '@stryker-mutator/core';

/**
 * `npm run mutation -- [FILE[:LINE-LINE]]…`: breaks these files, by default all of engine and domain, in one small
 * way after the other, tells what the tests did not notice, and fails when that is more than one of ten.
 */
const leastNoticed = 90;

interface Group {
  /** Where the score is to be reached: in each file, or in all of them together. */
  readonly name: string;
  readonly mutate: readonly string[];
  readonly options: PartialStrykerOptions;
}

/** Those of one file first. Each mutant meets them in a process of its own, which the first that fails ends. */
function engineOptions(name: string): PartialStrykerOptions {
  const tests = ['journal', 'session', 'step-runner', 'engine']
    .sort((one) => (one === name ? -1 : 0))
    .map((one) => `test/engine/${one}.test.ts`);
  const [last, ...others] = tests.reverse();
  return {
    testRunner: 'tap',
    tap: {
      testFiles: [`${last}`],
      nodeArgs: [
        '--disable-warning=ExperimentalWarning',
        '--test-reporter=tap',
        '-r',
        '{{hookFile}}',
        ...others.reverse().map((file) => `--import=./${file}`),
        '{{testFile}}',
      ],
    },
  };
}

const planner = ['planner', 'planner-seldom', 'whole-plans', 'serving', 'security-fix'];
const words = ['small-modules', 'plan-and-run', 'version', 'schema-difference'];

/** Nothing here is left waiting for anything, and what was tried leaves nothing behind: one process will do. */
function domainOptions(tests: readonly string[]): PartialStrykerOptions {
  return { testRunner: 'in-process', testFiles: tests.map((file) => `test/${file}.test.ts`) };
}

/** A file belongs to the first group that names it. */
const groups: readonly Group[] = [
  ...['journal', 'session', 'step-runner', 'engine'].map((name) => {
    const file = `src/engine/${name}.ts`;
    return { name: file, mutate: [file], options: engineOptions(name) };
  }),
  {
    name: 'src/domain',
    mutate: ['src/domain/migrations/*.ts'],
    options: domainOptions(
      ['compatibility', 'migration-files', 'sql-statements'].map((name) => `domain/migrations/${name}`),
    ),
  },
  {
    name: 'src/domain',
    mutate: ['src/domain/**/*.ts'],
    options: domainOptions([...[...words, ...planner].map((name) => `domain/${name}`), 'guard/guard']),
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

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const asked = process.argv.slice(2);
// The tests of the engine write databases, and whatever is ended early leaves them behind.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'unship-mutation-'));
Object.assign(process.env, {
  TMPDIR: folder,
  NODE_COMPILE_CACHE: join(folder, 'compiled'),
  // The runner starts `node` by its name.
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
});

const started = performance.now();
const byName = new Map<string, Result[]>();
const seen = new Set<string>();
try {
  for (const { name, mutate, options } of groups) {
    const files = globSync([...mutate]).filter((file) => !seen.has(file));
    for (const file of files) seen.add(file);
    const chosen =
      asked.length === 0 ? files : asked.filter((file) => files.includes(file.split(':')[0] ?? ''));
    if (chosen.length === 0) continue;
    byName.set(name, [
      ...(byName.get(name) ?? []),
      ...(await new Stryker({ ...options, mutate: chosen }).runMutationTest()),
    ]);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const results = [...byName.values()].flat();
console.log(`\nnoticed, in ${Math.round((performance.now() - started) / 60_000)} min:`);
for (const file of new Set(results.map(({ fileName }) => fileName))) {
  const of = results.filter(({ fileName }) => fileName === file);
  console.log(line(relative('', file), scoreOf(of)));
}
const tooFew = [...byName].filter(([, of]) => scoreOf(of).percent < leastNoticed);
console.log(line('together', scoreOf(results)));
for (const [name, of] of tooFew) console.error(`${line(name, scoreOf(of))}: less than ${leastNoticed} %`);
if (results.length === 0) throw new Error('nothing was broken: no such file');
process.exitCode = tooFew.length > 0 ? 1 : 0;
