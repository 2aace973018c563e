import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type ICruiseOptions, type ICruiseResult } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';

/**
 * `node scripts/boundaries.ts [FOLDER]`: who imports whom in FOLDER/src, by `.dependency-cruiser.cjs`. Exit
 * code 1 on a violation, and when nothing was read: a cruiser that can't parse the sources finds no fault.
 */
const project = fileURLToPath(new URL('..', import.meta.url));
const root = resolve(process.argv[2] ?? project);
const rules = createRequire(import.meta.url)('../.dependency-cruiser.cjs');
const tsConfigFile = resolve(project, 'tsconfig.json');

const options: ICruiseOptions = {
  ...rules.options,
  baseDir: root,
  tsConfig: { fileName: tsConfigFile },
  ruleSet: { allowed: rules.allowed, allowedSeverity: rules.allowedSeverity, forbidden: rules.forbidden },
  validate: true,
};
const reply = await cruise(['src'], options, undefined, { tsConfig: extractTSConfig(tsConfigFile) });
const { modules, summary } = reply.output as ICruiseResult;

const own = modules.filter(({ source }) => source.startsWith('src/'));
const dependencies = own.reduce((sum, module) => sum + module.dependencies.length, 0);
for (const { from, to, rule, cycle } of summary.violations) {
  const what = rule.name === 'not-in-allowed' ? 'may not import' : `(${rule.name})`;
  const through = cycle === undefined ? '' : ` through ${cycle.map(({ name }) => name).join(' -> ')}`;
  console.log(`FAIL  ${from} ${what} ${to}${through}`);
}
console.log(`${own.length} modules, ${dependencies} imports, ${summary.violations.length} violations`);
if (own.length === 0 || dependencies === 0) console.log('FAIL  nothing was read');
process.exitCode = summary.violations.length > 0 || own.length === 0 || dependencies === 0 ? 1 : 0;
