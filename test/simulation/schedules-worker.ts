import { parentPort } from 'node:worker_threads';
import { preload } from './preload.ts';
import { runSchedules } from './schedules.ts';

// A stack is most of what an error costs, and nobody reads the thousands that are part of the game. Whoever looks
// into one seed has them.
Error.stackTraceLimit = 0;
await preload();
parentPort?.on('message', async ({ from, count }: { readonly from: number; readonly count: number }) => {
  parentPort?.postMessage(await runSchedules(from, count));
});
