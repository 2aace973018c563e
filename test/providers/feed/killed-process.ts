/** Does one thing to a feed and kills itself at the fault point with the given number. Prints the points passed. */
import { fileURLToPath } from 'node:url';
import { createFeed } from '../../../src/providers/feed/index.ts';
import { createSource } from '../../../src/providers/git/index.ts';
import type { DesktopTarget } from '../../../src/surfaces/desktop/desktop.port.ts';
import { runtime, work } from './harness.ts';

export interface KilledWork {
  readonly root: string;
  readonly feed: string;
  readonly private: string;
  readonly target: DesktopTarget;
  readonly what: 'release' | 'halt' | 'pull' | 'standby';
  /** Killed at this point, counted from 1; 0 lives. */
  readonly killAt: number;
}

export async function doWork(job: KilledWork, fence: number, point: (name: string) => void): Promise<void> {
  const context = work(fence, { faults: { point } });
  const port = createFeed(
    { folder: job.feed, artifacts: 'dist/{version}', standby: 'standby/{commit}' },
    {
      application: 'vault',
      environment: 'test',
      surface: 'desktop',
      folder: job.private,
      root: job.root,
      source: createSource(job.root),
      runtime,
      reveal: () => {
        throw new Error('a feed needs no secret');
      },
      processEnvironment: {},
    },
  );
  const { version } = job.target;
  if (job.what === 'release') {
    const artifact = await port.stage(context, job.target);
    await port.publish(context, { ...job.target, artifact });
  }
  if (job.what === 'halt') await port.halt(context, version);
  if (job.what === 'pull') await port.pull(context, version, '1.0.0');
  if (job.what === 'standby') await port.publishStandby(context, '1.1.1');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const job = JSON.parse(process.argv[2] ?? '') as KilledWork;
  process.umask(0o077);
  let passed = 0;
  await doWork(job, 2, (name) => {
    passed++;
    process.stdout.write(`${name}\n`);
    if (passed === job.killAt) process.kill(process.pid, 'SIGKILL');
  });
}
