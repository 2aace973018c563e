import { atMost, type BenchOptions, type Findings } from './report.ts';
import { makeEnvironment } from './support/environment.ts';
import { log } from './support/log.ts';
import type { Command } from './support/processes.ts';
import { median, p95, rounded } from './support/statistics.ts';
import { timed, timeInTurn } from './support/timing.ts';
import { buildUnship } from './support/unship.ts';

/** How long a person waits for the least that a command line can do. */
export async function cliStart({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const rounds = quick ? 9 : 31;
  const built = await buildUnship();
  cleanup.defer(built.remove);
  log('releasing the application once, for `status`');
  const { command, repository } = await makeEnvironment(built, cleanup, { previous: 'keep' });
  const here = (program: string, ...parts: string[]): Command => ({
    program,
    arguments: parts,
    cwd: repository,
  });
  const version = timed('version', built.command(['--version'], repository));
  const help = timed('help', built.command(['--help'], repository));
  const status = timed('status', command('status'));
  const node = timed('node', here(process.execPath, '-e', '0'));
  const peers = [
    node,
    timed('npm', here('npm', '--version')),
    timed('git', here('git', '--version')),
    timed('git-status', here('git', 'status')),
  ];
  log(`${rounds} rounds`);
  await timeInTurn([node, version, help, status, ...peers.slice(1)], rounds);
  const of = (times: readonly number[]): number => rounded(median(times));
  const times = (one: { readonly times: readonly number[] }): number =>
    rounded(median(one.times) / median(node.times));
  return {
    method: [
      `unship as published: bundled, ${Math.round(built.bundleBytes / 1_000)} kB of which each command loads what it needs, built for this run, its compile cache warm.`,
      'From the start of the process to its end, as whoever starts it sees it, in turn with the peers. Medians.',
      '`--version` is answered before anything is loaded; `--help` loads the command table, `status` configuration, state and gateway.',
    ],
    rounds,
    ours: {
      medianMs: of(version.times),
      p95Ms: rounded(p95(version.times)),
      helpMs: of(help.times),
      statusMs: of(status.times),
    },
    peers: Object.fromEntries(
      peers.map((peer) => [peer.name, { medianMs: of(peer.times), p95Ms: rounded(p95(peer.times)) }]),
    ),
    about: {
      ours: '`unship --version`, `--help` and `status`',
      node: '`node -e 0`: the floor of every program on Node',
      npm: '`npm --version`',
      git: '`git --version`',
      'git-status': '`git status`, in the repository where `unship status` is asked',
    },
    ratios: Object.fromEntries(
      peers.map((peer) => [peer.name, rounded(median(version.times) / median(peer.times))]),
    ),
    targets: [
      atMost('`unship --version` beside `node -e 0`', times(version), 1.5, 'times'),
      atMost('`unship --help` beside `node -e 0`', times(help), 1.5, 'times'),
    ],
  };
}
