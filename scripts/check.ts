import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** The one gate: `npm run check`, or `npm run check -- --fast` without the tests and their coverage. Stops at the first failure. */
const { values } = parseArgs({ options: { fast: { type: 'boolean', default: false } } });

const gates: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['types', ['tsc', '--noEmit']],
  ['lint and format', ['biome', 'check', '.']],
  ['boundaries', [process.execPath, 'scripts/boundaries.ts']],
  ['dead code', ['knip']],
  ...(values.fast
    ? []
    : ([
        // It takes seconds, and the tests minutes.
        ['coverage', [process.execPath, 'scripts/coverage.ts']],
        ['tests', [process.execPath, 'scripts/test.ts']],
      ] as const)),
];

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const bin = fileURLToPath(new URL('../node_modules/.bin', import.meta.url));
const environment = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` };

function passes(name: string, [program = '', ...rest]: readonly string[]): boolean {
  const started = performance.now();
  const ended = spawnSync(program, rest, { stdio: ['ignore', 'inherit', 'inherit'], env: environment });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const why = ended.error?.message ?? (ended.signal === null ? `exit code ${ended.status}` : ended.signal);
  const ok = ended.status === 0;
  // The tests' own last line stays the last: it is what people and machines look for.
  if (ok && name === 'tests') return true;
  console.log(ok ? `ok    ${name}  ${seconds} s` : `FAIL  ${name}  ${seconds} s  (${why})`);
  return ok;
}

for (const [done, [name, command]] of gates.entries()) {
  if (passes(name, command)) continue;
  const left = gates.slice(done + 1).map(([other]) => other);
  if (left.length > 0) console.log(`Not run: ${left.join(', ')}.`);
  process.exitCode = 1;
  break;
}
