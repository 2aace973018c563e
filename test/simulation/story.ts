import type { Application, RunOptions } from '../../src/domain/application.ts';
import type { EnvironmentDefinition } from '../../src/domain/definition.ts';
import { isUnshipError, messageOf } from '../../src/domain/errors.ts';
import { isRefusal, type Plan, type Refusal } from '../../src/domain/plan.ts';
import type { RunResult } from '../../src/domain/report.ts';
import { endedStatuses } from '../../src/domain/run.ts';
import { Killed } from '../support/virtual-time.ts';
import type { Migration } from './database.ts';
import { type FaultKind, planFaults } from './faults.ts';
import { judgeEnd, judgeResult } from './observer.ts';
import type { SimulatedProcess } from './process.ts';
import { Random } from './random.ts';
import { type Commit, commitHash, standbyVersion, World } from './world.ts';

/** No command takes longer, in ms of the story's time: a step has an hour, and is tried four times. */
const longestCommandMs = 5 * 3_600_000;

export interface Verdict {
  readonly seed: number;
  readonly fired: readonly FaultKind[];
  /** What should not have been; empty when all was well. */
  readonly violations: readonly string[];
  /** What happened, line by line: the same for the same seed. */
  readonly trace: readonly string[];
}

/** What happens elsewhere than between a process and its state. */
const harmlessToLease: ReadonlySet<FaultKind> = new Set([
  'reply-lost',
  'reply-late',
  'reply-duplicated',
  'reply-truncated',
  'reply-stale',
  'reply-hanging',
  'connection-reset',
  'error-that-succeeded',
  'approval-early',
  'approval-twice',
  'code-change',
  'capture-lost',
]);

type Outcome =
  | { readonly type: 'killed' }
  | { readonly type: 'refused'; readonly slug: string }
  | { readonly type: 'error'; readonly slug: string; readonly text: string }
  | { readonly type: 'nothing' }
  | { readonly type: 'result'; readonly result: RunResult };

type Work = (application: Application, options: RunOptions) => Promise<RunResult | Refusal | undefined>;

/** One schedule: people release, take back and change their minds, while the seed's faults strike. */
export class Story {
  readonly seed: number;
  readonly world: World;
  readonly violations: string[] = [];
  readonly trace: string[] = [];
  readonly #random: Random;
  readonly #bad: Commit;
  #ended = false;
  /** Consent is given by whoever sees the figure. */
  readonly #consents: boolean;
  /** Rows that were on the screen when somebody agreed to lose them. */
  #agreed = 0;

  constructor(seed: number) {
    this.seed = seed;
    const random = new Random(seed);
    this.#random = random;
    const definition: EnvironmentDefinition = {
      surfaces: {},
      guard: {
        bake: '4s',
        every: '1s',
        failures: 2,
        desktop: random.pick(['during', 'after']),
        onUnhealthy: random.pick(['page', 'page', 'rollback']),
      },
      approvals: random.pick([[], [], [], ['rollback'], ['release']]),
    } as EnvironmentDefinition;
    this.#consents = random.chance(0.7);
    this.world = new World(random, planFaults(random), definition);
    const good: Commit = {
      hash: commitHash(1),
      parents: [],
      versions: ['0001'],
      desktop: '1.0.0',
      isBad: false,
    };
    this.world.begin(good);
    const versions = ['0001'];
    const count = random.pick([0, 1, 1, 1, 2]);
    for (let index = 0; index < count; index += 1) {
      const migration: Migration = {
        version: `000${index + 2}`,
        oldCodeRuns: random.chance(0.5),
        newCodeRuns: random.chance(0.4),
        rewrites: random.chance(0.6),
        down: random.chance(0.2) ? 'restore-only' : 'written',
      };
      this.world.migrations.set(migration.version, migration);
      versions.push(migration.version);
    }
    this.#bad = {
      hash: commitHash(2),
      parents: [good.hash],
      versions,
      desktop: random.chance(0.7) ? '1.1.0' : '1.0.0',
      isBad: random.chance(0.6),
    };
    this.world.addCommit(this.#bad);
    if (random.chance(0.5)) this.world.desktop.standby = { version: standbyVersion, commit: good.hash };
  }

