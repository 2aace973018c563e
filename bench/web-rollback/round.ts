import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../support/clock.ts';
import { type RequestRecord, startLoad } from '../support/load.ts';
import { commandLine, run } from '../support/processes.ts';
import type { Prepared } from './contender.ts';

export const requestsPerSecond = 300;

/** So long the load goes on after the end of the command: what it breaks on its way out counts too. */
const tailMs = 400;

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

/** One rollback under load. Rejects when it does not end well. */
export async function measureRound(contender: Prepared): Promise<Round> {
  await contender.release();
  const load = await startLoad(contender.port, requestsPerSecond);
  try {
    const good = load.firstGood();
    // Awaited below; a failing command must not leave it unhandled.
    good.catch(() => undefined);
    const started = now();
    let ended = started;
    for (const command of contender.rollback) {
      const result = await run(command);
      ended = result.ended;
      if (result.code !== 0) {
        throw new Error(`${commandLine(command)} ended with ${result.code}\n${result.output}`);
      }
    }
    await Promise.race([
      good,
      sleep(15_000, undefined, { ref: false }).then(() => {
        throw new Error('the good release did not come back within 15 s of the end of the command');
      }),
    ]);
    await sleep(tailMs);
    return evaluate(await load.stop(), started, ended);
  } finally {
    load.kill();
    await contender.settle?.();
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
      record.release === release && record.ended !== null && !isFailure(record) ? [record.ended - started] : [],
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
