import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../simulation/random.ts';
import { said, until } from '../support/world.ts';
import { lastJournals } from './journal-order.ts';
import { LivedInWorld } from './lived-in-world.ts';
import type { PartRequest, PartResult } from './part.ts';

/** How wrong a clock may be, in ms: an hour, ten days, and about as much as a lease lasts. */
const shifts = [-864_000_000, -3_600_000, -9_000, 9_000, 3_600_000, 864_000_000] as const;

/** Commands that people, cron and CI give, most of them all the time. */
const commands = [
  ['release', '--yes'],
  ['release', '--yes'],
  ['release', '--yes', '--take-over'],
  ['rollback', '--yes'],
  ['rollback', '--yes', '--take-over'],
  ['undo', '--yes'],
  ['cancel', '--yes'],
  ['cancel', '--yes', '--take-over'],
  ['resume', '--due'],
  ['resume'],
  ['resume', '--take-over'],
  ['agent'],
] as const;

/** Several people, cron jobs and agents at one environment, some killed, some frozen, some with a wrong clock. */
class Crowd {
  readonly lived: LivedInWorld;
  readonly counts: { [what: string]: number } = {};
  readonly #random: Random;
  readonly #deadline: number;
  #committing: Promise<void> = Promise.resolve();

  constructor(lived: LivedInWorld, seed: number, deadline: number) {
    this.lived = lived;
    this.#random = new Random(seed);
    this.#deadline = deadline;
  }

  get #isOver(): boolean {
    return performance.now() > this.#deadline;
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  async run(people: number): Promise<void> {
    const acting = Array.from({ length: people }, () => this.#person());
    await Promise.all([...acting, this.#writer()]);
    await this.#rest();
  }

  async #writer(): Promise<void> {
    while (!this.#isOver) {
      this.#count((await this.lived.write()) ? 'acknowledged writes' : 'refused writes');
      await sleep(30);
    }
  }

  async #person(): Promise<void> {
    while (!this.#isOver) {
      const args = this.#random.pick(commands);
      if (args[0] === 'release') await this.#somethingToRelease();
      await this.#command(args);
      await sleep(this.#random.between(0, 400));
    }
  }

  /** What was taken back is quarantined: another version, made by one of them at a time. */
  async #somethingToRelease(): Promise<void> {
    const { lived } = this;
    const commit = async (): Promise<void> => {
      if (lived.world.quarantined().includes(await lived.world.head()) || lived.live === 'r1')
        await lived.commitBad();
    };
    this.#committing = this.#committing.then(commit);
    await this.#committing;
  }

  async #command(args: readonly string[]): Promise<void> {
    const { lived } = this;
    const random = this.#random;
    const shift = random.chance(0.3) ? random.pick(shifts) : 0;
    const before = await lived.look();
    const { child, ended } = lived.world.start([...args, '--json'], { UNSHIP_FAULTS: `clock:${shift}` });
    this.#count(args[0] ?? '');
    if (shift !== 0) this.#count('wrong clocks');
    const gone = new AbortController();
    void ended.then(() => gone.abort());
    const wait = async (ms: number): Promise<void> => {
      await sleep(ms, undefined, { signal: gone.signal }).catch(() => undefined);
    };
    const fate = random.next();
    if (fate < 0.2) {
      await wait(random.between(50, 1500));
      if (child.kill('SIGKILL')) this.#count('killed');
    } else if (fate < 0.35) {
      await wait(random.between(50, 1500));
      if (!gone.signal.aborted && child.kill('SIGSTOP')) this.#count('frozen');
      await sleep(random.between(200, 12_000));
      child.kill('SIGCONT');
    }
    if (args[0] === 'agent') {
      await wait(random.between(500, 5000));
      child.kill('SIGTERM');
    }
    const late = new AbortController();
    const isLate = sleep(120_000, true, { signal: late.signal }).catch(() => false);
    if ((await Promise.race([ended, isLate])) === true) {
      lived.violations.push(`unship ${args.join(' ')} did not end within two minutes`);
      child.kill('SIGKILL');
    }
    late.abort();
    await lived.judge({ args, ended: await ended, before }, () => true);
  }

  /** One command brings everything to rest, and from there the way back is open. */
  async #rest(): Promise<void> {
    const { lived } = this;
    const open = lived.unended().at(-1);
    if (open !== undefined) {
      const done = await lived.say(['resume', String(open.id)]);
      if (lived.unended().length > 0) {
        const back = await lived.say(['rollback', '--yes']);
        if (back.exit !== 0) throw new Error(`one command did not bring rest: ${said(done)} ${said(back)}`);
      }
    }
    if (!(await until(async () => (await lived.look()).web !== null, 10_000)))
      throw new Error('nobody answers');
    await lived.requireRest();
    await lived.back();
  }
}

/** Part G: two to five real processes at a time against one state and one environment. */
export async function contention(request: PartRequest): Promise<PartResult> {
  const started = performance.now();
  // Leases may have been taken with a clock that is ten days ahead: that, too, must not stand in the way for ever.
  const minutes = Number.isFinite(request.minutes) ? request.minutes : request.count;
  const lived = await LivedInWorld.make(request.program);
  const crowd = new Crowd(lived, request.seed, performance.now() + minutes * 60_000);
  try {
    await crowd
      .run(new Random(request.seed).between(2, 5))
      .catch((error: unknown) =>
        lived.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error)),
      );
    if (lived.violations.length > 0) request.tell(lived.world.readState(lastJournals));
    for (const text of lived.violations) {
      request.tell(`repeat: npm run soak -- contention --minutes ${minutes} --seed ${request.seed}\n${text}`);
    }
  } finally {
    await lived.end();
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  const { opinions, violations } = lived;
  return { part: 'contention', seed: request.seed, seconds, counts: crowd.counts, opinions, violations };
}
