import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { measured } from './coverage-reporter.ts';

/**
 * `npm run coverage`: every line, branch and function of domain and engine is entered by a test that runs them in
 * its own process. Says what is missing, and fails.
 */
const tests = [
  // Not the properties: what they enter differs from run to run.
  'test/domain/**/!(planner-properties).test.ts',
  'test/engine/{engine,journal,session,step-runner}.test.ts',
  'test/guard/guard.test.ts',
];

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const files = globSync(tests).sort();
// With a pattern that has gone stale, nothing would be missing either.
if (files.length < 10) throw new Error(`only ${files.length} files of tests were found`);
const ended = spawnSync(
  process.execPath,
  [
    '--test',
    '--test-concurrency=2',
    '--disable-warning=ExperimentalWarning',
    `--import=${new URL('fixed-seed.ts', import.meta.url)}`,
    '--experimental-test-coverage',
    ...measured.map((pattern) => `--test-coverage-include=${pattern}`),
    '--test-coverage-lines=100',
    '--test-coverage-branches=100',
    '--test-coverage-functions=100',
    `--test-reporter=${new URL('coverage-reporter.ts', import.meta.url)}`,
    '--test-reporter-destination=stdout',
    ...files,
    'scripts/coverage-everything.ts',
  ],
  { stdio: 'inherit' },
);
process.exitCode = ended.status ?? 1;
