import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../support/clock.ts';
import type { LoadGenerator, RequestRecord } from '../support/load.ts';
import { runWell } from '../support/processes.ts';
import type { Prepared } from './contender.ts';

export const requestsPerSecond = 300;

/** So long the load goes on after the end of the command: what it breaks on its way out counts too. */
const tailMs = 300;

/** Times in ms from the start of the command. */
export interface Round {
  readonly firstGoodMs: number;
  /** When the last answer of the bad release arrived. */
  readonly lastBadMs: number;
  readonly exitMs: number;
  /** Cut connections, refused ones, 5xx that are not the bad release's own, hung ones. */
  readonly failedRequests: number;
  /** Of these: without an answer for 5 s. */
  readonly hungRequests: number;
  readonly requests: number;
  /** How often which failure was seen. */
  readonly failures: { readonly [kind: string]: number };
}

/**
 * One rollback under load, from a bad release that serves already. Rejects when a command does not end well, or
 * the good release does not come back.
 */
export async function measureRound(contender: Prepared, generator: LoadGenerator): Promise<Round> {
  await generator.start(contender.port, requestsPerSecond);
  try {
    const good = generator.firstGood();
    // Awaited below; a command that fails must not leave it unhandled.
    good.catch(() => undefined);
    const started = now();
    let ended = started;
    for (const command of contender.rollback) ended = (await runWell(command)).ended;
    await within(good, 15_000, 'the good release did not come back');
    await sleep(tailMs);
    return evaluate(await generator.stop(), started, ended);
  } catch (error) {
    await generator.stop();
    throw error;
  }
}

async function within(work: Promise<void>, ms: number, otherwise: string): Promise<void> {
  const ended = new AbortController();
  const late = sleep(ms, undefined, { signal: ended.signal }).then(() => {
    throw new Error(`${otherwise} within ${ms / 1_000} s of the end of the command`);
  });
  // Called off below, when the work was in time.
  late.catch(() => undefined);
  try {
    await Promise.race([work, late]);
  } finally {
    ended.abort();
  }
}

function evaluate(records: readonly RequestRecord[], started: number, ended: number): Round {
  const during = records.filter((record) => record.ended === null || record.ended >= started);
  const failures: { [kind: string]: number } = {};
  for (const record of during.filter(isFailure)) {
    const kind = record.error || `status ${record.status}`;
    failures[kind] = (failures[kind] ?? 0) + 1;
  }
  const times = (release: string): number[] =>
    during.flatMap((record) =>
      record.release === release && record.ended !== null && !isFailure(record)
        ? [record.ended - started]
        : [],
    );
  return {
    firstGoodMs: Math.min(...times('good')),
    lastBadMs: Math.max(0, ...times('bad')),
    exitMs: ended - started,
    failedRequests: during.filter(isFailure).length,
    hungRequests: during.filter((record) => record.ended === null).length,
    requests: during.length,
    failures,
  };
}

function isFailure({ ended, status, release, error }: RequestRecord): boolean {
  return ended === null || error !== '' || (status >= 500 && release !== 'bad');
}
