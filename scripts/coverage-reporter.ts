import { globSync } from 'node:fs';
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

/** Files of which everything is to be covered. */
export const measured: readonly string[] = ['src/domain/**/*.ts', 'src/engine/*.ts'];

/** Failures, then every line, branch and function that no test entered, as `file:line  what`. */
export default async function* coverageReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    // A file fails with its tests: that is no news.
    if (event.type === 'test:fail' && event.data.name !== event.data.file) {
      const { file = '', line, name, details } = event.data;
      yield `FAIL  ${relative('', file)}:${line}  ${name}\n${details.error.cause ?? details.error.message}\n`;
    }
    if (event.type !== 'test:coverage') continue;
    const { files, totals } = event.data.summary;
    for (const { path, lines, branches, functions } of files) {
      const missing = [
        ...lines.map(({ line, count }) => ({ line, count, what: 'line' })),
        ...branches.map(({ line, count }) => ({ line, count, what: 'branch' })),
        ...functions.map(({ line, count, name }) => ({ line, count, what: `function ${name}`.trimEnd() })),
      ].filter(({ count }) => count === 0);
      for (const { line, what } of missing) yield `${relative('', path)}:${line}  ${what} not covered\n`;
    }
    const seen = new Set(files.map(({ path }) => relative('', path)));
    for (const file of globSync(measured).sort()) {
      if (seen.has(file)) continue;
      yield `${file}  not measured\n`;
      process.exitCode = 1;
    }
    yield `${files.length} files: ${totals.coveredLineCount} of ${totals.totalLineCount} lines, `;
    yield `${totals.coveredBranchCount} of ${totals.totalBranchCount} branches, `;
    yield `${totals.coveredFunctionCount} of ${totals.totalFunctionCount} functions\n`;
  }
}
