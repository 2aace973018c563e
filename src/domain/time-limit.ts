import type { Clock } from './runtime.ts';

/** A signal that aborts after so long, unless it is disposed of before. */
export interface TimeLimit extends Disposable {
  readonly signal: AbortSignal;
}

/** `ms` as this clock counts them, so that whoever owns the clock owns the limit too. */
export function timeLimit(clock: Clock, ms: number): TimeLimit {
  const [limit, ended] = [new AbortController(), new AbortController()];
  void clock.sleep(ms, ended.signal).then(() => {
    if (!ended.signal.aborted) limit.abort(new DOMException(`not within ${ms} ms`, 'TimeoutError'));
  });
  return { signal: limit.signal, [Symbol.dispose]: () => ended.abort('ended') };
}
