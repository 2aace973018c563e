import { rmSync, symlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { link, target, times } = workerData as { link: string; target: string; times: number };
for (let swaps = 0; swaps < times; swaps += 1) {
  try {
    rmSync(link, { force: true });
    symlinkSync(target, link);
  } catch {
    // The draft's own file was quicker.
  }
}
parentPort?.postMessage('done');
