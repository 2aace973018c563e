import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Plan, PlanKind, Step } from '../../src/domain/plan.ts';
import { finishPlan, type StepDraft, step } from '../../src/domain/planner/builder.ts';
import type { Policy } from '../../src/domain/planner/request.ts';
import type { RunStatus } from '../../src/domain/run.ts';
import type { Runtime } from '../../src/domain/runtime.ts';
import { type DriveOptions, Engine, type RunOutcome } from '../../src/engine/engine.ts';
import type { EngineEvent } from '../../src/engine/journal.ts';
import { Session, type SessionAnswer } from '../../src/engine/session.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { LeaseMode, LeaseOwner, Store } from '../../src/store/store.port.ts';
import type { ActionHandler, WorkContext } from '../../src/surfaces/surface.port.ts';
import { sha256 } from '../support/arbitrary-facts.ts';
import { VirtualProcess, VirtualTime } from '../support/virtual-time.ts';

/** What a handler does instead of its effect; by the id of the step. */
export type Behaviour = (
  context: WorkContext,
  part: 'validate' | 'apply' | 'verify' | 'undo',
) => Promise<void>;

/** Where the processes of a world keep their state, and the time that they all live in. */
export interface Surroundings extends Disposable {
  readonly time: VirtualTime;
  open(runtime: Runtime): Store;
}

