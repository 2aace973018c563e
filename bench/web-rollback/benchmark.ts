import { atMost, type BenchOptions, type Figures, type Findings, type Unmeasured } from '../report.ts';
import { PeerMissing } from '../support/install.ts';
import { startLoadGenerator } from '../support/load.ts';
import { log } from '../support/log.ts';
import { median, p95, rounded, sum } from '../support/statistics.ts';
import { buildUnship } from '../support/unship.ts';
import { capistrano } from './capistrano.ts';
import type { Contender, Prepared } from './contender.ts';
import { haproxy } from './haproxy.ts';
import { manual } from './manual.ts';
import { prepareOwnStart } from './own-start.ts';
import { pm2 } from './pm2.ts';
import { pointerFlip } from './pointer-flip.ts';
import { measureRound, type Round, requestsPerSecond } from './round.ts';
import { unship } from './unship.ts';

const peers: readonly Contender[] = [pointerFlip, haproxy, pm2, capistrano, manual];

interface Rounds {
  readonly full: number;
  readonly quick: number;
}

/** Rounds of everybody; and of the cold way back, which is looked at more often for what it drops. */
const roundsOf: Rounds = { full: 9, quick: 3 };
const coldRoundsOf: Rounds = { full: 20, quick: 5 };

/** One contender on its way through the rounds. */
interface Entrant {
  readonly contender: Contender;
  readonly rounds: Round[];
  readonly wanted: number;
  prepared?: Prepared;
  dropped?: Unmeasured;
}

/** A web application under load, from the start of the rollback command to the first good answer and its end. */
export async function webRollback({ quick, cleanup }: BenchOptions): Promise<Findings> {
  const rounds = quick ? roundsOf.quick : roundsOf.full;
  const coldRounds = quick ? coldRoundsOf.quick : coldRoundsOf.full;
  const built = buildUnship().then((program) => {
    cleanup.defer(program.remove);
    return program;
  });
  const generator = startLoadGenerator(cleanup);
  const enter = (contender: Contender, wanted = rounds): Entrant => ({ contender, rounds: [], wanted });
  const ours = enter(unship(built, 'keep'));
  const cold = enter(unship(built, 'stop'), coldRounds);
  const others = peers.map((peer) => enter(peer));
  const all = [ours, ...others, cold];

  log(`setting up ${all.map(({ contender }) => contender.name).join(', ')}`);
  await Promise.all(
    all.map((entrant) =>
      survive(entrant, async () => {
        entrant.prepared = await entrant.contender.prepare(cleanup);
      }),
    ),
  );
  const measureOwnStart = await prepareOwnStart(cleanup);
  const ownStarts: number[] = [];
  const oneRound = async (entrant: Entrant, prepared: Prepared): Promise<void> => {
    if (entrant === cold) ownStarts.push(await measureOwnStart());
    const result = await measureRound(prepared, generator);
    entrant.rounds.push(result);
    logRound(entrant, result);
  };
  for (let round = 0; round < Math.max(rounds, coldRounds); round += 1) {
    await playRound(all, round, oneRound);
  }
  for (const own of [ours, cold]) {
    if (own.dropped !== undefined) throw new Error(`${own.contender.name}: ${JSON.stringify(own.dropped)}`);
  }
  return findings(ours, cold, others, ownStarts);
}

/** Everybody's bad release goes out at the same time; then each is taken back alone on the machine. */
async function playRound(
  all: readonly Entrant[],
  round: number,
  oneRound: (entrant: Entrant, prepared: Prepared) => Promise<void>,
): Promise<void> {
  const playing = all.filter((entrant) => entrant.dropped === undefined && round < entrant.wanted);
  await Promise.all(playing.map((entrant) => survive(entrant, async () => entrant.prepared?.release())));
  // Another one begins each time: what a place in the order costs falls on all alike.
  const turn = round % playing.length;
  for (const entrant of [...playing.slice(turn), ...playing.slice(0, turn)]) {
    const { prepared } = entrant;
    if (prepared === undefined || entrant.dropped !== undefined) continue;
    await survive(entrant, () => oneRound(entrant, prepared));
  }
}

