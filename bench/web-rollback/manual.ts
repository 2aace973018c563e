import { join } from 'node:path';
import { git, makeRepository } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { type Command, freePort, runWell } from '../support/processes.ts';
import type { Contender } from './contender.ts';
import { restartCommand } from './restart-command.ts';

export const manual: Contender = {
  name: 'manual',
  what: 'by hand: `git checkout COMMIT`, `npm install`, `npm run build`, restart; typed without a pause, and an application without dependencies',
  prepare: async (cleanup) => {
    const folder = cleanup.folder();
    const repository = join(folder, 'app');
    const { good, bad } = await makeRepository(repository);
    const port = await freePort();
    const restart = restartCommand(folder, repository, port, cleanup);
    const npm = (...parts: string[]): Command => ({ program: 'npm', arguments: parts, cwd: repository });
    const steps = (commit: string): readonly Command[] => [
      { program: 'git', arguments: ['checkout', '--quiet', commit], cwd: repository },
      npm('install'),
      npm('run', 'build'),
      restart,
    ];
    return {
      port,
      release: async () => {
        await git(repository, ['checkout', '--quiet', bad]);
        await runWell({ program: process.execPath, arguments: ['build.mjs'], cwd: repository });
        await runWell(restart);
        await untilServed(port, 'bad');
      },
      rollback: steps(good),
    };
  },
};
