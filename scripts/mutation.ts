import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
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
  /** Tests that notice, in one process and in this order: the first one that fails ends it. */
  readonly tests: readonly string[];
}

const engine = ['journal', 'session', 'step-runner', 'engine'].map((name) => `test/engine/${name}.test.ts`);
const planner = ['serving', 'whole-plans', 'planner', 'planner-seldom'].map(
  (name) => `test/domain/${name}.test.ts`,
);

/** A file belongs to the first group that names it. */
const groups: readonly Group[] = [
  ...['journal', 'session', 'step-runner', 'engine'].map((name) => ({
    name: `src/engine/${name}.ts`,
    mutate: [`src/engine/${name}.ts`],
    tests: [...engine].sort((one) => (one.includes(`/${name}.`) ? -1 : 0)),
  })),
  ...['compatibility', 'migration-files', 'sql-statements'].map((name) => ({
    name: 'src/domain',
    mutate: [`src/domain/migrations/${name}.ts`],
    tests: [`test/domain/migrations/${name}.test.ts`],
  })),
  { name: 'src/domain', mutate: ['src/domain/planner/*.ts'], tests: planner },
  {
    name: 'src/domain',
    mutate: ['src/domain/*.ts'],
    tests: [
      ...['small-modules', 'plan-and-run', 'version', 'schema-difference', 'security-fix'].map(
        (name) => `test/domain/${name}.test.ts`,
      ),
      'test/guard/guard.test.ts',
      ...planner,
    ],
  },
];

type Result = Awaited<ReturnType<Stryker['runMutationTest']>>[number];

async function breakAll(mutate: readonly string[], tests: readonly string[]): Promise<readonly Result[]> {
  return await new Stryker({
    mutate: [...mutate],
    tap: {
      testFiles: tests.slice(-1),
      nodeArgs: [
        '--disable-warning=ExperimentalWarning',
        '--test-reporter=tap',
        '-r',
        '{{hookFile}}',
        ...['scripts/fixed-seed.ts', ...tests.slice(0, -1)].map((file) => `--import=./${file}`),
        '{{testFile}}',
      ],
    },
  }).runMutationTest();
}

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
  for (const { name, mutate, tests } of groups) {
    const files = globSync([...mutate]).filter((file) => !seen.has(file));
    for (const file of files) seen.add(file);
    const chosen =
      asked.length === 0 ? files : asked.filter((file) => files.includes(file.split(':')[0] ?? ''));
    if (chosen.length === 0) continue;
    byName.set(name, [...(byName.get(name) ?? []), ...(await breakAll(chosen, tests))]);
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
