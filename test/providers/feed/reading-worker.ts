/** Reads a feed over and over, as fast as it can, until told to stop; posts what it saw that was not whole. */
import { parentPort, workerData } from 'node:worker_threads';
import { readingProblems } from './feed-reading.ts';

const { folder, stop } = workerData as { readonly folder: string; readonly stop: Int32Array };
let looks = 0;
const problems: string[] = [];
parentPort?.postMessage('started');
while (Atomics.load(stop, 0) === 0) {
  looks++;
  problems.push(...readingProblems(folder));
}
parentPort?.postMessage({ looks, problems });
