import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commitAll, copyApplication, git, writeRelease } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { type Command, freePort, run, runWell, until } from '../support/processes.ts';
import { type Built, configurationText, endGateway } from '../support/unship.ts';
import type { Contender } from './contender.ts';

/**
 * The way back while the bad release is still being watched. `keep`: the good release is still running, as the
 * default is. `stop`: it is on disk only.
 */
export function unship(built: Built, previous: 'keep' | 'stop'): Contender {
  return {
    name: previous === 'keep' ? 'unship' : 'unship-cold',
    what:
      previous === 'keep'
        ? '`unship rollback --yes` during the watch of the bad release; the good one is still running behind the gateway (the default)'
        : 'the same with `previous: stop`: the good release is on disk and is started first',
    prepare: async (cleanup) => {
      const folder = cleanup.folder();
      const repository = join(folder, 'app');
      const state = join(folder, 'state');
      const port = await freePort();
      const command = (...parts: string[]): Command =>
        built.command([...parts, '--yes', '--state-dir', state], repository);
      mkdirSync(state, { mode: 0o700 });
      const good = await makeRepository(repository, { port, previous });
      let watched: Promise<unknown> = Promise.resolve();
      let round = 0;
      cleanup.defer(async () => {
        await endGateway(state);
        await watched;
      });
      await runWell(command('release'));
      await untilServed(port, 'good');
      return {
        port,
        release: async () => {
          // The last one sees that it was superseded, and ends.
          await watched;
          round += 1;
          // Beside the other bad ones, not after them: those commits are quarantined.
          await git(repository, ['checkout', '--quiet', good]);
          writeRelease(repository, 'bad', `round ${round}`);
          const configuration = configurationText({ port, previous, bake: '1h' });
          writeFileSync(join(repository, 'unship.config.json'), configuration);
          await commitAll(repository, `bad ${round}`);
          const events = join(folder, `events-${round}`);
          watched = run(command('release', '--events', events)).catch(() => undefined);
          await untilServed(port, 'bad');
          await until(`the watch of bad release ${round}`, () => isSettled(events));
        },
        rollback: [command('rollback')],
      };
    },
  };
}

/** The previous release has been kept or stopped, and the watch is on. */
function isSettled(events: string): boolean {
  const lines = readFileSync(events, 'utf8').split('\n');
  const has = (step: string, state: string): boolean =>
    lines.some((line) => line.includes(`"step":"${step}"`) && line.includes(`"state":"${state}"`));
  return has('web.retire', 'verified') && has('unship.watch', 'progress');
}

async function makeRepository(
  folder: string,
  options: { readonly port: number; readonly previous: 'keep' | 'stop' },
): Promise<string> {
  copyApplication(folder, 'good');
  writeFileSync(join(folder, '.gitignore'), 'dist/\nnode_modules/\n');
  writeFileSync(join(folder, 'unship.config.json'), configurationText({ ...options, bake: '1s' }));
  await git(folder, ['init', '--quiet', '--initial-branch=main']);
  return await commitAll(folder, 'good');
}
