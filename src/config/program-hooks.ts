import { existsSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
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
  const own = new Set([pathToFileURL(file).href]);
  const hooks = registerHooks({
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
  try {
    return await import(pathToFileURL(file).href);
  } finally {
    hooks.deregister();
  }
}

function isOwnTypeScript(url: string): boolean {
  return url.startsWith('file:') && url.endsWith('.ts') && !url.includes('/node_modules/');
}

function readsAsModule(url: string): boolean {
  return moduleSyntax.test(readFileSync(fileURLToPath(url), 'utf8'));
}