function logRound({ contender, rounds }: Entrant, round: Round): void {
  const { firstGoodMs, exitMs, failedRequests, hungRequests } = round;
  log(
    `round ${rounds.length}  ${contender.name.padEnd(12)}  first good ${Math.round(firstGoodMs)} ms, exit ${Math.round(exitMs)} ms, ${failedRequests} failed, ${hungRequests} of them hung`,
  );
}

/** A contender that fails is out, and says why; the others go on. */
async function survive(entrant: Entrant, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { message } = error as Error;
    entrant.dropped ??= error instanceof PeerMissing ? { missing: message } : { failed: message };
    log(`${entrant.contender.name} is out: ${message}`);
  }
}

function findings(
  ours: Entrant,
  cold: Entrant,
  others: readonly Entrant[],
  ownStarts: readonly number[],
): Findings {
  const own = figuresOf(ours.rounds);
  const ownStart = median(ownStarts);
  const beyond = cold.rounds.map((round, at) => round.firstGoodMs - (ownStarts[at] ?? ownStart));
  const oursCold = {
    ...figuresOf(cold.rounds),
    ownStartMs: rounded(ownStart),
    beyondOwnStartMs: rounded(median(beyond)),
  };
  const measured = others.filter(({ dropped }) => dropped === undefined);
  return {
    method: [
      `${requestsPerSecond} requests a second in an open loop from a process of its own, kept-alive connections, nothing repeated.`,
      'Times from the start of the command, on one clock: firstGoodMs to the first answer of the good release, lastBadMs to the last one of the bad release, exitMs to the end of the command. Medians.',
      'failedRequests: cut or refused connections, 5xx that are not the bad release’s own, no answer for 5 s (hung). The median of a round; failedInAll is the sum of all rounds.',
      'Rounds are interleaved, one contender under load at a time. The application is the same for everybody, starts at once and has nothing to install: peers that install, build or start while they roll back could not look better.',
      'oursCold: beyondOwnStartMs is firstGoodMs less the time that the same application takes from its start to its first answer, measured before each round.',
    ],
    rounds: ours.rounds.length,
    ours: own,
    oursCold,
    peers: Object.fromEntries(
      others.map(({ contender, dropped, rounds }) => [contender.name, dropped ?? figuresOf(rounds)]),
    ),
    about: Object.fromEntries(
      [ours, ...others, cold].map(({ contender }) => [contender.name, contender.what]),
    ),
    ratios: Object.fromEntries(
      measured.map(({ contender, rounds }) => [
        contender.name,
        rounded(own.firstGoodMs / figuresOf(rounds).firstGoodMs),
      ]),
    ),
    targets: [
      atMost('failed requests in all warm rounds', own.failedInAll, 0, 'requests'),
      atMost('failed requests in all cold rounds', oursCold.failedInAll, 0, 'requests'),
      atMost('first good answer, warm', own.firstGoodMs, 100, 'ms'),
      atMost(
        'first good answer, cold, beyond the application’s own start',
        oursCold.beyondOwnStartMs,
        300,
        'ms',
      ),
    ],
  };
}

function figuresOf(rounds: readonly Round[]): Figures & {
  readonly firstGoodMs: number;
  readonly failedInAll: number;
} {
  const of = (pick: (round: Round) => number): number[] => rounds.map(pick);
  const failures: { [kind: string]: number } = {};
  for (const [kind, count] of rounds.flatMap((round) => Object.entries(round.failures))) {
    failures[kind] = (failures[kind] ?? 0) + count;
  }
  return {
    firstGoodMs: rounded(median(of((round) => round.firstGoodMs))),
    failedRequests: median(of((round) => round.failedRequests)),
    exitMs: rounded(median(of((round) => round.exitMs))),
    firstGoodP95Ms: rounded(p95(of((round) => round.firstGoodMs))),
    lastBadMs: rounded(median(of((round) => round.lastBadMs))),
    failedInAll: sum(of((round) => round.failedRequests)),
    hungInAll: sum(of((round) => round.hungRequests)),
    roundsWithHung: rounds.filter((round) => round.hungRequests > 0).length,
    rounds: rounds.length,
    failures,
  };
}
