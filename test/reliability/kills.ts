import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Random } from '../simulation/random.ts';
import { type Ended, type RunRow, said, until } from '../support/world.ts';
import type { Opinions } from './judge.ts';
import { LivedInWorld } from './lived-in-world.ts';
import type { Observation } from './observer-process.ts';
import { addOpinions, type PartRequest, type PartResult } from './part.ts';

type Victim = 'command' | 'gateway' | 'application' | 'agent';
type Fault = 'kill' | 'freeze';

interface Struck {
  readonly victim: Victim;
  readonly fault: Fault;
  readonly scenario: Scenario;
}

const scenarios = ['release', 'rollback', 'undo', 'cancel', 'resume'] as const;
type Scenario = (typeof scenarios)[number];

/** About how long a command takes on this machine, in ms: the moments of the strikes are spread over it. */
const span: { [scenario in Scenario]: number } = {
  release: 1500,
  rollback: 1200,
  undo: 1200,
  cancel: 800,
  resume: 1000,
};

/** One moment at which a real process is killed or frozen, and what becomes of the world after it. */
class Point {
  readonly #lived: LivedInWorld;
  readonly #random: Random;
  struck: Struck | undefined;

  constructor(lived: LivedInWorld, seed: number) {
    this.#lived = lived;
    this.#random = new Random(seed);
  }

  async run(): Promise<void> {
    const lived = this.#lived;
    const scenario = this.#random.pick(scenarios);
    const victim = this.#random.pick<Victim>([
      'command',
      'command',
      'command',
      'gateway',
      'application',
      'agent',
    ]);
    const fault = this.#random.pick<Fault>(['kill', 'freeze']);
    this.struck = { victim, fault, scenario };
    const args = await this.#prepare(scenario);
    if (victim === 'command') await this.#strikeCommand(scenario, args, fault);
    else if (victim === 'agent') await this.#strikeAgent(args, fault);
    else await this.#strikeServer(scenario, args, victim, fault);
    await lived.settle();
    await this.#wake();
    await lived.requireRest();
    await lived.back('r1');
    await lived.write();
  }

  /** What leads up to the command that is to be struck; returns that command. */
  async #prepare(scenario: Scenario): Promise<readonly string[]> {
    const lived = this.#lived;
    await lived.commitBad();
    if (scenario === 'release') return ['release', '--yes'];
    if (scenario === 'cancel' || scenario === 'resume') {
      const { child, ended } = lived.world.start(['release', '--yes']);
      await sleep(this.#random.between(300, span.release));
      child.kill('SIGKILL');
      await ended;
      const run = lived.unended().at(-1)?.id;
      // It was killed before it had begun, or had ended before that.
      if (run === undefined) return lived.live === 'r1' ? ['release', '--yes'] : ['rollback', '--yes'];
      return scenario === 'cancel' ? ['cancel', String(run), '--yes'] : ['resume', String(run)];
    }
    await this.#demand(['release', '--yes']);
    await lived.write();
    if (scenario === 'rollback') return ['rollback', '--yes'];
    await this.#demand(['rollback', '--yes']);
    return ['undo', '--yes'];
  }

  async #demand(args: readonly string[]): Promise<void> {
    const done = await this.#lived.say(args);
    if (done.exit !== 0) throw new Error(`unship ${args.join(' ')}, undisturbed: ${said(done)}`);
  }

  /** At a named place where something is about to be done or just was, or at any moment. */
  #where(scenario: Scenario, fault: Fault): { readonly faults: string; readonly afterMs: number } {
    if (this.#random.chance(0.5)) return { faults: '', afterMs: this.#random.between(50, span[scenario]) };
    return { faults: `${fault === 'kill' ? 'kill' : 'stop'}:${this.#random.between(1, 60)}`, afterMs: 0 };
  }

  async #strikeCommand(scenario: Scenario, args: readonly string[], fault: Fault): Promise<void> {
    const lived = this.#lived;
    const { faults, afterMs } = this.#where(scenario, fault);
    const before = await lived.look();
    const { child, ended } = lived.world.start([...args, '--json'], { UNSHIP_FAULTS: faults });
    const gone = new AbortController();
    void ended.then(() => gone.abort());
    if (afterMs > 0) {
      await sleep(afterMs, undefined, { signal: gone.signal }).catch(() => undefined);
      if (!gone.signal.aborted) child.kill(fault === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    } else if (fault === 'freeze') {
      await until(() => gone.signal.aborted || isFrozen(child.pid), 30_000);
    }
    if (fault === 'freeze' && !gone.signal.aborted) await this.#passBy(() => child.kill('SIGCONT'), ended);
    const done = await ended;
    await lived.judge({ args, ended: done, before }, () => fault === 'freeze');
  }

  /** While one is frozen another takes over, and the first finds itself out of office when it wakes up. */
  async #passBy(thaw: () => void, ended: Promise<Ended>): Promise<void> {
    const lived = this.#lived;
    const passed = await this.#takeOver().catch(async (error: unknown) => {
      if (!isLocked(error)) throw error;
      // It was closing the state for the last time, and nobody even reads it: then a command has to say so.
      const other = await lived.world.run(['rollback', '--yes', '--json']);
      if (other.exit !== 4) lived.violations.push(`a frozen process holds the state: ${said(other)}`);
      return undefined;
    });
    thaw();
    const done = await ended;
    if (passed === undefined) return;
    const now = await lived.look();
    if (!isDeepStrictEqual(now, passed.seen))
      lived.violations.push(
        `a frozen process changed the world when it woke up, after unship ${passed.args.join(' ')}: ${JSON.stringify([passed.seen, now])} ${said(done)}`,
      );
    if (!isDeepStrictEqual(lived.world.runs(), passed.runs))
      lived.violations.push(`a frozen process changed a journal when it woke up: ${said(done)}`);
  }

  /** Undefined where the other did not get through: what is held in the kernel nobody can take. */
  async #takeOver(): Promise<
    | {
        readonly args: readonly string[];
        readonly seen: Observation;
        readonly runs: readonly RunRow[];
      }
    | undefined
  > {
    const lived = this.#lived;
    const open = lived.unended().at(-1);
    const rollback = ['rollback', '--yes', '--take-over'];
    const args =
      open === undefined || this.#random.chance(0.4) ? rollback : ['resume', String(open.id), '--take-over'];
    const other = await lived.say(args, {}, () => true);
    const seen = await lived.look();
    const runs = lived.world.runs();
    // It need not have ended well: a run that was undone is as little the frozen one's any more.
    const hasEnded = open !== undefined && lived.unended().length === 0;
    const took = hasEnded || (other.exit === 0 && runs.every(({ status }) => status !== 'running'));
    return took ? { args, seen, runs } : undefined;
  }

  async #strikeAgent(args: readonly string[], fault: Fault): Promise<void> {
    const lived = this.#lived;
    // Something for it to do: whoever drove it is dead.
    const dead = lived.world.start(args);
    await sleep(this.#random.between(200, 900));
    dead.child.kill('SIGKILL');
    await dead.ended;
    const agent = lived.world.start(['agent', '--json']);
    await sleep(this.#random.between(200, 1500));
    if (fault === 'kill') {
      agent.child.kill('SIGKILL');
    } else {
      agent.child.kill('SIGSTOP');
      await this.#passBy(() => {
        agent.child.kill('SIGCONT');
        agent.child.kill('SIGTERM');
      }, agent.ended);
    }
    await agent.ended;
  }

  async #strikeServer(
    scenario: Scenario,
    args: readonly string[],
    victim: 'gateway' | 'application',
    fault: Fault,
  ): Promise<void> {
    const lived = this.#lived;
    const striking = sleep(this.#random.between(0, span[scenario])).then(async () => {
      const found = lived.world
        .processes()
        .filter(({ command }) => command.includes(victim === 'gateway' ? 'gateway.js' : 'server.mjs'));
      const process = found[this.#random.between(0, Math.max(0, found.length - 1))];
      if (process === undefined) return;
      signal(process.pid, fault === 'kill' ? 'SIGKILL' : 'SIGSTOP');
      if (fault === 'kill') return;
      await sleep(this.#random.between(200, 2500));
      signal(process.pid, 'SIGCONT');
    });
    await lived.say(args, {}, () => true);
    await striking;
  }

  /** A gateway that was killed after everything had ended is started by whoever needs it next. */
  async #wake(): Promise<void> {
    const lived = this.#lived;
    const answers = async (): Promise<boolean> => (await lived.look()).web !== null;
    if (await answers()) return;
    const done = await lived.say(['serve', '--yes']);
    if (await until(answers, 30_000)) return;
    const runs = JSON.stringify(lived.world.runs().slice(-5));
    throw new Error(
      `nobody answers after unship serve: ${said(done)} ${runs} ${JSON.stringify(await lived.look())}`,
    );
  }
}

