import { main } from '../../src/cli/command-line.ts';
import { processHost } from '../../src/cli/main.ts';
import type { Application } from '../../src/domain/application.ts';
import { samplePlan, sampleResult } from './samples.ts';

// A program of its own for the signal tests: the real command line over an application whose run takes for ever.
const [how, ...words] = process.argv.slice(2);

const application = {
  name: 'vault',
  environment: 'production',
  releases: async () => [],
  releasesOf: async () => [],
  planRollback: async () => samplePlan(),
  execute: async (_plan, options) => {
    options.onEvent({ type: 'run-started', run: 58, kind: 'rollback', total: 4 });
    const alive = setInterval(() => undefined, 1000);
    await new Promise<void>((resolve) => {
      if (how === 'listens') options.signal.addEventListener('abort', () => resolve());
    });
    clearInterval(alive);
    return sampleResult({ status: 'paused' });
  },
  close: async () => undefined,
} satisfies Partial<Application>;

process.exitCode = await main({
  ...processHost(),
  argv: words,
  openApplication: async () => application as unknown as Application,
});
