import { hash as digest } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import type { ApplicationDefinition } from '../domain/definition.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import { isKnownValid, rememberValid } from './known-valid.ts';
import { lineOf } from './locate.ts';

export const configurationNames = ['unship.config.ts', 'unship.config.mjs', 'unship.config.json'] as const;

export interface Configuration {
  /** Absolute path of the file. */
  readonly file: string;
  /** Its folder: relative paths in options start here. */
  readonly root: string;
  readonly definition: ApplicationDefinition;
  /** SHA-256 of the definition's canonical JSON, as 64 hexadecimal digits. */
  readonly hash: string;
}

/**
 * The configuration file of this folder, or of the nearest one above it up to the top of the repository.
 * Not beyond: the file is code, and a folder above the checkout may be anybody's. Throws `config-missing`.
 */
export function findConfiguration(cwd: string, named?: string): string {
  if (named !== undefined) {
    const file = resolve(cwd, named);
    if (!existsSync(file)) throw new UnshipError('config-missing', { happened: `there is no file ${file}` });
    return realpathSync(file);
  }
  const start = resolve(cwd);
  if (!existsSync(start))
    throw new UnshipError('config-missing', {
      happened: `there is no folder ${start}`,
      next: 'name one that is there',
    });
  for (let folder = start; ; folder = dirname(folder)) {
    const name = configurationNames.find((candidate) => existsSync(join(folder, candidate)));
    if (name !== undefined) return checked(realpathSync(join(folder, name)));
    if (existsSync(join(folder, '.git')) || folder === dirname(folder)) break;
  }
  throw new UnshipError('config-missing', {
    happened: `no ${configurationNames[0]}, .mjs or .json in ${start} or above it`,
  });
}

function checked(file: string): string {
  if (process.platform !== 'win32' && (statSync(file).mode & 0o002) !== 0) {
    throw new UnshipError('config-invalid', {
      happened: `${file} can be written to by everybody, and it is code`,
      done: 'nothing; it was not run',
      next: `chmod o-w ${file}`,
    });
  }
  return file;
}

/** Loads and checks. Throws `config-invalid` with every problem at its file:line. */
export async function loadConfiguration(file: string): Promise<Configuration> {
  const root = dirname(file);
  const text = readText(file);
  const exported = file.endsWith('.json') ? parseJson(file, text) : await evaluate(file);
  const unplain = plainProblem(exported, [], 0);
  if (unplain !== undefined) throw invalid(file, text, [unplain]);
  const canonical = canonicalJson(exported as Json);
  const hash = digest('sha256', canonical);
  if (!isKnownValid(hash)) {
    const { problemsOf } = await import('./schema.ts');
    const problems = problemsOf(exported);
    if (problems.length > 0) throw invalid(file, text, problems);
    rememberValid(hash);
  }
  return { file, root, definition: JSON.parse(canonical) as ApplicationDefinition, hash };
}

/** Told by its byte order mark, which PowerShell's `>` writes. */
function isUtf16(content: Buffer): boolean {
  const [first, second] = content;
  return (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
}

/** Without the byte order mark that editors on Windows write. */
function readText(file: string): string {
  try {
    const content = readFileSync(file);
    if (isUtf16(content)) {
      throw new UnshipError('config-invalid', {
        happened: `${place(file, undefined)} is UTF-16`,
        done: 'nothing',
        next: 'save it as UTF-8',
      });
    }
    return content.toString('utf8').replace(/^\u{feff}/u, '');
  } catch (error) {
    if (error instanceof UnshipError) throw error;
    throw new UnshipError('config-invalid', {
      happened: `${place(file, undefined)} can't be read: ${messageOf(error)}`,
      done: 'nothing',
      next: 'make it a file that you can read',
      cause: error,
    });
  }
}

/** `--env`, else the only one, else `production`. Throws `config-invalid` when that names none. */
export function chooseEnvironment(definition: ApplicationDefinition, named: string | undefined): string {
  const names = Object.keys(definition.environments);
  const chosen = named ?? (names.length === 1 ? names[0] : 'production');
  if (chosen !== undefined && Object.hasOwn(definition.environments, chosen)) return chosen;
  throw new UnshipError('config-invalid', {
    happened:
      named === undefined
        ? `there are several environments and none is called production: ${names.join(', ')}`
        : `there is no environment \`${named}\`; there are ${names.join(', ')}`,
    done: 'nothing',
    next: `choose one: --env ${names[0]}`,
  });
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = messageOf(error);
    const position = /position (\d+)/.exec(message)?.[1];
    const line = position === undefined ? undefined : text.slice(0, Number(position)).split('\n').length;
    throw new UnshipError('config-invalid', {
      happened: `${place(file, line)}: ${message}`,
      done: 'nothing',
      cause: error,
    });
  }
}

