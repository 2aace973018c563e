import { join } from 'node:path';
import { buildApplication, copyApplication } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { endProcess, freePort, launch } from '../support/processes.ts';

/** The good and the bad release, both running: what a switch of traffic needs. */
export interface WarmPair {
  readonly good: number;
  readonly bad: number;
  close(): Promise<void>;
}

export async function startWarmPair(folder: string): Promise<WarmPair> {
  const [good, bad] = await Promise.all([startOne(folder, 'good'), startOne(folder, 'bad')]);
  return {
    good: good.port,
    bad: bad.port,
    close: async () => {
      await Promise.all([endProcess(good.pid), endProcess(bad.pid)]);
    },
  };
}

async function startOne(folder: string, release: 'good' | 'bad'): Promise<{ port: number; pid: number }> {
  const root = join(folder, release);
  copyApplication(root, release);
  await buildApplication(root);
  const port = await freePort();
  const child = launch(
    {
      program: process.execPath,
      arguments: ['dist/server.mjs'],
      cwd: root,
      environment: { PORT: String(port) },
    },
    'ignore',
  );
  await untilServed(port, release);
  return { port, pid: child.pid ?? 0 };
}
