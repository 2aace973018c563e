import { runBuild } from '../../src/builds/build.ts';
import { whyNotEnclosed } from '../../src/builds/enclosure.ts';

/** `node build-process.ts FOLDER REGISTRY COMMAND…`: one build by whoever runs this; prints how it ended. */
const [base = '', registry = '', program = '', ...args] = process.argv.slice(2);
const result = await runBuild({
  command: [program, ...args],
  checkout: `${base}/checkout`,
  folder: `${base}/checkout`,
  workshop: `${base}/workshop`,
  environment: { npm_config_registry: registry, npm_config_update_notifier: 'false' },
  reads: [],
  withinMs: 120_000,
  memory: 2 ** 32,
  log: `${base}/log`,
  signal: new AbortController().signal,
});
console.log(JSON.stringify({ ...result, why: whyNotEnclosed(), user: process.getuid?.() }));
