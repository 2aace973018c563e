import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import {
  INSTRUMENTER_CONSTANTS,
  type InstrumenterContext,
  type StrykerOptions,
} from '@stryker-mutator/api/core';
import { commonTokens, declareClassPlugin, PluginKind, tokens } from '@stryker-mutator/api/plugin';
import {
  type DryRunResult,
  DryRunStatus,
  determineHitLimitReached,
  type MutantRunOptions,
  type MutantRunResult,
  type TestResult,
  type TestRunner,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';

/**
 * Runs tests for Stryker in the process that asks, over and over: of each mutant only the tests that enter it, which
 * takes milliseconds. The runner of `node:test` runs once in a process, so what the tests import from it is this
 * module instead, which only collects them. For tests that live in memory and virtual time: whatever one of them
 * leaves behind must not wake, and where one does not end, Stryker ends the process.
 */
interface CollectedTest {
  readonly id: string;
  readonly file: string;
  readonly run: () => unknown;
}

const collected: CollectedTest[] = [];
let within: readonly string[] = [];

export function describe(name: string, body: () => void): void {
  within = [...within, name];
  body();
  within = within.slice(0, -1);
}

export function test(name: string, run: () => unknown): void {
  const [file = ''] = within;
  collected.push({ id: `${collected.length} ${[...within, name].join(' > ')}`, file, run });
}

const namespace: InstrumenterContext = {};
Object.assign(globalThis, { [INSTRUMENTER_CONSTANTS.NAMESPACE]: namespace });

async function load(files: readonly string[]): Promise<void> {
  if (collected.length > 0) return;
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'node:test' ? { url: import.meta.url, shortCircuit: true } : next(specifier, context),
  });
  await import('./fixed-seed.ts');
  for (const file of files) {
    within = [resolve(file)];
    await import(pathToFileURL(file).href);
  }
}

/** What nobody caught: to `node:test`, a failure. */
const strays: unknown[] = [];
process.on('unhandledRejection', (error) => strays.push(error));

async function outcome({ id, file, run }: CollectedTest): Promise<TestResult> {
  strays.length = 0;
  const started = performance.now();
  const about = (): { readonly id: string; name: string; fileName: string; timeSpentMs: number } => ({
    id,
    name: id,
    fileName: file,
    timeSpentMs: performance.now() - started,
  });
  try {
    await run();
    await setImmediate();
    if (strays.length > 0) throw strays.pop();
    return { ...about(), status: TestStatus.Success };
  } catch (error) {
    return { ...about(), status: TestStatus.Failed, failureMessage: String(error) };
  }
}

class InProcessTestRunner implements TestRunner {
  static readonly inject = tokens(commonTokens.options);
  readonly #files: readonly string[];

  constructor({ testFiles }: StrykerOptions) {
    this.#files = testFiles;
  }

  capabilities(): { readonly reloadEnvironment: boolean } {
    return { reloadEnvironment: false };
  }

  async dryRun(): Promise<DryRunResult> {
    await load(this.#files);
    const tests: TestResult[] = [];
    for (const item of collected) {
      namespace.currentTestId = item.id;
      tests.push(await outcome(item));
    }
    delete namespace.currentTestId;
    const { mutantCoverage = { static: {}, perTest: {} } } = namespace;
    return { status: DryRunStatus.Complete, tests, mutantCoverage };
  }

  async mutantRun(options: MutantRunOptions): Promise<MutantRunResult> {
    const { activeMutant, hitLimit, mutantActivation, testFilter } = options;
    const isLoading = mutantActivation === 'static';
    if (isLoading) namespace.activeMutant = activeMutant.id;
    await load(this.#files);
    Object.assign(namespace, { activeMutant: activeMutant.id, hitCount: 0, hitLimit });
    const tests: TestResult[] = [];
    for (const item of collected) {
      // Without a test that enters it alone, files are named instead.
      if (testFilter !== undefined && !testFilter.includes(item.id) && !testFilter.includes(item.file))
        continue;
      tests.push(await outcome(item));
      if (tests.at(-1)?.status === TestStatus.Failed) break;
    }
    delete namespace.activeMutant;
    const endless = determineHitLimitReached(namespace.hitCount, hitLimit);
    return toMutantRunResult(endless ?? { status: DryRunStatus.Complete, tests });
  }
}

export const strykerPlugins: readonly unknown[] = [
  declareClassPlugin(PluginKind.TestRunner, 'in-process', InProcessTestRunner),
];
