import { whyNotEnclosed } from '../../src/builds/enclosure.ts';
import { buildIn } from './enclosed.ts';

/** `node build-process.ts FOLDER REGISTRY COMMAND…`: one build by whoever runs this; prints how it ended. */
const [base = '', registry = '', program = '', ...args] = process.argv.slice(2);
const result = await buildIn(base, [program, ...args], {
  environment: { npm_config_registry: registry, npm_config_update_notifier: 'false' },
  withinMs: 120_000,
});
console.log(JSON.stringify({ ...result, why: whyNotEnclosed(), user: process.getuid?.() }));
