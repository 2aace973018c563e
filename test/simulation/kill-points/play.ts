import type { PlannedFault } from '../faults.ts';
import type { SimulatedProcess } from '../process.ts';
import type { World } from '../world.ts';
import { continued, Steady } from './continued.ts';
import { Person } from './person.ts';
import type { Standstill } from './standstill.ts';

/** What came of one stretch of events, from one standstill to the next. */
export interface Scene extends Standstill {
  /** Names of the places that were passed, in order. */
  readonly points: readonly string[];
  /** The place at which a process was killed. */
  readonly killed: string | null;
  readonly violations: readonly string[];
  readonly trace: readonly string[];
}

/** Where somebody is killed in a scene, counted from 1. */
export interface Interruption {
  /** At this place of those that count. */
  readonly at?: number;
  /** At the first place where this holds. */
  readonly where?: (world: World) => boolean;
  /** Once this order has been sent; it arrives when those who come after pass the place `arrives`, or at the end. */
  readonly late?: { readonly sent: number; readonly arrives: number };
}

export interface Setting {
  /** Who comes sits at a machine of their own. */
  readonly elsewhere?: boolean;
  readonly planned?: readonly PlannedFault[];
}

/** What was sent has arrived by then, in ms: no answer takes longer here. */
const settleMs = 100;

/**
 * Signs of life come by the clock and not by what is done; no run reads them. What is inside of a transaction is not
 * there before all of it is.
 */
const uncounted: ReadonlySet<string> = new Set(['store.renew-lease', 'store.create-run']);

function counts(point: string): boolean {
  return !uncounted.has(point.slice(0, point.lastIndexOf('.')));
}

/** Says yes to what waits for it, until it is told to end. */
async function approveWhatWaits(person: Person, ended: () => boolean): Promise<void> {
  const { world } = person;
  while (!ended()) {
    await world.time.sleep(400);
    const { signals } = world.disk.content;
    const waiting = person.open.find(
      ({ summary, plan }) =>
        summary.status === 'waiting' &&
        plan.includes('unship.approval') &&
        !signals.some(({ run, name }) => run === summary.id && name === 'approval'),
    );
    if (waiting !== undefined) await person.approve(waiting.summary.id);
  }
}

/** Counts the places that are passed, and kills whoever passes the one that is asked for. */
class Executioner {
  readonly points: string[] = [];
  killed: string | null = null;
  readonly #person: Person;
  readonly #interruption: Interruption;
  #sent = 0;
  #arrive: (() => void) | undefined;

  constructor(person: Person, interruption: Interruption) {
    this.#person = person;
    this.#interruption = interruption;
    const { world } = person;
    world.onPoint = (process, point) => this.#pass(process, point);
    world.network.onSent = (process) => this.#send(process);
  }

  #pass(process: SimulatedProcess, point: string): void {
    if (!counts(point)) return;
    this.points.push(point);
    const { at, where, late } = this.#interruption;
    if (this.points.length === late?.arrives) this.arrive();
    const isHere =
      this.points.length === at || (this.killed === null && where?.(this.#person.world) === true);
    if (isHere) this.#kill(process, `at ${this.points.length}: ${point}`);
  }

  #send(process: SimulatedProcess): Promise<void> | undefined {
    this.#sent += 1;
    if (this.#sent !== this.#interruption.late?.sent) return undefined;
    this.#kill(process, `behind ${this.points.at(-1)}`);
    // From here on those who come after are counted.
    this.points.length = 0;
    return new Promise((resolve) => {
      this.#arrive = resolve;
    });
  }

  #kill(process: SimulatedProcess, where: string): void {
    this.killed = where;
    this.#person.isInterrupted = true;
    this.#person.tell(`${process.owner.pid} is killed ${where}`);
    process.kill();
  }

  /** What is still on its way arrives. */
  arrive(): void {
    if (this.#arrive === undefined) return;
    this.#person.tell(`what was sent arrives at ${this.points.at(-1)}`);
    this.#arrive();
    this.#arrive = undefined;
  }
}

/** Lets something happen from a standstill on; whoever passes the place of the interruption is killed there. */
export async function play(
  from: Standstill,
  what: (person: Person) => Promise<void>,
  interruption: Interruption = {},
  { elsewhere = false, planned = [] }: Setting = {},
): Promise<Scene> {
  const random = new Steady(7);
  random.elsewhere = elsewhere;
  const world = continued(from.world, random, planned);
  const person = new Person(world, from.agreed);
  const executioner = new Executioner(person, interruption);
  let ended = false;
  void world.use();
  const isApproved = (world.definition.approvals ?? []).length > 0;
  const approving = isApproved ? approveWhatWaits(person, () => ended) : undefined;
  await what(person);
  ended = true;
  await approving;
  executioner.arrive();
  await world.time.sleep(settleMs);
  world.end();
  const { trace, agreed } = person;
  const { points, killed } = executioner;
  const violations = [...person.violations, ...world.monitor.found];
  return { world, agreed, points, killed, violations, trace };
}
