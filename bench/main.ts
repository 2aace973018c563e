import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BenchOptions, Findings, Report } from './report.ts';
import { resultsPage, summary } from './results-page.ts';
import { Cleanup } from './support/cleanup.ts';
import { log } from './support/log.ts';
import { thisMachine } from './support/machine.ts';
import { stopCommands } from './support/processes.ts';

/**
 * `node bench/main.ts [NAME…] [--quick] [--json]`: ours beside its peers, in one run. Without a name all of them,
 * which also writes `bench/RESULTS.md`. `--json` prints one document; everything else goes to standard error.
 * A missed target is a finding, not a failure: the exit code is 1 only when something could not be measured.
 */
const benchmarks: { readonly [name: string]: () => Promise<(options: BenchOptions) => Promise<Findings>> } = {
  'web-rollback': async () => (await import('./web-rollback/benchmark.ts')).webRollback,
  'cli-start': async () => (await import('./cli-start.ts')).cliStart,
  plan: async () => (await import('./plan.ts')).plan,
  'sqlite-backup': async () => (await import('./sqlite-backup.ts')).sqliteBackup,
  'postgres-restore': async () => (await import('./postgres-restore.ts')).postgresRestore,
  simulation: async () => (await import('./simulation.ts')).simulation,
  journal: async () => (await import('./journal.ts')).journal,
};

const usage = `usage: node bench/main.ts [${Object.keys(benchmarks).join('|')}]… [--quick] [--json]`;
const cleanup = new Cleanup();

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    stopCommands();
    void cleanup.run().then(() => process.exit(code));
  });
}

async function measure(name: string, quick: boolean): Promise<Report> {
  log(`\n${name}`);
  const benchmark = await benchmarks[name]?.();
  if (benchmark === undefined) throw new Error(usage);
  const machine = thisMachine();
  const started = performance.now();
  const date = new Date().toISOString();
  try {
    const found = await benchmark({ quick, cleanup });
    const tookSeconds = Math.round((performance.now() - started) / 1_000);
    return { name, date, quick, tookSeconds, machine, ...found };
  } finally {
    await cleanup.run();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !Object.hasOwn(benchmarks, name));
  if (unknown !== undefined) {
    log(`there is no benchmark "${unknown}"; ${usage}`);
    process.exitCode = 2;
    return;
  }
  const names = positionals.length > 0 ? positionals : Object.keys(benchmarks);
  const reports: Report[] = [];
  for (const name of names) {
    const report = await measure(name, values.quick);
    reports.push(report);
    log(`\n${summary(report)}`);
  }
  if (positionals.length === 0) {
    const file = join(import.meta.dirname, 'RESULTS.md');
    writeFileSync(file, resultsPage(reports));
    log(`\nwritten to ${file}`);
  }
  if (values.json) {
    const document = reports.length === 1 ? reports[0] : { benchmarks: reports };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }
}

try {
  await main();
} catch (error) {
  log(`\nFAIL  ${(error as Error).message}`);
  process.exitCode = 1;
}