function embeddedState(): Surroundings {
  const folder = mkdtempSync(join(tmpdir(), 'unship-engine-'));
  return {
    time: new VirtualTime(),
    open: (runtime) => openSqliteStore(join(folder, 'state.db'), runtime),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A little world that steps change: each has its effect or has not. */
export class World implements Disposable {
  readonly time: VirtualTime;
  /** Effects in the order in which they happened: `web.switch`, `undo web.switch`. */
  readonly effects: string[] = [];
  readonly done: Set<string> = new Set();
  readonly behaviours: Map<string, Behaviour> = new Map();
  readonly absent: Set<string> = new Set();
  /** What becomes of a run of which everything was taken back. */
  undone?: (plan: Plan, fence: number) => Promise<void>;
  /** What happens when the surfaces are told of a higher fence. */
  fenceOff: (fence: number) => Promise<void> = async () => {};
  /** Highest number of steps under way at once. */
  widest = 0;
  #underWay = 0;
  readonly #surroundings: Surroundings;
  #pids = 100;
  readonly #processes: Process[] = [];

  constructor(surroundings: Surroundings = embeddedState()) {
    this.#surroundings = surroundings;
    this.time = surroundings.time;
  }

  /** Another process on this machine, or on another one whose processes can't be seen from here. */
  process(host = 'here'): Process {
    this.#pids += 1;
    const opened = new Process(this, this.#surroundings, { host, pid: this.#pids });
    this.#processes.push(opened);
    return opened;
  }

  isAlive(owner: LeaseOwner): boolean | null {
    if (owner.host !== 'here') return null;
    return this.#processes.some((item) => item.owner.pid === owner.pid && item.self.alive);
  }

  async enter(): Promise<Disposable> {
    this.#underWay += 1;
    this.widest = Math.max(this.widest, this.#underWay);
    await Promise.resolve();
    return { [Symbol.dispose]: () => (this.#underWay -= 1) };
  }

  [Symbol.dispose](): void {
    this.time.end();
    for (const { store } of this.#processes) void store.close();
    this.#surroundings[Symbol.dispose]();
  }
}

export class Process {
  readonly world: World;
  readonly self: VirtualProcess;
  readonly owner: LeaseOwner;
  readonly store: Store;
  readonly engine: Engine;
  readonly events: EngineEvent[] = [];
  /** Aborts to pause. */
  readonly pause: AbortController = new AbortController();

  constructor(
    world: World,
    surroundings: Surroundings,
    place: { readonly host: string; readonly pid: number },
  ) {
    this.world = world;
    this.self = new VirtualProcess(world.time);
    this.owner = { ...place, pidStartedAt: String(place.pid), user: 'maria', command: 'unship release' };
    this.store = surroundings.open(this.self.runtime);
    this.engine = new Engine({
      store: this.store,
      runtime: this.self.runtime,
      handler: (item) => (world.absent.has(item.id) ? undefined : this.#handler(item)),
      fenceOff: async (_plan, fence) => await world.fenceOff(fence),
      ...(world.undone === undefined ? {} : { undone: world.undone }),
    });
  }

  async open(mode: LeaseMode = 'normal', kind: PlanKind | null = null): Promise<SessionAnswer> {
    const answer = await Session.open({
      store: this.store,
      runtime: this.self.runtime,
      owner: this.owner,
      mode,
      kind,
      isAlive: (owner) => this.world.isAlive(owner),
    });
    if (answer.granted) answer.session.keep();
    return answer;
  }

  async session(mode: LeaseMode = 'normal', kind: PlanKind | null = null): Promise<Session> {
    const answer = await this.open(mode, kind);
    if (!answer.granted) throw new Error(`held by ${answer.holder.owner.pid}`);
    return answer.session;
  }

  get options(): DriveOptions {
    return { signal: this.pause.signal, onEvent: (event) => void this.events.push(event) };
  }

  /** Starts the plan under a lease of its own, as a command does. */
  async run(plan: Plan, rowsLost?: number): Promise<RunOutcome> {
    const session = await this.session('normal', plan.kind);
    try {
      const consent = rowsLost === undefined ? null : { rowsLost, by: 'maria' };
      const begun = await this.engine.begin(this.store, session.fence, plan, consent);
      return await this.engine.start(begun, session, this.options);
    } finally {
      await session.close();
    }
  }

  async resume(run: number, mode: LeaseMode = 'normal'): Promise<RunOutcome> {
    const session = await this.session(mode);
    try {
      return await this.engine.resume(run, session, this.options);
    } finally {
      await session.close();
    }
  }

  async statuses(run: number): Promise<readonly RunStatus[]> {
    const entries = await this.store.journal(run);
    return entries.flatMap((entry) => (entry.type === 'run' ? [entry.status] : []));
  }

  #handler(item: Step): ActionHandler {
    const { world } = this;
    const { faults } = this.self.runtime;
    const behave = async (context: WorkContext, part: Parameters<Behaviour>[1]): Promise<void> => {
      using _inside = await world.enter();
      await world.behaviours.get(item.id)?.(context, part);
    };
    return {
      validate: async (context) => await behave(context as WorkContext, 'validate'),
      apply: async (context) => {
        await behave(context, 'apply');
        faults.point(`${item.id}.before`);
        if (!world.done.has(item.id)) {
          world.done.add(item.id);
          world.effects.push(item.id);
        }
        faults.point(`${item.id}.after`);
        return { id: item.id };
      },
      verify: async (context) => {
        await behave(context as WorkContext, 'verify');
        if (!world.done.has(item.id)) throw new Error(`${item.id} is not there`);
        return { observed: `${item.id} is there` };
      },
      undo: async (context) => {
        await behave(context, 'undo');
        faults.point(`undo ${item.id}.before`);
        if (world.done.delete(item.id)) world.effects.push(`undo ${item.id}`);
        faults.point(`undo ${item.id}.after`);
      },
    };
  }
}

const policy: Policy = {
  application: 'inner-scribe-vault',
  environment: 'production',
  bakeMs: 0,
  desktop: 'after',
  approvals: [],
  notifyTeam: false,
  rehearsal: 'off',
  digest: sha256,
};

export function planOf(
  kind: PlanKind,
  drafts: readonly (Partial<StepDraft> & Pick<StepDraft, 'action'>)[],
): Plan {
  const onFailure = kind === 'release' ? 'undo' : 'block';
  const steps = drafts.map((draft) => step({ title: draft.action, input: {}, onFailure, ...draft }));
  return finishPlan(
    {
      kind,
      from: 'r2',
      to: kind === 'release' ? 'r3' : 'r1',
      reason: 'test',
      steps,
      changes: [],
      why: [],
      options: [],
      warnings: [],
      blockedWritesMs: 0,
    },
    { surfaces: {} },
    policy,
  );
}

/** Backup and build side by side, then one after the other what is live. */
export function releasePlan(extra: Partial<StepDraft> = {}): Plan {
  return planOf('release', [
    { surface: 'web', action: 'web.stage' },
    { surface: 'vault', action: 'database.backup' },
    { surface: 'vault', action: 'database.migrate-up', after: ['vault.backup', 'web.stage'] },
    { surface: 'web', action: 'web.start', after: ['vault.migrate-up'] },
    { surface: 'web', action: 'web.switch', after: ['web.start'], ...extra },
    { action: 'unship.record-live', after: ['web.switch'] },
    { surface: 'web', action: 'web.retire', after: ['unship.record-live'], importance: 'best-effort' },
  ]);
}

export function rollbackPlan(): Plan {
  return planOf('rollback', [
    { surface: 'web', action: 'web.start' },
    { surface: 'desktop', action: 'desktop.halt', importance: 'best-effort' },
    { surface: 'web', action: 'web.switch', after: ['web.start'] },
    { surface: 'vault', action: 'database.migrate-down', after: ['web.switch'] },
    { action: 'unship.record-rollback', after: ['vault.migrate-down'] },
    { surface: 'desktop', action: 'desktop.pull', after: ['vault.migrate-down'] },
    {
      surface: 'desktop',
      action: 'desktop.publish-standby',
      after: ['desktop.pull'],
      pointOfNoReturn: true,
    },
    {
      action: 'unship.notify',
      after: ['unship.record-rollback', 'desktop.publish-standby'],
      importance: 'best-effort',
    },
  ]);
}
