import { judgeEnd } from '../observer.ts';
import { differenceOf, endOf, runsOf } from './end.ts';
import type { Person } from './person.ts';
import { play, type Scene } from './play.ts';
import { type Shape, worldOf } from './shapes.ts';
import { fingerprint, type Standstill } from './standstill.ts';

/** Where somebody is killed, counted from 1 and from where the one before was, and who comes after it. */
export interface Kill {
  readonly at: number;
  /** Another one takes it back; else it is gone on with. */
  readonly isBack: boolean;
  /** It is cron that goes on, with what is due. */
  readonly isDue: boolean;
  /** Whoever comes sits at another machine, from which nobody sees that the first one is dead. */
  readonly isElsewhere: boolean;
  /** Set where `at` is the number of an order, which arrives only when those who come after pass this place. */
  readonly arrives?: number;
}

export interface Violation {
  readonly shape: string;
  readonly kills: readonly Kill[];
  readonly text: string;
}

/** Places that leave the same world when somebody is killed there. */
export interface Place {
  readonly at: number;
  /** How many there are of them; `at` is the first. */
  readonly count: number;
  /** Its own number among those that differ: it decides who comes after it. */
  readonly number: number;
}

/** What was tried. */
export interface Tried {
  /** How many courses of events were judged after one kill, after two, after three. */
  readonly ends: readonly number[];
  readonly violations: readonly Violation[];
}

export interface Extent {
  /** So many kills after one another, at most. */
  readonly depth: number;
  /** Of the later places one in so many, each time others; all of them when it is 1. */
  readonly oneIn: number;
  /** The same of the places at which an order of a dead sender arrives. */
  readonly lateOneIn: number;
}

/** Longer than a lease lives whose owner can't be seen, in ms. */
const leaseMs = 11_000;
/** Longer than requests wait for somebody who is dead, in ms. */
const holdMs = 8_000;

/** What people do after a kill, until nothing is left to do: by rule, so that every place is met by somebody else. */
function goOn(shape: Shape, before: string, kill: Kill): (person: Person) => Promise<void> {
  const { isBack, isDue, isElsewhere } = kill;
  return async (person) => {
    const { world } = person;
    const { disk } = world;
    // Whether a process of another machine lives can't be seen: its lease has to run out.
    const isUnseen = isElsewhere || disk.content.lease?.owner.host !== 'here';
    if (disk.content.lease !== undefined && isUnseen) await world.time.sleep(leaseMs);
    if (isBack) await person.rollback();
    for (let tries = 0; tries < 5 && !person.isInterrupted; tries += 1) {
      if (!isBack && (await shape.first?.(person))) continue;
      const open = person.open.at(-1);
      if (open !== undefined) {
        // More would be lost by now than was agreed to: a person decides anew.
        if (open.entries.some(({ text }) => text.includes('loss-exceeds-consent'))) await person.rollback();
        else if (isDue && tries === 0) await person.resumeDue();
        else await person.resume(open.summary.id);
      } else if (!isBack && runsOf(disk.content.runs) === before) await shape.act(person);
      else break;
    }
    if (!person.isInterrupted && world.web.heldBy !== null) await world.time.sleep(holdMs);
  };
}

/** Everything else is written in this process's own files. */
function isOrder(point: string): boolean {
  return !point.startsWith('store.') && !point.startsWith('incident.');
}

/** By rule and not by chance who comes after it: mostly somebody at the same machine, every other time it is cron. */
function killAt({ at, number }: Place, isBack: boolean): Kill {
  return { at, isBack, isDue: number % 2 === 1, isElsewhere: number % 5 === 0 };
}

/** All ways in which one shape can be killed. */
export class Walk {
  readonly shape: Shape;
  readonly start: Standstill;
  /** What happens when nobody is killed. */
  readonly undisturbed: Scene;
  /** Which runs there were before it began. */
  readonly #before: string;
  readonly #ends: readonly (readonly string[])[];

  private constructor(shape: Shape, start: Standstill, scenes: readonly [Scene, ...Scene[]]) {
    this.shape = shape;
    this.start = start;
    this.undisturbed = scenes[0];
    this.#before = runsOf(start.world.disk.content.runs);
    this.#ends = scenes.map(({ world }) => endOf(world));
  }

  static async of(shape: Shape): Promise<Walk> {
    const world = worldOf(shape);
    world.end();
    const { leftWhere: where } = shape;
    const left = where === undefined ? {} : { where };
    const start = await play({ world, agreed: 0 }, shape.before ?? (async () => {}), left);
    const { planned = [] } = shape;
    const scenes: [Scene, ...Scene[]] = [await play(start, shape.act, {}, { planned })];
    const missing = planned.filter(({ kind }) => !scenes[0].world.faults.happened(kind));
    const wrong = [...start.violations, ...missing.map(({ kind }) => `there was no ${kind}`)];
    if (wrong.length > 0) throw new Error(`${shape.name}: ${wrong.join('; ')}`);
    if (shape.otherwise !== undefined) scenes.push(await play(start, shape.otherwise));
    return new Walk(shape, start, scenes);
  }

  /** Killed at the first place. */
  async first(at: number): Promise<Scene> {
    const { act, planned = [] } = this.shape;
    return await play(this.start, act, { at }, { planned });
  }

