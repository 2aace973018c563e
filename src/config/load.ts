import { hash as digest } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { ApplicationDefinition } from '../domain/definition.ts';
import { messageOf, UnshipError } from '../domain/errors.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import { type Exported, evaluateConfiguration, placeOf } from './evaluate.ts';
import { isKnownValid, rememberValid } from './known-valid.ts';
import { lineOf } from './locate.ts';
import { type UnplainPart, unplainPart } from './plain-data.ts';

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
  const { value, unplain } = await readExported(file, text);
  if (unplain !== undefined) throw invalid(file, text, [unplain]);
  const canonical = canonicalJson(value as Json);
  const hash = digest('sha256', canonical);
  if (!isKnownValid(hash)) {
    const { problemsOf } = await import('./schema.ts');
    const problems = problemsOf(value);
    if (problems.length > 0) throw invalid(file, text, problems);
    rememberValid(hash);
  }
  return { file, root, definition: JSON.parse(canonical) as ApplicationDefinition, hash };
}

async function readExported(file: string, text: string): Promise<Exported> {
  if (!file.endsWith('.json')) return await evaluateConfiguration(file);
  const value = parseJson(file, text);
  return { value, unplain: unplainPart(value) };
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
        happened: `${placeOf(file)} is UTF-16`,
        done: 'nothing',
        next: 'save it as UTF-8',
      });
    }
    return content.toString('utf8').replace(/^\u{feff}/u, '');
  } catch (error) {
    if (error instanceof UnshipError) throw error;
    throw new UnshipError('config-invalid', {
      happened: `${placeOf(file)} can't be read: ${messageOf(error)}`,
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
      happened: `${placeOf(file, line)}: ${message}`,
      done: 'nothing',
      cause: error,
    });
  }
}

function invalid(file: string, text: string, problems: readonly UnplainPart[]): UnshipError {
  const lines = problems.map((problem) => {
    const at = problem.path.filter((part) => part !== 'options').join('.');
    return `${placeOf(file, lineOf(text, problem.path))}: ${at === '' ? 'the default export' : at} ${problem.message}`;
  });
  return new UnshipError('config-invalid', { happened: lines.join('\n'), done: 'nothing' });
}
