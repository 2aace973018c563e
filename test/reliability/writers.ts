import { setTimeout as sleep } from 'node:timers/promises';
import { badMigration } from '../support/application-fixture.ts';
import { said } from '../support/world.ts';
import type { Opinions } from './judge.ts';
import { LivedInWorld } from './lived-in-world.ts';
import { addOpinions, type PartRequest, type PartResult } from './part.ts';

const strategies = ['migrate-down', 'keep-schema', 'restore'] as const;
type Strategy = (typeof strategies)[number];

const restoreOnly = `-- unship: restore-only\n${badMigration.slice(0, badMigration.indexOf('-- migrate:down'))}-- migrate:down\n`;

/** Old code runs on it, and no row was changed. */
const expanding = `-- migrate:up
alter table entries add column feeling text;

-- migrate:down
alter table entries drop column feeling;
`;

const migrations: { readonly [strategy in Strategy]: string } = {
  'migrate-down': badMigration,
  'keep-schema': expanding,
  restore: restoreOnly,
};

interface Written {
  acknowledged: number;
  refused: number;
  lost: number;
}

/** One release and the rollback of it while people write without a pause. */
class Round {
  readonly lived: LivedInWorld;
  readonly #strategy: Strategy;
  readonly written: Written = { acknowledged: 0, refused: 0, lost: 0 };

  constructor(lived: LivedInWorld, strategy: Strategy) {
    this.lived = lived;
    this.#strategy = strategy;
  }

  /** Two people write until it has ended. */
  async #underWriters<T>(work: () => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const person = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        if (await this.lived.write()) this.written.acknowledged += 1;
        else this.written.refused += 1;
        await sleep(5);
      }
    };
    const people = Promise.all([person(), person()]);
    try {
      return await work();
    } finally {
      ended.abort();
      await people;
    }
  }

  async run(): Promise<void> {
    const { lived } = this;
    if (this.#strategy === 'keep-schema') await lived.commitExpanding(migrations['keep-schema']);
    else await lived.commitBad(migrations[this.#strategy]);
    await this.#underWriters(async () => await this.#demand(['release', '--yes']));
    if (this.#strategy === 'restore') await this.#restore();
    else await this.#underWriters(async () => await this.#demand(['rollback', '--yes']));
    await lived.requireRest('r1');
    if (this.written.refused > 0) lived.violations.push(`${this.written.refused} writes were refused`);
  }

  async #demand(args: readonly string[]): Promise<void> {
    const done = await this.lived.say(args);
    if (done.exit !== 0) throw new Error(`unship ${args.join(' ')} under writers: ${said(done)}`);
  }

  /** While people write, more would be lost than was shown; once they pause, exactly that is lost. */
  async #restore(): Promise<void> {
    const { lived } = this;
    await this.#underWriters(async () => {
      const { hash } = await this.#plan();
      await sleep(200);
      const refused = await lived.say(['rollback', '--yes', `--accept-data-loss=${hash}`]);
      if (refused.exit !== 3) throw new Error(`more is lost than was agreed to: ${said(refused)}`);
    });
    const { hash, rowsLost } = await this.#plan();
    const done = await lived.say(['rollback', '--yes', `--accept-data-loss=${hash}`]);
    if (done.exit !== 0) throw new Error(`a restore that was agreed to: ${said(done)}`);
    const { data } = JSON.parse(done.stdout) as { data: { lost: number } | null };
    const gone = await lived.forgetLost();
    if (gone !== rowsLost || data?.lost !== gone)
      lived.violations.push(
        `${rowsLost} were agreed to, ${data?.lost} were said to be lost, ${gone} are gone`,
      );
    this.written.lost += gone;
  }

  async #plan(): Promise<{ readonly hash: string; readonly rowsLost: number }> {
    const shown = await this.lived.world.expect(0, ['plan', '--json']);
    return JSON.parse(shown.stdout) as { hash: string; rowsLost: number };
  }
}

/** Part H: rollbacks under writers, with a ledger of what was acknowledged to them. */
export async function writers(request: PartRequest): Promise<PartResult> {
  const started = performance.now();
  const deadline = started + request.minutes * 60_000;
  const counts: { [what: string]: number } = {};
  const opinions: Opinions = { agrees: 0, unknowable: 0, contradicts: 0 };
  const violations: string[] = [];
  for (let done = 0; done < request.count && performance.now() < deadline; done += 1) {
    const strategy = strategies[(request.seed + done) % strategies.length] ?? 'migrate-down';
    const lived = await LivedInWorld.make(request.program);
    const round = new Round(lived, strategy);
    try {
      await round
        .run()
        .catch((error: unknown) =>
          lived.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error)),
        );
    } finally {
      await lived.end();
    }
    counts[strategy] = (counts[strategy] ?? 0) + 1;
    for (const [what, number] of Object.entries(round.written)) counts[what] = (counts[what] ?? 0) + number;
    addOpinions(opinions, lived.opinions);
    for (const text of lived.violations) {
      const told = `${strategy}; repeat: npm run soak -- writers --count 1 --seed ${request.seed + done}\n${text}`;
      violations.push(told);
      request.tell(told);
    }
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  return { part: 'writers', seed: request.seed, seconds, counts, opinions, violations };
}
