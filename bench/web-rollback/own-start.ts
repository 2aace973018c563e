import type { Cleanup } from '../support/cleanup.ts';
import { now } from '../support/clock.ts';
import { buildApplication, copyApplication } from '../support/fixture.ts';
import { releaseAt } from '../support/http.ts';
import { endProcess, freePort, launch, until } from '../support/processes.ts';

/** Measures, in ms, how long the application itself takes from its start to its first answer. */
export async function prepareOwnStart(cleanup: Cleanup): Promise<() => Promise<number>> {
  const folder = cleanup.folder();
  copyApplication(folder, 'good');
  await buildApplication(folder);
  return async () => {
    const port = await freePort();
    const started = now();
    const child = launch(
      {
        program: process.execPath,
        arguments: ['dist/server.mjs'],
        cwd: folder,
        environment: { PORT: String(port) },
      },
      'ignore',
    );
    try {
      await until('the first answer', async () => (await releaseAt(port, '/health')) === 'good');
      return now() - started;
    } finally {
      await endProcess(child.pid ?? 0);
    }
  };
}
