import type { Application, RunOptions } from '../../../src/domain/application.ts';
import { isUnshipError, messageOf } from '../../../src/domain/errors.ts';
import { isRefusal, type Plan, type Refusal } from '../../../src/domain/plan.ts';
import type { RunResult } from '../../../src/domain/report.ts';
import { endedStatuses } from '../../../src/domain/run.ts';
import { Killed } from '../../support/virtual-time.ts';
import type { StoredRun } from '../disk.ts';
import { judgeResult } from '../observer.ts';
import type { World } from '../world.ts';

/** No command takes longer, in ms of the world's time. */
const longestCommandMs = 600_000;

type Work = (application: Application, options: RunOptions) => Promise<RunResult | Refusal | undefined>;

/** People at the keyboard: each command is a process of its own, until it ends or is killed. */
export class Person {
  readonly world: World;
  readonly violations: string[] = [];
  readonly trace: string[] = [];
  /** Somebody's process was killed: whoever goes on is another one. */
  isInterrupted = false;
  /** Rows that were on the screen when somebody agreed to lose them. */
  agreed: number;

  constructor(world: World, agreed: number) {
    this.world = world;
    this.agreed = agreed;
  }

  tell(text: string): void {
    this.trace.push(`${this.world.now() - 1_700_000_000_000} ${text}`);
  }

  get open(): readonly StoredRun[] {
    return this.world.disk.content.runs.filter(({ summary }) => !endedStatuses.has(summary.status));
  }

  async #command(name: string, work: Work): Promise<void> {
    const { world } = this;
    const { process, application } = world.start(`unship ${name}`);
    const ended = new AbortController();
    const working = this.#result(work(application, { signal: ended.signal, onEvent: () => {} }));
    const result = await Promise.race([
      working,
      process.ended.then(() => 'was killed'),
      world.time.sleep(longestCommandMs).then(() => 'does not end'),
    ]);
    if (result === 'does not end') this.violations.push(`unship ${name} does not end`);
    if (process.alive) this.#judge(name, process.owner.pid, result);
    process.kill();
    this.tell(`${process.owner.pid} on ${process.owner.host}: unship ${name}: ${said(result)}`);
  }

  #judge(name: string, pid: number, result: RunResult | string): void {
    const { world } = this;
    if (typeof result !== 'string')
      this.violations.push(...judgeResult(world, result).map((text) => `unship ${name}: ${text}`));
    if (world.disk.content.lease?.owner.pid === pid)
      this.violations.push(`unship ${name} ended, and still holds the lease`);
  }

  async #result(working: ReturnType<Work>): Promise<RunResult | string> {
    try {
      const answer = await working;
      if (answer === undefined) return 'nothing to do';
      return 'refused' in answer ? `refused: ${answer.slug}` : answer;
    } catch (error) {
      if (error instanceof Killed) return 'was killed';
      if (isUnshipError(error)) return `${error.slug}: ${error.message}`;
      this.violations.push(`a defect: ${error instanceof Error ? error.stack : messageOf(error)}`);
      return 'a defect';
    }
  }

  /** Whoever sees what would be lost agrees to it. */
  async #carryOut(
    application: Application,
    plan: Plan | Refusal,
    options: RunOptions,
  ): Promise<RunResult | Refusal> {
    if (isRefusal(plan)) return plan;
    this.agreed += plan.rowsLost;
    return await application.execute(plan, { ...options, acceptedLossHash: plan.hash });
  }

  /** As the command line does: planned anew while what it ends is still moving. */
  async #carryBack(
    application: Application,
    make: () => Promise<Plan | Refusal>,
    options: RunOptions,
  ): Promise<RunResult | Refusal> {
    for (let plans = 1; ; plans += 1) {
      try {
        return await this.#carryOut(application, await make(), options);
      } catch (error) {
        if (!isUnshipError(error) || error.slug !== 'plan-stale' || plans === 4) throw error;
      }
    }
  }

  async release(): Promise<void> {
    await this.#command('release', async (application, options) => {
      const prepared = await application.prepareRelease({ dryRun: false, ...options });
      if (isRefusal(prepared as Refusal)) return prepared as Refusal;
      return await this.#carryOut(application, (prepared as { plan: Plan }).plan, options);
    });
  }

  async rollback(): Promise<void> {
    await this.#command('rollback', async (application, options) =>
      this.#carryBack(application, () => application.planRollback({ countRisk: true }), options),
    );
  }

  async undo(): Promise<void> {
    await this.#command('undo', async (application, options) =>
      this.#carryBack(application, () => application.planUndo(), options),
    );
  }

  async cancel(): Promise<void> {
    await this.#command('cancel', (application, options) => application.cancel(undefined, options));
  }

  async resume(run: number): Promise<void> {
    await this.#command(`resume ${run}`, (application, options) => application.resume(run, options));
  }

  async resumeDue(): Promise<void> {
    await this.#command('resume --due', async (application, options) =>
      (await application.resumeDue(options)).at(-1),
    );
  }

  async approve(run: number): Promise<void> {
    await this.#command(`approve ${run}`, async (application) => {
      await application.approve(run);
      return undefined;
    });
  }
}

function said(result: RunResult | string): string {
  if (typeof result === 'string') return result;
  const why = result.error === undefined ? '' : ` (${result.error.slug}: ${result.error.happened})`;
  return `run ${result.run} ${result.status}${why}`;
}
