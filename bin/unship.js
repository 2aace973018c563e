#!/usr/bin/env node
// Old JavaScript on purpose: an old Node must be able to parse it and say which one it needs. The
// package.json beside it makes it CommonJS, which Nodes older than 12.17 run too.
'use strict';

process.umask(0o077);

const oldest = [22, 18];
const current = process.versions.node.split('.').map(Number);

if (current[0] < oldest[0] || (current[0] === oldest[0] && current[1] < oldest[1])) {
  process.stderr.write(
    `unship needs Node ${oldest.join('.')} or newer, and this is Node ${process.versions.node}.\n`,
  );
  process.exitCode = 2;
} else if (process.argv.length === 3 && /^(-v|--version)$/.test(process.argv[2])) {
  process.stdout.write(`${require('../package.json').version}\n`);
} else {
  start();
}

function urlOf(file) {
  return require('node:url').pathToFileURL(file).href;
}

// node:sqlite calls itself experimental on some of the versions that this runs on; it is no news to a user.
function quietAboutExperiments() {
  const emit = process.emitWarning;
  process.emitWarning = (...warning) => {
    if (warning[1] !== 'ExperimentalWarning') emit.apply(process, warning);
  };
}

function start() {
  quietAboutExperiments();
  const path = require('node:path');
  const module = require('node:module');
  // Not the default place in the shared temporary folder: whoever gets there first could plant code.
  const cache = process.env.XDG_CACHE_HOME || path.join(process.env.HOME || '', '.cache');
  if (path.isAbsolute(cache)) module.enableCompileCache(path.join(cache, 'unship', 'compile'));

  const published = path.join(__dirname, '..', 'dist', 'cli.cjs');
  const source = path.join(__dirname, '..', 'src', 'cli', 'main.ts');
  Promise.resolve()
    // In development from its sources, whose extension needs the loader of modules.
    .then(() => (require('node:fs').existsSync(published) ? require(published) : import(urlOf(source))))
    .then((cli) => cli.start())
    .catch((error) => {
      process.stderr.write(`unship could not start: ${error.stack || error}\n`);
      process.exitCode = 1;
    });
}
