import { rmSync, symlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { links, target, times } = workerData as { links: readonly string[]; target: string; times: number };
for (let swaps = 0; swaps < times; ) {
  for (const link of links) {
    swaps += 1;
    try {
      rmSync(link, { force: true, recursive: true });
      symlinkSync(target, link);
    } catch {
      // What is to be kept from following it was quicker.
    }
  }
}
parentPort?.postMessage('done');
