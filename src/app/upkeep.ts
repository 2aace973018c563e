import type { RunOptions } from '../domain/application.ts';
import { timeLimit } from '../domain/time-limit.ts';
import type { Parts } from './parts.ts';

/** Longest time for bringing one surface up again, in ms. */
const withinMs = 30_000;

/** What serves from this machine and has ended without being told to is started again. */
export async function keepUp(parts: Parts, options: RunOptions): Promise<void> {
  const { webs, runtime } = parts;
  for (const [surface, port] of webs) {
    using limit = timeLimit(runtime.clock, withinMs);
    const signal = AbortSignal.any([options.signal, limit.signal]);
    if (!(await port.keepUp({ runtime, signal }))) continue;
    const text = `${surface}: what serves had ended by no word of ours, and was started again`;
    options.onEvent({ type: 'note', run: null, text });
  }
  await coverLogs(parts);
}

/** What was printed meanwhile is kept without secrets. */
export async function coverLogs({ webs }: Parts): Promise<void> {
  await Promise.allSettled([...webs.values()].map((port) => port.coverLogs()));
}
