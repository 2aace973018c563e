import { existsSync, readFileSync } from 'node:fs';
import { createRequire, registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { UnshipError } from '../domain/errors.ts';
import { isPublished, packageRoot } from './package-root.ts';

/**
 * `import 'unship'` in a configuration means the program that is running, whatever is installed there: under
 * `npx` nothing is, and a second copy could be another version.
 */
function programEntry(specifier: string): string | undefined {
  if (specifier === 'unship') return entry('index');
  const provider = /^unship\/providers\/([a-z0-9-]+)$/.exec(specifier)?.[1];
  if (provider === undefined) return undefined;
  const url = entry(`providers/${provider}/options`);
  if (existsSync(fileURLToPath(url))) return url;
  throw new UnshipError('config-invalid', {
    happened: `there is no provider \`${provider}\` in this version of unship`,
  });
}

/** In development this file is `src/config/program-hooks.ts`; published it lies somewhere in `dist/`. */
function entry(path: string): string {
  const file = isPublished() ? join('dist', `${path}.js`) : join('src', `${path}.ts`);
  return pathToFileURL(join(packageRoot(), file)).href;
}

const moduleSyntax = /^[ \t]*(import|export)\b/m;

/**
 * Imports a configuration file. Inside it `unship` resolves to this program, and TypeScript that is written
 * as a module is read as one even where `npm init` has put `"type": "commonjs"` into package.json.
 */
export async function importConfiguration(file: string): Promise<unknown> {
  const hooks = registerProgramHooks(file);
  try {
    return await import(pathToFileURL(file).href);
  } finally {
    hooks.deregister();
  }
}

/**
 * The same by `require`, which runs all of it before it returns: such a call Node can be told to end after a time, or
 * at Ctrl-C, an endless loop too. Throws what the file throws, `ERR_SCRIPT_EXECUTION_TIMEOUT`,
 * `ERR_SCRIPT_EXECUTION_INTERRUPTED`, or what `isAsynchronous` knows.
 */
export function requireConfiguration(file: string, withinMs: number): unknown {
  const hooks = registerProgramHooks(file);
  const entry = registerEntry(file);
  try {
    const { configuration } = endedAfter(withinMs, () => createRequire(file)(entry.specifier)) as {
      readonly configuration: unknown;
    };
    return configuration;
  } finally {
    entry.deregister();
    hooks.deregister();
  }
}

/** `require` reads TypeScript by its package alone, an import by the hooks above: a module that imports the file. */
function registerEntry(file: string): { readonly specifier: string; deregister(): void } {
  const specifier = `unship:${Math.random()}`;
  const url = pathToFileURL(`${file}.${specifier.slice('unship:'.length)}.mjs`).href;
  const source = `export * as configuration from ${JSON.stringify(pathToFileURL(file).href)};`;
  const hooks = registerHooks({
    resolve: (wanted, context, next) =>
      wanted === specifier ? { url, format: 'module', shortCircuit: true } : next(wanted, context),
    load: (wanted, context, next) =>
      wanted === url ? { format: 'module', source, shortCircuit: true } : next(wanted, context),
  });
  return { specifier, deregister: () => hooks.deregister() };
}

/** Nothing of the file has been run: it, or what it imports, has an `await` at the top level. */
export function isAsynchronous(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ERR_REQUIRE_ASYNC_MODULE';
}

/** Only a script has a limit that also ends what it calls; it finds the call by a name that is gone at once. */
function endedAfter<T>(limitMs: number, call: () => T): T {
  const name = `unship:${Math.random()}`;
  Reflect.set(globalThis, name, () => {
    Reflect.deleteProperty(globalThis, name);
    return call();
  });
  const { runInThisContext } = process.getBuiltinModule('node:vm');
  const limits = { timeout: limitMs, breakOnSigint: true };
  return runInThisContext(`globalThis[${JSON.stringify(name)}]()`, limits) as T;
}

function registerProgramHooks(file: string): ReturnType<typeof registerHooks> {
  const own = new Set([pathToFileURL(file).href]);
  return registerHooks({
    resolve(specifier, context, nextResolve) {
      const program = programEntry(specifier);
      if (program !== undefined && context.parentURL !== undefined && own.has(context.parentURL)) {
        return { url: program, shortCircuit: true };
      }
      const resolved = nextResolve(specifier, context);
      const fromOwn =
        own.has(resolved.url) || (context.parentURL !== undefined && own.has(context.parentURL));
      if (!fromOwn || !isOwnTypeScript(resolved.url)) return resolved;
      own.add(resolved.url);
      return readsAsModule(resolved.url) ? { ...resolved, format: 'module-typescript' } : resolved;
    },
  });
}

function isOwnTypeScript(url: string): boolean {
  return url.startsWith('file:') && url.endsWith('.ts') && !url.includes('/node_modules/');
}

function readsAsModule(url: string): boolean {
  return moduleSyntax.test(readFileSync(fileURLToPath(url), 'utf8'));
}