  /** Gone on with after `kill` has left `from`, and killed again where `killAt` says so. */
  async next(from: Standstill, kill: Kill, at = 0): Promise<Scene> {
    const what = goOn(this.shape, this.#before, kill);
    return await play(from, what, { at }, { elsewhere: kill.isElsewhere });
  }

  /** How many orders are sent to servers when nobody is killed. */
  get orders(): number {
    return this.undisturbed.points.filter((point) => point.endsWith('.before') && isOrder(point)).length;
  }

  /** Killed behind an order, which arrives while somebody else goes on already. */
  async late(kill: Kill): Promise<Scene> {
    const { shape } = this;
    const { planned = [] } = shape;
    const what = async (person: Person): Promise<void> => {
      await shape.act(person);
      person.isInterrupted = false;
      await goOn(shape, this.#before, kill)(person);
    };
    return await play(this.start, what, { late: { sent: kill.at, arrives: kill.arrives ?? 0 } }, { planned });
  }

  /** The first places, those that leave the same world together. */
  async places(): Promise<readonly Place[]> {
    const places: Place[] = [];
    let before = '';
    for (let at = 1; at <= this.undisturbed.points.length; at += 1) {
      const left = fingerprint(await this.first(at));
      const last = places.at(-1);
      if (last !== undefined && left === before) places.splice(-1, 1, { ...last, count: last.count + 1 });
      else places.push({ at, count: 1, number: places.length + 1 });
      before = left;
    }
    return places;
  }

  /** Everything that can follow when somebody is killed behind this order: it arrives at each place of those after. */
  async exploreLate(sent: number, { lateOneIn }: Extent): Promise<Tried> {
    const found = new Findings(this, 1);
    for (const isBack of [false, true]) {
      const kill = { at: sent, isBack, isDue: false, isElsewhere: false, arrives: 0 };
      const { points } = found.judged([kill], 1, await this.late(kill));
      for (let arrives = 1; arrives <= points.length; arrives += 1) {
        if ((sent + arrives) % lateOneIn !== 0) continue;
        const later = { ...kill, arrives };
        found.judged([later], 1, await this.late(later));
      }
    }
    return { ends: found.ends, violations: found.violations };
  }

  /** Everything that can follow a first kill at this place. */
  async explore(place: Place, extent: Extent): Promise<Tried> {
    const found = new Findings(this, extent.depth);
    const left = await this.first(place.at);
    for (const isBack of [false, true]) {
      const kill = killAt(place, isBack);
      // By rule the later kills have one who comes; the first has also the other one.
      const other = { ...kill, isDue: !kill.isDue, isElsewhere: !kill.isElsewhere };
      found.judged([other], place.count, await this.next(left, other));
      await this.#explore(left, { kills: [], last: kill, weight: place.count }, extent, found);
    }
    return { ends: found.ends, violations: found.violations };
  }

  async #explore(
    left: Scene,
    path: { readonly kills: readonly Kill[]; readonly last: Kill; readonly weight: number },
    extent: Extent,
    found: Findings,
  ): Promise<void> {
    const { last, weight } = path;
    const kills = [...path.kills, last];
    found.note(kills, left.violations);
    const { points } = found.judged(kills, weight, await this.next(left, last));
    if (kills.length === extent.depth) return;
    const groups: { readonly left: Scene; readonly at: number; count: number; readonly world: string }[] = [];
    for (let at = 1; at <= points.length; at += 1) {
      if ((last.at + at) % extent.oneIn !== 0) continue;
      const again = await this.next(left, last, at);
      const world = fingerprint(again);
      const group = groups.at(-1);
      if (group?.world === world) group.count += 1;
      else groups.push({ left: again, at, count: 1, world });
    }
    for (const [index, { left: again, at, count }] of groups.entries()) {
      const number = index + 1;
      const kill = killAt({ at, count, number }, number % 4 === 0);
      await this.#explore(again, { kills, last: kill, weight: weight * count }, extent, found);
    }
  }

  /** What is wrong with how it ended. */
  judge({ world, agreed, violations }: Scene, kills: readonly Kill[]): readonly string[] {
    const found = [...violations, ...judgeEnd(world, agreed)];
    const { runs, releases } = world.disk.content;
    const told = runsOf(runs);
    if (kills.length === 0 && told !== this.shape.ends.join(', ')) found.push(`it ended as ${told}`);
    if (told === this.#before) return [...new Set(found)];
    const seen = endOf(world);
    const isAsUndisturbed = this.#ends.some((end) => end.includes(`runs: ${told}`));
    if (isAsUndisturbed && !kills.some(({ isBack }) => isBack)) {
      const differences = this.#ends.map((end) => differenceOf(end, seen));
      const [nearest = []] = differences.toSorted((a, b) => a.length - b.length);
      if (nearest.length > 0) found.push(`it ended otherwise than undisturbed: ${nearest.join('; ')}`);
    } else {
      const last = runs.at(-1)?.summary;
      const wanted = last?.status === 'done' ? last.to : last?.from;
      const live = [...releases.values()].find(({ deployment }) => deployment === 'live');
      if (live?.id !== wanted)
        found.push(`the last run is ${last?.status}, and ${live?.id ?? 'nothing'} is live`);
    }
    return [...new Set(found)];
  }
}

/** What was found, counted by how many were killed one after another. */
class Findings implements Tried {
  readonly ends: number[];
  readonly violations: Violation[] = [];
  readonly #walk: Walk;

  constructor(walk: Walk, depth: number) {
    this.#walk = walk;
    this.ends = Array.from({ length: depth }, () => 0);
  }

  note(kills: readonly Kill[], texts: readonly string[]): void {
    const shape = this.#walk.shape.name;
    this.violations.push(...texts.map((text) => ({ shape, kills, text })));
  }

  /** `weight` courses of events have ended like this one. */
  judged(kills: readonly Kill[], weight: number, end: Scene): Scene {
    const depth = kills.length - 1;
    this.ends[depth] = (this.ends[depth] ?? 0) + weight;
    this.note(kills, this.#walk.judge(end, kills));
    return end;
  }
}
