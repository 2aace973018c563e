import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { relative } from 'node:path';
import { type ErrorDetails, messageOf, UnshipError } from '../domain/errors.ts';
import { type UnplainPart, unplainPart } from './plain-data.ts';
import { isAsynchronous, requireConfiguration } from './program-hooks.ts';

/** Longest that a configuration may take to be evaluated, in ms. */
export const evaluationLimitMs = 10_000;

/** What a file exports by default. Not data all the way down where `unplain` says which part is not. */
export interface Exported {
  readonly value: unknown;
  readonly unplain?: UnplainPart | undefined;
}

/** What the thread answers. Where a part is no data, `value` is missing: it can't travel. */
export type ThreadAnswer = Exported | { readonly error: ErrorDetails };

/** Somebody has pressed Ctrl-C: no fault of the file. */
export class EvaluationInterrupted extends Error {}

/**
 * Runs a configuration's code and returns what it exports by default. Throws `config-invalid` for code that throws,
 * ends the process, never settles, or is not done after `evaluationLimitMs`, in an endless loop too; and
 * `EvaluationInterrupted`.
 */
export async function evaluateConfiguration(file: string): Promise<Exported> {
  let module: unknown;
  try {
    module = withoutExit(() => requireConfiguration(file, evaluationLimitMs));
  } catch (error) {
    if (isAsynchronous(error)) return await evaluateInThread(file);
    if (codeOf(error) === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw new EvaluationInterrupted();
    throw new UnshipError('config-invalid', problemOf(file, error));
  }
  return exportedBy(file, module);
}

/** Throws `config-invalid` when nothing is exported by default. */
export function exportedBy(file: string, module: unknown): Exported {
  if (typeof module === 'object' && module !== null && 'default' in module) {
    return { value: module.default, unplain: unplainPart(module.default) };
  }
  throw new UnshipError('config-invalid', {
    happened: `${placeOf(file)} exports nothing by default`,
    done: 'nothing',
    next: 'write `export default defineApplication({ … })`',
  });
}

/**
 * Code that waits (`await` at the top level) can't be ended in this thread once it loops. In one of its own it can,
 * and it shows when it waits for what never comes: the thread ends and has said nothing.
 */
async function evaluateInThread(file: string): Promise<Exported> {
  const here = import.meta.url;
  const program = new URL(here.endsWith('.ts') ? './evaluation-worker.ts' : './evaluation-worker.js', here);
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  const worker = new Worker(program, {
    workerData: file,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  let limit: NodeJS.Timeout | undefined;
  const answer = await new Promise<ThreadAnswer>((resolve) => {
    const fail = (reason: string): void => resolve({ error: problemOf(file, new Error(reason)) });
    limit = setTimeout(() => fail(tooLong), evaluationLimitMs);
    worker.once('message', resolve);
    worker.once('error', (error) => resolve({ error: problemOf(file, error) }));
    worker.once('exit', (code) =>
      fail(
        code === unsettledExit ? 'a top-level `await` in it never settles' : `it calls process.exit(${code})`,
      ),
    );
  });
  clearTimeout(limit);
  await worker.terminate();
  if ('error' in answer) throw new UnshipError('config-invalid', answer.error);
  return answer;
}

/** Node's own exit code for a top-level `await` that nothing can settle any more. */
const unsettledExit = 13;

const tooLong = `it was not evaluated after ${evaluationLimitMs / 1000} s`;

/** A configuration that ends the process would end the command with its exit code, as if that were done. */
function withoutExit<T>(evaluate: () => T): T {
  const exit = process.exit;
  process.exit = (code): never => {
    throw new Error(`it calls process.exit(${code ?? ''})`);
  };
  try {
    return evaluate();
  } finally {
    process.exit = exit;
  }
}

/** What is told of code that could not be evaluated. */
export function problemOf(file: string, error: unknown): ErrorDetails {
  const line = lineInStack(file, error) ?? (error instanceof SyntaxError ? syntaxErrorLine(file) : undefined);
  return { happened: `${placeOf(file, line)}: ${whatWasThrown(error)}`, done: 'nothing', cause: error };
}

function whatWasThrown(error: unknown): string {
  if (error instanceof UnshipError) return error.details.happened;
  if (codeOf(error) === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return tooLong;
  // Node's own messages go on for several lines and name paths of ours; the first line says what is wrong.
  const first = messageOf(error).split('\n')[0] ?? '';
  return error instanceof Error && error.name !== 'Error' ? `${error.name}: ${first}` : first;
}

function codeOf(error: unknown): unknown {
  return (error as NodeJS.ErrnoException | null | undefined)?.code;
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

/** Relative to where the person is, when that is shorter. */
export function placeOf(file: string, line?: number): string {
  const near = relative(process.cwd(), file);
  const path = near.startsWith('..') ? file : near;
  return line === undefined ? path : `${path}:${line}`;
}
