import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Plugin, rolldown } from 'rolldown';

/**
 * `node scripts/build.ts [--out FOLDER]`: what is published. The programs as one bundle each, with no
 * dependency left to install (unbundled imports cost half a second of start); the library entries compiled
 * file by file with their types.
 */
const project = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({ options: { out: { type: 'string', default: join(project, 'dist') } } });
const out = resolve(values.out);
// Built beside and put in place whole: a build that fails leaves the one before.
const fresh = `${out}.${process.pid}.new`;
const old = `${out}.${process.pid}.old`;

interface Program {
  readonly name: string;
  readonly source: string;
  readonly format: 'cjs' | 'esm';
}

const programs: readonly Program[] = [
  // As CommonJS, for Node takes 10 ms more to begin with modules, and every command begins.
  { name: 'cli', source: 'src/cli/main.ts', format: 'cjs' },
  { name: 'gateway', source: 'src/gateway/daemon.ts', format: 'esm' },
  // Threads: each begins with a file of its own.
  { name: 'backup-worker', source: 'src/providers/sqlite/backup-worker.ts', format: 'esm' },
  { name: 'evaluation-worker', source: 'src/config/evaluation-worker.ts', format: 'esm' },
];

const cold =
  /src\/(app\/(adopt|backup-care|direct-plans|doctor|due-runs|incident|rehearsal|release-draft|releasing|reports|shared-state|standby|watch|write-down)|cli\/(commands|completion|manual|help|output\/written-down)|databases|config\/(last-released|schema|provider-schema|detect|evidence|write)|domain\/(error-catalogue|migrations|planner\/release|version|health)|guard|incident\/(?!data-outcome)|providers\/(feed|postgres|slack|sqlite)|gateway\/(?!client|protocol)|store\/(carry-over|explain-postgres|inspect-postgres|open-postgres|postgres-))/;

/**
 * What every plan and rollback needs lies in one file: opening eighty small ones was a third of a start. The rest
 * stays in files of its own, so that nobody waits for what he does not use.
 */
function isHot(id: string): boolean {
  return (
    (/node_modules\/kysely\//.test(id) && !/\/dialect\/postgres\//.test(id)) ||
    (/\/src\//.test(id) && !id.includes('node_modules') && !cold.test(id))
  );
}

/**
 * A builtin that is imported lazily costs Node's loader of modules and the reading of everything that the builtin
 * exports, for node:http with all of fetch: 40 ms. Required, it is there at once.
 */
const builtinsByRequire: Plugin = {
  name: 'builtins-by-require',
  renderChunk: (code) =>
    code.replace(/\bimport\((['"`]node:[\w/]+['"`])\)/g, 'Promise.resolve().then(() => require($1))'),
};

async function bundle({ name, source, format }: Program): Promise<void> {
  const extension = format === 'cjs' ? 'cjs' : 'js';
  const build = await rolldown({
    cwd: project,
    input: { [name]: source },
    platform: 'node',
    tsconfig: false,
    // The oldest Node that `engines` promises: newer syntax (`using`) is written out for it.
    transform: { target: 'node22.18' },
    // Optional drivers, present only where the user has installed them.
    external: ['pg-native', 'better-sqlite3'],
    plugins: format === 'cjs' ? [builtinsByRequire] : [],
    onLog(level, log, handler) {
      if (log.code === 'UNRESOLVED_IMPORT') throw new Error(log.message);
      handler(level, log);
    },
  });
  await build.write({
    dir: fresh,
    format,
    // What is imported lazily stays lazy, in files of its own; beside the entries, whose neighbours they look for.
    entryFileNames: `[name].${extension}`,
    chunkFileNames: `${name}-[name].${extension}`,
    minify: true,
    ...(name === 'cli' ? { codeSplitting: { groups: [{ name: 'core', test: isHot }] } } : {}),
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await build.close();
}

function compileLibrary(): void {
  const tsc = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
  const ended = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh], {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (ended.status !== 0) throw new Error('the library entries do not compile');
}

/** PostgreSQL's grammar looks for its compiled code beside the file that it was bundled into. */
function copyGrammar(): void {
  const name = 'libpg-query.wasm';
  copyFileSync(join(project, 'node_modules', 'libpg-query', 'wasm', name), join(fresh, name));
}

/** The compiler leaves `.ts` in what declarations import; older compilers of users' know only `.js` there. */
function mendDeclarations(): void {
  for (const file of globSync('**/*.d.ts', { cwd: fresh })) {
    const path = join(fresh, file);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/(from '\.[^']*)\.ts'/g, "$1.js'"));
  }
}

const started = performance.now();
rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh, { recursive: true });
try {
  compileLibrary();
  mendDeclarations();
  for (const program of programs) {
    if (!existsSync(join(project, program.source))) throw new Error(`${program.source} is missing`);
    await bundle(program);
  }
  copyGrammar();
  if (existsSync(out)) renameSync(out, old);
  renameSync(fresh, out);
} finally {
  for (const folder of [fresh, old]) rmSync(folder, { recursive: true, force: true });
}
console.log(`ok    build  ${((performance.now() - started) / 1000).toFixed(1)} s`);
