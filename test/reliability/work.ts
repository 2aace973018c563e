import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import type { Step } from '../../src/domain/plan.ts';
import { type DriveOptions, Engine } from '../../src/engine/engine.ts';
import { Session } from '../../src/engine/session.ts';
import { openSqliteStore } from '../../src/store/open-sqlite.ts';
import type { Store } from '../../src/store/store.port.ts';
import type { ActionHandler } from '../../src/surfaces/surface.port.ts';
import { contractRelease } from '../../src/testing/store-harness.ts';
import { releasePlan, rollbackPlan } from '../engine/toy.ts';
import { acknowledging, countingRuntime } from './acknowledged.ts';

/** Told after every commit that the store has acknowledged, before anything else is asked of it. */
export type Acknowledged = () => void;

const owner = { host: 'here', pid: 1, pidStartedAt: '1', user: 'maria', command: 'unship release' };

/** Steps with an effect in memory: what this is about is what becomes of their journal. */
export class ToySteps {
  readonly done: Set<string> = new Set();
  /** How long the outputs are that a step leaves in the journal. */
  readonly #outputLength: number;
  /** Asked before each effect; a step that pauses its run aborts here. */
  beforeEffect: (step: string) => void = () => {};

  constructor(outputLength: number = 200) {
    this.#outputLength = outputLength;
  }

  handler(step: Step): ActionHandler {
    const { done } = this;
    return {
      validate: async () => {},
      apply: async () => {
        this.beforeEffect(step.id);
        done.add(step.id);
        return { id: step.id, text: 'x'.repeat(this.#outputLength) };
      },
      verify: async () => ({ observed: `${step.id} is there` }),
      undo: async () => void done.delete(step.id),
    };
  }
}

/** Goes on with a run under a lease of its own, whoever held it before: all others are dead. */
export async function resumeRun(store: Store, run: number): Promise<string> {
  return await driven(store, async (engine, session, options) => await engine.resume(run, session, options));
}

async function driven(
  store: Store,
  drive: (engine: Engine, session: Session, options: DriveOptions) => Promise<{ readonly status: string }>,
  steps: ToySteps = new ToySteps(),
  pause: AbortController = new AbortController(),
): Promise<string> {
  const runtime = countingRuntime(await store.lastFence());
  const engine = new Engine({
    store,
    runtime,
    handler: (step) => steps.handler(step),
    fenceOff: async () => {},
  });
  const answer = await Session.open({
    store,
    runtime,
    owner,
    mode: 'normal',
    kind: null,
    isAlive: () => false,
  });
  if (!answer.granted) throw new Error('the lease of a dead process was not given');
  try {
    return (await drive(engine, answer.session, { signal: pause.signal, onEvent: () => {} })).status;
  } finally {
    await answer.session.close();
  }
}

/**
 * One release and what may follow it, through the real engine and every kind of commit that the store knows. The
 * same round writes the same bytes, whenever and wherever it is done.
 */
async function round(store: Store, number: number): Promise<void> {
  const good = contractRelease(2 * number + 1, { deployment: 'live', health: 'good' });
  const bad = contractRelease(2 * number + 2, { deployment: 'live' });
  const plan = number % 3 === 2 ? rollbackPlan() : releasePlan();
  await store.saveConfiguration(`${number}`.padStart(64, 'c'), {
    number,
    text: 'y'.repeat(50 * (number % 7)),
  });
  await store.rememberPlan(plan.hash, number, number);
  const steps = new ToySteps(number % 5 === 0 ? 6_000 : 200);
  const pause = new AbortController();
  if (number % 4 === 1) steps.beforeEffect = (step) => void (step === 'web.switch' && pause.abort());
  let run = 0;
  await driven(
    store,
    async (engine, session, options) => {
      await store.saveReleases(session.fence, [good, { ...bad, deployment: 'superseded' }]);
      const begun = await engine.begin(store, session.fence, plan, { rowsLost: number, by: 'maria' }, bad);
      run = begun.run;
      return await engine.start(begun, session, options);
    },
    steps,
    pause,
  );
  await store.signal({ run, name: 'approval', payload: { by: 'ben' }, at: number });
  const incident = await store.openIncident({ run, release: bad.id, openedAt: number, draft: 'draft' });
  await store.saveIncidentDraft(incident.id, `draft of run ${run}\n`.repeat(1 + (number % 9)));
  // Every other paused run stays as it is: somebody may come across it later.
  if (number % 8 === 1) await resumeRun(store, run);
  await driven(store, async (_engine, session) => {
    const commit = String(number).padStart(40, '0');
    await store.quarantine(session.fence, { commit, release: bad.id, reason: 'bad', since: number });
    return { status: 'done' };
  });
  if (number % 2 === 0) await store.liftQuarantine(String(number).padStart(40, '0'), 'f'.repeat(40));
}

export interface Extent {
  readonly rounds: number;
  /** Rounds before the state is closed and opened again, which folds the log in; the last ones share one opening. */
  readonly perOpening: number;
  readonly openings: number;
}

/** Works on the state in `file`. The first acknowledgement is that of the empty state. */
export async function workOn(
  file: string,
  extent: Extent,
  acknowledged: Acknowledged,
  failed?: (error: unknown) => void,
): Promise<void> {
  let number = 0;
  for (let opening = 0; number < extent.rounds; opening += 1) {
    const store = openSqliteStore(file, countingRuntime(number));
    if (opening === 0) acknowledged();
    try {
      const last = opening < extent.openings ? number + extent.perOpening : extent.rounds;
      for (; number < Math.min(last, extent.rounds); number += 1) {
        await round(acknowledging(store, acknowledged, failed), number);
      }
    } finally {
      await store.close();
    }
  }
}

/** A digest over every row of every table but for the moment at which a configuration was saved. */
export function digestOf(database: DatabaseSync): string {
  const hash = createHash('sha256');
  for (const [table, columns, order] of tables) {
    const statement = database.prepare(`select ${columns} from ${table} order by ${order}`);
    for (const row of statement.iterate()) hash.update(`${table}\0${JSON.stringify(row)}\n`);
  }
  return hash.digest('hex');
}

const tables = [
  ['releases', '*', 'number'],
  ['quarantine', '*', '"commit"'],
  ['configurations', 'hash, document', 'hash'],
  ['plans', '*', 'hash'],
  ['runs', '*', 'id'],
  // The hash of an entry covers all before it.
  ['journal', 'run, seq, at, length(entry), hash', 'run, seq'],
  ['lease', '*', 'id'],
  ['signals', '*', 'run, name'],
  ['incidents', '*', 'id'],
] as const;

/** What the state is after each acknowledged commit, by number, when nothing goes wrong. */
export async function statesOf(file: string, extent: Extent): Promise<readonly string[]> {
  const states: string[] = [];
  let database: DatabaseSync | undefined;
  try {
    await workOn(file, extent, () => {
      database ??= new DatabaseSync(file, { readOnly: true });
      states.push(digestOf(database));
    });
  } finally {
    database?.close();
  }
  return states;
}
