import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeEnvironment } from '../support/environment.ts';
import { untilServed } from '../support/http.ts';
import { run, until } from '../support/processes.ts';
import type { Built } from '../support/unship.ts';
import type { Contender } from './contender.ts';

/**
 * The way back while the bad release is still being watched. `keep`: the good release is still running, as the
 * default is. `stop`: it is on disk only.
 */
export function unship(built: Promise<Built>, previous: 'keep' | 'stop'): Contender {
  return {
    name: previous === 'keep' ? 'ours' : 'oursCold',
    what:
      previous === 'keep'
        ? '`unship rollback --yes` during the watch of the bad release; the good one is still running behind the gateway (the default)'
        : 'the same with `previous: stop`: the good release is on disk and is started first',
    prepare: async (cleanup) => {
      let watched: Promise<unknown> = Promise.resolve();
      // After the gateway's end, which makes it fail if it has not ended by then.
      cleanup.defer(() => watched.then(() => undefined));
      const { folder, port, command, commitBad } = await makeEnvironment(await built, cleanup, { previous });
      let round = 0;
      return {
        port,
        release: async () => {
          // The last one sees that it was superseded, and ends.
          await watched;
          round += 1;
          await commitBad(`round ${round}`, '1h');
          const events = join(folder, `events-${round}`);
          const ended = run({ ...command('release', '--events', events), withinMs: 300_000 });
          watched = ended.catch(() => undefined);
          const early = ended.then(({ code, output }) => {
            throw new Error(`unship release ended with ${code}\n${output}`);
          });
          early.catch(() => undefined);
          await Promise.race([early, untilServed(port, 'bad')]);
          await Promise.race([early, until(`the watch of bad release ${round}`, () => isUnderWatch(events))]);
        },
        rollback: [command('rollback')],
      };
    },
  };
}

/** The previous release has been kept or stopped, and the watch is on. */
function isUnderWatch(events: string): boolean {
  const lines = readFileSync(events, 'utf8').split('\n');
  const has = (step: string, state: string): boolean =>
    lines.some((line) => line.includes(`"step":"${step}"`) && line.includes(`"state":"${state}"`));
  return has('web.retire', 'verified') && has('unship.watch', 'progress');
}