/** The test itself could not read the state. */
function isLocked(error: unknown): boolean {
  return error instanceof Error && error.message === 'database is locked';
}

function isFrozen(pid: number | undefined): boolean {
  return pid !== undefined && stateOf(pid) === 'T';
}

function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0];
  } catch {
    return undefined;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

/** More than this on two cores makes commands so slow that most strikes fall before their first step. */
const worldsSideBySide = 3;

/** Part C: real processes killed and frozen at moments that the seed chooses; others go on. */
export async function kills(request: PartRequest): Promise<PartResult> {
  const started = performance.now();
  const counts: { [what: string]: number } = {};
  const opinions: Opinions = { agrees: 0, unknowable: 0, contradicts: 0 };
  const violations: string[] = [];
  const deadline = started + request.minutes * 60_000;
  let next = 0;
  const work = async (): Promise<void> => {
    let lived: LivedInWorld | undefined;
    try {
      while (next < request.count && performance.now() < deadline && violations.length < 10) {
        const seed = request.seed + next;
        next += 1;
        lived ??= await LivedInWorld.make(request.program);
        const point = new Point(lived, seed);
        await point.run().catch((error: unknown) => {
          lived?.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
        });
        const { victim, fault, scenario } = point.struck ?? {};
        for (const what of ['points', `${victim} ${fault}`, String(scenario)])
          counts[what] = (counts[what] ?? 0) + 1;
        if (lived.violations.length === 0) continue;
        for (const text of lived.violations) {
          const told = `${scenario}, ${victim} ${fault}; repeat: npm run soak -- kills --count 1 --seed ${seed}\n${text}`;
          violations.push(told);
          request.tell(told);
        }
        // What comes after a failure in the same world would only follow from it.
        addOpinions(opinions, lived.opinions);
        await lived.end();
        lived = undefined;
      }
    } finally {
      if (lived !== undefined) addOpinions(opinions, lived.opinions);
      await lived?.end();
    }
  };
  await Promise.all(Array.from({ length: Math.min(worldsSideBySide, request.count) }, work));
  const seconds = Math.round((performance.now() - started) / 1000);
  return { part: 'kills', seed: request.seed, seconds, counts, opinions, violations };
}