  async run(): Promise<Verdict> {
    const { world } = this;
    void world.use();
    void this.#approve();
    for (const fault of world.faults.byTime()) void this.#strikeAt(fault.kind, fault.at);
    await this.#people();
    world.faults.over = true;
    await this.#recover();
    this.#ended = true;
    this.violations.push(...judgeEnd(world, this.#agreed));
    world.end();
    const { fired } = world.faults;
    return { seed: this.seed, fired, violations: this.violations, trace: this.trace };
  }

  #tell(text: string): void {
    this.trace.push(`${this.world.now() - 1_700_000_000_000} ${text}`);
  }

  /** What somebody does at the keyboard, in a process of its own, until it ends or dies. */
  async #command(name: string, work: Work): Promise<Outcome> {
    const { world } = this;
    const { process, application } = world.start(`unship ${name}`);
    this.#strikeCommand(process);
    const ended = new AbortController();
    const options: RunOptions = { signal: ended.signal, onEvent: () => {} };
    const working = this.#outcome(work(application, options));
    const outcome = await Promise.race([
      working,
      process.ended.then((): Outcome => ({ type: 'killed' })),
      world.time.sleep(longestCommandMs).then((): Outcome => ({ type: 'error', slug: 'endless', text: '' })),
    ]);
    if (outcome.type === 'error' && outcome.slug === 'endless')
      this.violations.push(`unship ${name} did not end`);
    if (outcome.type === 'result' && process.alive)
      this.violations.push(...judgeResult(world, outcome.result).map((text) => `unship ${name}: ${text}`));
    this.#requireLeaseBack(name, process, outcome);
    process.kill();
    this.#tell(`${process.owner.pid} unship ${name}: ${said(outcome)}`);
    return outcome;
  }

