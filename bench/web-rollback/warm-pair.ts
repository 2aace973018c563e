import { join } from 'node:path';
import type { Cleanup } from '../support/cleanup.ts';
import { buildApplication, copyApplication } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { endProcess, freePort, launch } from '../support/processes.ts';

/** The good and the bad release, both running: what a switch of traffic needs. */
export interface WarmPair {
  readonly good: number;
  readonly bad: number;
}

export async function startWarmPair(folder: string, cleanup: Cleanup): Promise<WarmPair> {
  const start = (release: 'good' | 'bad') => startOne(join(folder, release), release, cleanup);
  const [good, bad] = await Promise.all([start('good'), start('bad')]);
  return { good, bad };
}

async function startOne(folder: string, release: 'good' | 'bad', cleanup: Cleanup): Promise<number> {
  copyApplication(folder, release);
  await buildApplication(folder);
  const port = await freePort();
  const child = launch(
    {
      program: process.execPath,
      arguments: ['dist/server.mjs'],
      cwd: folder,
      environment: { PORT: String(port) },
    },
    'ignore',
  );
  cleanup.defer(() => endProcess(child.pid ?? 0));
  await untilServed(port, release);
  return port;
}