async function evaluate(file: string): Promise<unknown> {
  const { importConfiguration } = await import('./program-hooks.ts');
  let module: unknown;
  try {
    module = await untilSettled(importConfiguration(file));
  } catch (error) {
    const line =
      lineInStack(file, error) ?? (error instanceof SyntaxError ? syntaxErrorLine(file) : undefined);
    throw new UnshipError('config-invalid', {
      happened: `${place(file, line)}: ${whatWasThrown(error)}`,
      done: 'nothing',
      cause: error,
    });
  }
  if (typeof module === 'object' && module !== null && 'default' in module) return module.default;
  throw new UnshipError('config-invalid', {
    happened: `${place(file, undefined)} exports nothing by default`,
    done: 'nothing',
    next: 'write `export default defineApplication({ … })`',
  });
}

/** Longest that a configuration may take to be evaluated, in ms. */
const evaluationLimitMs = 30_000;

/**
 * A top-level `await` that never settles leaves Node with nothing to do: it would end with exit code 0, as if the
 * command were done. So would a configuration that ends the process itself.
 */
async function untilSettled(evaluation: Promise<unknown>): Promise<unknown> {
  const exit = process.exit;
  let ended: (reason: string) => void = () => undefined;
  const unsettled = new Promise<never>((_, reject) => {
    ended = (reason) => reject(new Error(reason));
  });
  const onIdle = (): void => ended('a top-level `await` in it never settles');
  const limit = setTimeout(
    () => ended(`it was not evaluated after ${evaluationLimitMs / 1000} s`),
    evaluationLimitMs,
  ).unref();
  process.once('beforeExit', onIdle);
  process.exit = (code): never => {
    throw new Error(`it calls process.exit(${code ?? ''})`);
  };
  try {
    return await Promise.race([evaluation, unsettled]);
  } finally {
    process.exit = exit;
    process.off('beforeExit', onIdle);
    clearTimeout(limit);
  }
}

function whatWasThrown(error: unknown): string {
  if (error instanceof UnshipError) return error.details.happened;
  // Node's own messages go on for several lines and name paths of ours; the first line says what is wrong.
  const first = messageOf(error).split('\n')[0] ?? '';
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ${first}` : first;
}

/** Node writes `file:line` above a syntax error, and `file:line:column` into the trace of anything thrown. */
function lineInStack(file: string, error: unknown): number | undefined {
  if (!(error instanceof Error) || error.stack === undefined) return undefined;
  const at = error.stack.indexOf(`${file}:`);
  const line = at < 0 ? undefined : /^:(\d+)/.exec(error.stack.slice(at + file.length))?.[1];
  return line === undefined ? undefined : Number(line);
}

/** An import's syntax error does not say where; the parser of TypeScript, which JavaScript is, does. */
function syntaxErrorLine(file: string): number | undefined {
  try {
    stripTypeScriptTypes(readFileSync(file, 'utf8'), { mode: 'strip', sourceUrl: file });
    return undefined;
  } catch (error) {
    return lineInStack(file, error);
  }
}

interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** The configuration is stored with each release and hashed, so it must be data all the way down. */
function plainProblem(
  value: unknown,
  path: readonly (string | number)[],
  depth: number,
): Problem | undefined {
  if (depth > 50) return { path, message: 'goes deeper than 50 levels, or in a circle' };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return undefined;
  if (Array.isArray(value)) {
    return firstOf(value, (item, index) => plainProblem(item, [...path, index], depth + 1));
  }
  if (typeof value === 'object' && isPlain(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return firstOf(entries, ([key, item]) => plainProblem(item, [...path, key], depth + 1));
  }
  const what =
    typeof value === 'object' ? `a ${value.constructor?.name ?? 'special object'}` : String(typeof value);
  return { path, message: `must be plain data (text, number, true, false, list, object), not ${what}` };
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function firstOf<T>(
  items: readonly T[],
  look: (item: T, index: number) => Problem | undefined,
): Problem | undefined {
  for (const [index, item] of items.entries()) {
    const problem = look(item, index);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function invalid(file: string, text: string, problems: readonly Problem[]): UnshipError {
  const lines = problems.map((problem) => {
    const at = problem.path.filter((part) => part !== 'options').join('.');
    return `${place(file, lineOf(text, problem.path))}: ${at === '' ? 'the default export' : at} ${problem.message}`;
  });
  return new UnshipError('config-invalid', { happened: lines.join('\n'), done: 'nothing' });
}

/** Relative to where the person is, when that is shorter. */
function place(file: string, line: number | undefined): string {
  const near = relative(process.cwd(), file);
  const path = near.startsWith('..') ? file : near;
  return line === undefined ? path : `${path}:${line}`;
}
