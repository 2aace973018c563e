import { closeSync, copyFileSync, fsyncSync, openSync, rmSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { systemRuntime } from '../src/app/system-runtime.ts';
import { publishFile } from '../src/databases/files.ts';
import { copyLive } from '../src/providers/sqlite/backups.ts';
import { createCore } from '../src/providers/sqlite/core.ts';
import { createSqlite } from '../src/providers/sqlite/index.ts';
import type { ProviderEnvironment } from '../src/surfaces/provider.port.ts';
import { atMost, type BenchOptions, type Findings } from './report.ts';
import { log } from './support/log.ts';
import { median, percentile99, rounded } from './support/statistics.ts';

type Commits = readonly { readonly at: number; readonly ms: number }[];

function fill(file: string, megabytes: number): void {
  using database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  database.exec('CREATE TABLE entries (id INTEGER PRIMARY KEY, edits INTEGER DEFAULT 0, body BLOB)');
  const insert = database.prepare('INSERT INTO entries (body) VALUES (randomblob(4000))');
  for (let written = 0; written < megabytes * 250; written += 5_000) {
    database.exec('BEGIN');
    for (let at = 0; at < 5_000; at += 1) insert.run();
    database.exec('COMMIT');
  }
}

async function timed(spans: [number, number][], work: () => Promise<unknown>): Promise<number> {
  const started = performance.timeOrigin + performance.now();
  await work();
  const ended = performance.timeOrigin + performance.now();
  spans.push([started, ended]);
  return ended - started;
}

function sync(file: string): void {
  const descriptor = openSync(file, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

/** A backup under writers, beside what a plain copy of the files takes. */
export async function sqliteBackup({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const megabytes = quick ? 60 : 1_000;
  const rounds = quick ? 3 : 5;
  const root = cleanup.folder();
  const file = join(root, 'live.db');
  log(`a database of ${megabytes} MB`);
  fill(file, megabytes);
  const runtime = systemRuntime({ point: () => undefined });
  const { signal } = new AbortController();
  const environment = { folder: join(root, 'state'), root, runtime, surface: 'db' } as ProviderEnvironment;
  const core = createCore({ file }, environment);
  const { port } = createSqlite({ file, keepBackups: 1 }, environment);
  const writer = new Worker(new URL('./sqlite-writer.ts', import.meta.url), { workerData: file });
  cleanup.defer(async () => void (await writer.terminate()));
  await pause(quick ? 3_000 : 10_000);

  const spans: { readonly [kind: string]: [number, number][] } = { ours: [], copy: [], whole: [] };
  const times: { readonly [kind: string]: number[] } = { ours: [], copy: [], whole: [] };
  const blocked: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const target = join(root, 'copy.db');
    times.copy?.push(
      await timed(spans.copy ?? [], async () => {
        await copyFile(file, target);
        copyFileSync(`${file}-wal`, `${target}-wal`);
        sync(target);
        sync(`${target}-wal`);
      }),
    );
    rmSync(target);
    rmSync(`${target}-wal`);
    times.ours?.push(
      await timed(spans.ours ?? [], async () => {
        await copyLive({ runtime, signal }, core, `${target}.partial`);
        publishFile(`${target}.partial`, target);
      }),
    );
    rmSync(target);
    // A new one each time: one that is enabled again counts the pause between as a delay.
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    times.whole?.push(
      await timed(spans.whole ?? [], () =>
        port.backup(
          {
            ...{ runtime, signal, idempotencyKey: `b${round}`, fence: 1 },
            ...{ maximumRowsLost: 0, progress: () => undefined },
          },
          `r${round + 1}`,
        ),
      ),
    );
    delay.disable();
    blocked.push(delay.max / 1e6);
  }
  const commits = await new Promise<Commits>((resolve) => {
    writer.once('message', resolve);
    writer.postMessage('stop');
  });
  const during = (kinds: readonly string[]): number[] =>
    commits
      .filter(({ at, ms }) => kinds.some((kind) => spans[kind]?.some(([a, b]) => at + ms >= a && at <= b)))
      .map(({ ms }) => ms);
  const busy = new Set(during(Object.keys(spans)));
  const quiet = percentile99(commits.map(({ ms }) => ms).filter((ms) => !busy.has(ms)));
  const added = (kinds: readonly string[]): number => rounded(percentile99(during(kinds)) - quiet);
  const copyMs = median(times.copy ?? []);
  const backupMs = median(times.ours ?? []);
  const ratioToCopy = rounded(backupMs / copyMs);
  const addedWriterStallP99Ms = added(['ours', 'whole']);
  return {
    method: [
      `A database of ${Math.round(statSync(file).size / 1e6)} MB with a write-ahead log, a commit about every 4 ms throughout. Medians, in turn.`,
      'backupMs: the online copy as one file, synced. wholeMs: with the verification by hash and integrity check.',
      'addedWriterStallP99Ms: the 99th percentile of a commit during a whole backup, less that of the quiet before.',
    ],
    rounds,
    ours: {
      ratioToCopy,
      backupMs: rounded(backupMs),
      addedWriterStallP99Ms,
      wholeMs: rounded(median(times.whole ?? [])),
      eventLoopBlockedMs: rounded(Math.max(...blocked)),
    },
    peers: { copy: { ratioToCopy: 1, backupMs: rounded(copyMs), addedWriterStallP99Ms: added(['copy']) } },
    about: {
      ours: 'the backup of the sqlite provider',
      copy: 'copying file and log, synced: not consistent under writers',
    },
    ratios: { copy: ratioToCopy },
    targets: [
      atMost('backup, in plain copies', ratioToCopy, 3, 'times'),
      atMost('added to the 99th percentile of a commit', addedWriterStallP99Ms, 50, 'ms'),
    ],
  };
}
