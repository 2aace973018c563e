import type { RunOptions } from '../domain/application.ts';
import type { DoctorReport } from '../domain/report.ts';
import type { Secret } from '../domain/secret.ts';
import { timeLimit } from '../domain/time-limit.ts';
import { observe } from './observe.ts';
import type { Parts } from './parts.ts';

/** Longest time for bringing a backup back, in ms. */
const fetchWithinMs = 60 * 60 * 1000;
const week = 7 * 24 * 60 * 60 * 1000;

/** Brings back what a restore is asked for and this machine has no more. A backup that nobody has is told by the plan. */
export async function fetchBackup(
  { databases, surfaces, runtime }: Parts,
  { backup, identity }: { readonly backup: string; readonly identity?: Secret },
): Promise<void> {
  const { facts } = await observe(surfaces, { releases: [], countRisk: false }, runtime);
  const isHere = Object.values(facts.surfaces).some(
    (seen) => seen.kind === 'database' && seen.backups.some(({ id, verified }) => id === backup && verified),
  );
  if (isHere) return;
  using limit = timeLimit(runtime.clock, fetchWithinMs);
  for (const port of databases.values()) {
    if (await port.fetchBackup({ runtime, signal: limit.signal }, backup, identity)) return;
  }
}

/** Test restores whose week is over. */
export async function proveRestores({ databases, runtime }: Parts, options: RunOptions): Promise<void> {
  for (const [surface, port] of databases) {
    const proof = await port.proveRestore({ runtime, signal: options.signal });
    if (proof === null) continue;
    const text =
      proof.failed === null
        ? `${surface}: backup ${proof.backup} was restored as a test, and everything was there`
        : `${surface}: the test restore of backup ${proof.backup} failed: ${proof.failed}`;
    options.onEvent({ type: 'note', run: null, text });
  }
}

/** What a doctor says of test restores: of those that failed, and those that are too long ago. */
export async function proofRows(
  { databases, runtime }: Parts,
  oldestBackups: ReadonlyMap<string, number>,
): Promise<DoctorReport['rows']> {
  const rows: DoctorReport['rows'][number][] = [];
  const now = runtime.clock.now();
  const days = (since: number): number => Math.floor((now - since) / (week / 7));
  for (const [surface, port] of databases) {
    const proof = await port.restoreProof();
    const oldest = oldestBackups.get(surface);
    if (proof !== null && proof.failed !== null) {
      const text = `the test restore of backup ${proof.backup} failed: ${proof.failed}`;
      rows.push({ level: 'warn', subject: surface, text, fix: 'unship backup' });
      continue;
    }
    const since = proof?.provenAt ?? oldest;
    if (since === undefined || now - since <= week) continue;
    const text =
      proof === null
        ? `no backup was ever restored as a test; the oldest is ${days(since)} days old`
        : `the last test restore is ${days(since)} days ago`;
    rows.push({
      level: 'warn',
      subject: surface,
      text,
      fix: 'unship agent, or unship resume --due from cron',
    });
  }
  return rows;
}
