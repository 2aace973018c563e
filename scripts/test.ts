import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { TestRecord } from './test-reporter.ts';

/**
 * `node scripts/test.ts [--only NAME]… [FILE…]`: all of `test/`, only `test/NAME/`, or these files; each in a
 * process of its own, two at a time and a third that mostly waits. One line per file as it ends, failures in full, and as the very last line
 * `N passed, N failed`. Exit code 1 after a failure, and when no test ran.
 */
const fileLimitMs = 15 * 60_000;
const heartbeatMs = 60_000;
const sideBySide = 2;
/** These leave most of the processor to others, and take long: one of them runs beside the two. */
const mostlyWaiting: ReadonlySet<string> = new Set([
  'test/bad-input/clock.test.ts',
  'test/e2e/agent.test.ts',
  'test/gateway/switch.test.ts',
  'test/providers/postgres/kill.test.ts',
  'test/providers/postgres/salvage-kill.test.ts',
  'test/providers/postgres/salvage-limits.test.ts',
  'test/providers/server/contract.test.ts',
  'test/reliability/reliability.test.ts',
  'test/store/postgres-faults.test.ts',
]);

interface FileResult {
  readonly file: string;
  readonly records: readonly TestRecord[];
  /** Set when the process ended badly beyond what its tests told: a crash, a hang, a failed import. */
  readonly broken?: string;
  readonly output: string;
  readonly ms: number;
}

function readRecords(path: string): readonly TestRecord[] {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // The process ended before its reporter wrote anything; its exit code tells the rest.
  }
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as TestRecord);
}

interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
}

function brokenBy({ code, signal, timedOut }: End, records: readonly TestRecord[]): string | undefined {
  if (timedOut) return `the file did not end within ${fileLimitMs / 60_000} minutes`;
  if (signal !== null) return `the process was ended by ${signal}`;
  if (code !== 0 && !records.some(({ result }) => result === 'failed')) {
    return `the process ended with exit code ${code}`;
  }
  return records.length === 0 ? 'it has no tests' : undefined;
}

/** Process groups under way: they would outlive an interrupted run. */
const groups = new Set<number>();

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    for (const pid of groups) endGroup(pid);
    process.exit(code);
  });
}

function runFile(file: string, folder: string, number: number): Promise<FileResult> {
  const recordsFile = join(folder, `${number}.ndjson`);
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        `--test-reporter=${new URL('test-reporter.ts', import.meta.url)}`,
        `--test-reporter-destination=${recordsFile}`,
        '--disable-warning=ExperimentalWarning',
        file,
      ],
      // A group of its own, so that a file that hangs takes what it started with it.
      { detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    let timedOut = false;
    const collect = (chunk: string): void => {
      output = (output + chunk).slice(-20_000);
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    const { pid } = child;
    if (pid !== undefined) groups.add(pid);
    const heartbeat = setInterval(() => {
      console.log(`wait  ${file}  ${Math.round((performance.now() - started) / 1000)} s`);
    }, heartbeatMs);
    const limit = setTimeout(() => {
      timedOut = true;
      if (pid !== undefined) endGroup(pid);
    }, fileLimitMs);
    // Not `close`: a process that a test left behind may hold the pipes open for ever.
    child.on('exit', (code, signal) => {
      clearInterval(heartbeat);
      clearTimeout(limit);
      if (pid !== undefined) groups.delete(pid);
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        const records = readRecords(recordsFile);
        const broken = brokenBy({ code, signal, timedOut }, records);
        const ms = performance.now() - started;
        resolve({ file, records, output, ms, ...(broken === undefined ? {} : { broken }) });
      }, 20);
    });
  });
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '      ');
}

function counts(result: FileResult): { passed: number; failed: number; skipped: number } {
  const of = { passed: 0, failed: result.broken === undefined ? 0 : 1, skipped: 0 };
  for (const record of result.records) of[record.result] += 1;
  return of;
}

function summary(of: { passed: number; failed: number; skipped: number }): string {
  return `${of.passed} passed, ${of.failed} failed${of.skipped > 0 ? `, ${of.skipped} skipped` : ''}`;
}

function print(result: FileResult): void {
  const of = counts(result);
  console.log(
    `${of.failed > 0 ? 'FAIL' : 'ok  '}  ${result.file}  ${summary(of)}  ${(result.ms / 1000).toFixed(1)} s`,
  );
  for (const { result: verdict, name, line, error } of result.records) {
    if (verdict === 'failed')
      console.log(`\n  FAIL  ${result.file}:${line}  ${name}\n${indent(error ?? '')}`);
  }
  if (result.broken !== undefined) console.log(`\n  FAIL  ${result.file}: ${result.broken}`);
  if (of.failed > 0 && result.output.trim() !== '') console.log(`\n  it printed:\n${indent(result.output)}`);
  if (of.failed > 0) console.log('');
}

function chosenFiles(): readonly string[] {
  const { values, positionals } = parseArgs({
    options: { only: { type: 'string', multiple: true } },
    allowPositionals: true,
  });
  if (positionals.length > 0) return positionals;
  const patterns = values.only?.map((name) => `test/${name}/**/*.test.ts`) ?? ['test/**/*.test.ts'];
  return [...new Set(globSync(patterns))].sort();
}

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const chosen = chosenFiles().map((file, number) => ({ file, number }));
const busy = chosen.filter(({ file }) => !mostlyWaiting.has(file));
const idle = chosen.filter(({ file }) => mostlyWaiting.has(file));
const folder = mkdtempSync(join(tmpdir(), 'unship-test-results-'));
const total = { passed: 0, failed: 0, skipped: 0 };

async function work(queue: { readonly file: string; readonly number: number }[]): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const result = await runFile(next.file, folder, next.number);
    print(result);
    const of = counts(result);
    total.passed += of.passed;
    total.failed += of.failed;
    total.skipped += of.skipped;
  }
}

await Promise.all([work(idle), ...Array.from({ length: sideBySide }, () => work(busy))]);
rmSync(folder, { recursive: true });
if (total.passed + total.failed === 0) console.log('No test ran.');
console.log(summary(total));
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