  /** Whoever ends by itself gives back what it held, where nothing went wrong that could prevent it. */
  #requireLeaseBack(name: string, process: SimulatedProcess, outcome: Outcome): void {
    const { disk, faults } = this.world;
    if (outcome.type === 'killed' || !process.alive) return;
    if (faults.fired.some((kind) => !harmlessToLease.has(kind))) return;
    if (disk.content.lease?.owner.pid === process.owner.pid)
      this.violations.push(`unship ${name} ended, and still holds the lease`);
  }

  async #outcome(working: ReturnType<Work>): Promise<Outcome> {
    try {
      const answer = await working;
      if (answer === undefined) return { type: 'nothing' };
      if ('refused' in answer) return { type: 'refused', slug: answer.slug };
      return { type: 'result', result: answer };
    } catch (error) {
      if (error instanceof Killed) return { type: 'killed' };
      if (!isUnshipError(error)) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === undefined && !(error instanceof DOMException))
          this.violations.push(`a defect: ${error instanceof Error ? error.stack : messageOf(error)}`);
        return { type: 'error', slug: code ?? 'internal', text: messageOf(error) };
      }
      return { type: 'error', slug: error.slug, text: error.message };
    }
  }

  async #carryOut(
    application: Application,
    plan: Plan | Refusal,
    options: RunOptions,
  ): Promise<RunResult | Refusal> {
    if (isRefusal(plan)) return plan;
    // People read before they say yes; meanwhile the world goes on.
    if (this.#random.chance(0.4)) await this.world.time.sleep(this.#random.between(500, 8_000));
    const consent = this.#consents ? { acceptedLossHash: plan.hash } : {};
    if (this.#consents) this.#agreed += plan.rowsLost;
    return await application.execute(plan, { ...options, ...consent });
  }

  readonly #release: Work = async (application, options) => {
    const prepared = await application.prepareRelease({ dryRun: false, ...options });
    if (isRefusal(prepared as Refusal)) return prepared as Refusal;
    return await this.#carryOut(application, (prepared as { plan: Plan }).plan, options);
  };

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

  readonly #rollback: Work = async (application, options) =>
    await this.#carryBack(application, () => application.planRollback({ countRisk: true }), options);

  readonly #undo: Work = async (application, options) =>
    await this.#carryBack(application, () => application.planUndo(), options);

  readonly #cancel: Work = async (application, options) => await application.cancel(undefined, options);

  readonly #resumeDue: Work = async (application, options) => (await application.resumeDue(options)).at(-1);

  async #people(): Promise<void> {
    const random = this.#random;
    const others = random.chance(0.35) ? [this.#meddle(random.between(0, 20_000))] : [];
    // Where the release goes well, what follows it has its share.
    this.world.faults.held = random.chance(0.4);
    await this.#settled('release', this.#release);
    this.world.faults.held = false;
    if (random.chance(0.75)) await this.#settled('rollback', this.#rollback);
    // To and fro: what is undone may be an undo, and a release may have come, or stopped half-way, in between.
    for (let left = random.pick([0, 0, 0, 1, 1, 3]); left > 0; left -= 1) {
      const isRelease = random.chance(0.4);
      await this.#settled(isRelease ? 'release' : 'undo', isRelease ? this.#release : this.#undo);
    }
    await Promise.all(others);
  }

  /** Somebody else, at the same time. */
  async #meddle(after: number): Promise<void> {
    await this.world.time.sleep(after);
    const [name, work] = this.#random.pick<readonly [string, Work]>([
      ['rollback', this.#rollback],
      ['rollback', this.#rollback],
      ['cancel', this.#cancel],
      ['resume --due', this.#resumeDue],
      ['release', this.#release],
      ['undo', this.#undo],
    ]);
    await this.#settled(name, work);
  }

  /** Where it was killed or got stuck, people or cron go on with it, for a while. */
  async #settled(name: string, work: Work): Promise<void> {
    let outcome = await this.#command(name, work);
    for (let tries = 0; tries < 3; tries += 1) {
      const stuck =
        outcome.type === 'killed' ||
        outcome.type === 'error' ||
        (outcome.type === 'result' && !endedStatuses.has(outcome.result.status));
      if (!stuck) return;
      await this.world.time.sleep(this.#random.between(100, 20_000));
      if (this.world.disk.content.runs.every(({ summary }) => endedStatuses.has(summary.status))) return;
      outcome = await (this.#random.chance(0.3)
        ? this.#command('resume --due', this.#resumeDue)
        : this.#command('resume', async (application, options) => await this.#resume(application, options)));
    }
  }

  async #resume(application: Application, options: RunOptions): Promise<RunResult | undefined> {
    const run = this.world.disk.content.runs.findLast(({ summary }) => !endedStatuses.has(summary.status));
    return run === undefined ? undefined : await application.resume(run.summary.id, options);
  }

  /** Approves what waits, some time after it began to. */
  async #approve(): Promise<void> {
    while (!this.#ended) {
      await this.world.time.sleep(this.#random.between(2_000, 6_000));
      const waiting = this.world.disk.content.runs.find(({ summary }) => summary.status === 'waiting');
      if (waiting === undefined || !waiting.plan.includes('unship.approval')) continue;
      await this.#command('approve', async (application) => {
        await application.approve(waiting.summary.id).catch(refuseQuietly);
        return undefined;
      });
    }
  }

  /** When nothing goes wrong any more, everything that was begun must come to an end. */
  async #recover(): Promise<void> {
    const { world } = this;
    // What is frozen thaws, what was late arrives, leases run out.
    await world.time.sleep(120_000);
    for (let tries = 0; tries < 5; tries += 1) {
      const open = world.disk.content.runs.filter(({ summary }) => !endedStatuses.has(summary.status));
      if (open.length === 0) return;
      for (const { summary } of open.toReversed()) {
        await this.#command(`resume ${summary.id}`, (application, options) =>
          application.resume(summary.id, options),
        );
      }
      await world.time.sleep(30_000);
      // Where going on is refused (more would be lost by now than was agreed to), a person decides anew.
      if (tries >= 1) await this.#command('rollback', this.#rollback);
    }
  }

  #strikeCommand(process: SimulatedProcess): void {
    const { world } = this;
    const fault = world.faults.at('command');
    if (fault === 'clock-skewed') {
      process.shiftClock(
        this.#random.pick([-864_000_000, -3_600_000, -9_000, 9_000, 3_600_000, 864_000_000]),
      );
    }
    if (fault === 'approval-early') {
      const run = world.disk.content.runs.length + 1;
      const signal = { run, name: 'approval', payload: 'ben', at: world.now() };
      world.disk.tamper((content) => ({ ...content, signals: [...content.signals, signal] }));
    }
  }

  async #strikeAt(kind: FaultKind, at: number): Promise<void> {
    const { world } = this;
    await world.time.sleep(at);
    while (world.faults.held) await world.time.sleep(500);
    if (world.faults.over) return;
    const alive = world.processes.filter((process) => process.alive);
    const victim = alive[this.#random.between(0, Math.max(0, alive.length - 1))];
    if (!this.#strike(kind, victim)) return;
    world.faults.fired.push(kind);
    this.#tell(`${kind}${victim === undefined ? '' : ` at ${victim.owner.pid}`}`);
  }

  /** False when there was nothing to strike. */
  #strike(kind: FaultKind, victim: SimulatedProcess | undefined): boolean {
    const { world } = this;
    const random = this.#random;
    switch (kind) {
      case 'out-of-memory-kill':
        if (victim !== undefined) world.kill(victim);
        return victim !== undefined;
      case 'stalled-loop':
        victim?.freeze(random.between(500, 15_000));
        return victim !== undefined;
      case 'clock-forward':
        victim?.shiftClock(random.pick([9_000, 3_600_000, 864_000_000]));
        return victim !== undefined;
      case 'clock-back':
        victim?.shiftClock(-random.pick([9_000, 3_600_000, 864_000_000]));
        return victim !== undefined;
      case 'clock-frozen':
        victim?.stopClock(random.between(1_000, 60_000));
        return victim !== undefined;
      case 'torn-sector':
      case 'flipped-byte':
        return this.#damage(kind);
      case 'approval-twice': {
        const waiting = world.disk.content.runs.find(({ summary }) => summary.status === 'waiting');
        if (waiting === undefined) return false;
        for (const _ of [1, 2]) {
          void this.#command('approve', async (application) => {
            await application.approve(waiting.summary.id).catch(refuseQuietly);
            return undefined;
          });
        }
        return true;
      }
      case 'human-change':
        return this.#meddleByHand();
      case 'code-change':
        world.addCommit({ ...this.#bad, hash: commitHash(3), parents: [this.#bad.hash] });
        return true;
      case 'capture-lost':
        if (world.database.overwritten.size === 0) return false;
        world.database.overwritten.clear();
        return true;
      default:
        throw new Error(`${kind} does not strike by time`);
    }
  }

  #damage(kind: 'torn-sector' | 'flipped-byte'): boolean {
    const { disk } = this.world;
    const index = disk.content.runs.length - 1;
    const run = disk.content.runs[index];
    if (run === undefined) return false;
    const hit = this.#random.between(0, run.entries.length - 1);
    const spoil = (text: string): string => {
      const at = this.#random.between(0, text.length - 1);
      return kind === 'torn-sector'
        ? text.slice(0, at).padEnd(text.length, '\u0000')
        : `${text.slice(0, at)}${text[at] === '~' ? '!' : '~'}${text.slice(at + 1)}`;
    };
    const entries = run.entries.map((entry, at) =>
      at === hit ? { ...entry, text: spoil(entry.text) } : entry,
    );
    disk.tamper((content) => ({
      ...content,
      runs: content.runs.map((item, at) => (at === index ? { ...item, entries } : item)),
    }));
    return true;
  }

  /** Somebody helps without asking. */
  #meddleByHand(): boolean {
    const { web, database, desktop, migrations } = this.world;
    switch (this.#random.between(0, 2)) {
      case 0: {
        const other = [...web.running].find((release) => release !== web.live);
        if (other === undefined) return false;
        web.live = other;
        return true;
      }
      case 1: {
        const pending = [...migrations.keys()].find((version) => !database.applied.includes(version));
        if (pending === undefined) return false;
        database.applied = [...database.applied, pending].sort();
        return true;
      }
      default: {
        const { state } = desktop;
        const other = Object.keys(state.versions).find((version) => version !== state.offered);
        if (other === undefined) return false;
        desktop.state = { ...state, offered: other };
        return true;
      }
    }
  }
}

/** A person who approves what waits for nothing any more is told so; that is no fault. */
function refuseQuietly(error: unknown): void {
  if (!isUnshipError(error)) throw error;
}

function said(outcome: Outcome): string {
  switch (outcome.type) {
    case 'result':
      return `run ${outcome.result.run} ${outcome.result.status}${outcome.result.error === undefined ? '' : ` (${outcome.result.error.slug}: ${outcome.result.error.happened})`}`;
    case 'error':
      return `${outcome.slug}: ${outcome.text}`;
    case 'refused':
      return `refused: ${outcome.slug}`;
    default:
      return outcome.type;
  }
}
