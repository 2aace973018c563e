import { join } from 'node:path';
import { type Build, runBuild } from '../../src/builds/build.ts';
import { whyNotEnclosed } from '../../src/builds/enclosure.ts';

const reason = whyNotEnclosed();

/** Why tests of enclosed builds are skipped here; false where they run. */
export const noEnclosure: string | false =
  reason === null ? false : `this machine has no namespaces: ${reason}`;

/** A build of `BASE/checkout`, with everything else of it beside the checkout. */
export function buildIn(
  base: string,
  command: Build['command'],
  more: Partial<Build> = {},
): ReturnType<typeof runBuild> {
  return runBuild({
    command,
    checkout: join(base, 'checkout'),
    folder: join(base, 'checkout'),
    workshop: join(base, 'workshop'),
    environment: {},
    reads: [],
    withinMs: 60_000,
    memory: 4 * 2 ** 30,
    log: join(base, 'log'),
    signal: new AbortController().signal,
    ...more,
  });
}
