import { atMost, type BenchOptions, type Findings } from './report.ts';
import { makeEnvironment } from './support/environment.ts';
import { untilServed } from './support/http.ts';
import { log } from './support/log.ts';
import { type Command, runWell } from './support/processes.ts';
import { resourcesOf } from './support/resources.ts';
import { seedReleases } from './support/seed.ts';
import { median, p95, rounded } from './support/statistics.ts';
import { timed, timeInTurn } from './support/timing.ts';
import { buildUnship } from './support/unship.ts';

/** In the history when the plan is made; the two newest are real ones. */
const releases = 10_000;

/** The way back, planned from a long history and from what is really there. */
export async function plan({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const rounds = quick ? 9 : 31;
  const built = await buildUnship();
  cleanup.defer(built.remove);
  log(`filling the history with ${releases} releases`);
  const environment = await makeEnvironment(built, cleanup, { previous: 'keep' }, (file) =>
    seedReleases(file, releases - 2),
  );
  const { command, repository, folder, port } = environment;
  await environment.commitBad('the newest', '1s');
  await runWell(command('release'));
  await untilServed(port, 'bad');

  const here = (program: string, ...parts: string[]): Command => ({
    program,
    arguments: parts,
    cwd: repository,
  });
  const planning = timed('plan', command('plan', '--json'));
  const screen = timed('plan-screen', command('plan'));
  const node = timed('node', here(process.execPath, '-e', '0'));
  const gitLog = timed('git-log', here('git', 'log', '-1'));
  log(`${rounds} rounds`);
  await timeInTurn([node, planning, screen, gitLog], rounds);
  await assertPlan(planning.command);

  const cpu: number[] = [];
  for (let at = 0; at < 5; at += 1) cpu.push((await resourcesOf(planning.command, folder)).cpuMs);
  const memory = {
    planMb: (await resourcesOf(planning.command, folder)).maxRssMb,
    statusMb: (await resourcesOf(command('status'), folder)).maxRssMb,
    releasesMb: (await resourcesOf(command('releases'), folder)).maxRssMb,
    // Last: it changes what is there.
    rollbackMb: (await resourcesOf(command('rollback'), folder)).maxRssMb,
  };
  const floor = await resourcesOf(node.command, folder);
  const medianMs = rounded(median(planning.times));
  return {
    method: [
      `\`unship plan --json\` with ${releases} releases in the history: from the start of the process to its end, in turn with the floor. Medians. The bundle as published, its compile cache warm.`,
      'The plan is made from what is there: state, folders on disk, the running gateway and its two processes.',
      'cpuMs is the processor time of its process: it holds on a busy machine too.',
      'Memory: the most that the process of a command held (maximum resident set), one run each.',
    ],
    rounds,
    ours: {
      medianMs,
      releases,
      p95Ms: rounded(p95(planning.times)),
      screenMs: rounded(median(screen.times)),
      cpuMs: rounded(median(cpu)),
      ...memory,
    },
    peers: {
      node: { medianMs: rounded(median(node.times)), releases: 0, ...floor },
      'git-log': { medianMs: rounded(median(gitLog.times)), releases: 2 },
    },
    about: {
      ours: '`unship plan --json`; screenMs is `unship plan`',
      node: '`node -e 0`: the floor of every program on Node',
      'git-log': '`git log -1`: the floor of asking what was there before, and no plan at all',
    },
    ratios: {
      node: rounded(medianMs / median(node.times)),
      'git-log': rounded(medianMs / median(gitLog.times)),
    },
    targets: [
      atMost(`plan with ${releases} releases`, medianMs, 200, 'ms'),
      atMost('memory of the command line', Math.max(...Object.values(memory)), 90, 'MB'),
    ],
  };
}

/** What was timed must have been the plan that was meant. */
async function assertPlan(command: Command): Promise<void> {
  const { output } = await runWell(command);
  const { from, to } = JSON.parse(output) as { from?: string; to?: string };
  if (from !== `r${releases}` || to !== `r${releases - 1}`) {
    throw new Error(`the plan goes from ${from} to ${to}, not from r${releases} to r${releases - 1}`);
  }
}
