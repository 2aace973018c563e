import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * `npm run mutation -- [FILE]…`: breaks these files in one small way after the other, and fails when the fast tests
 * notice less than nine of ten. Without a file, the modules that `stryker.config.json` names: hours.
 */
process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const files = process.argv.slice(2);
const ended = spawnSync(
  fileURLToPath(new URL('../node_modules/.bin/stryker', import.meta.url)),
  ['run', ...(files.length === 0 ? [] : ['--mutate', files.join(',')])],
  { stdio: 'inherit' },
);
process.exitCode = ended.status ?? 1;
