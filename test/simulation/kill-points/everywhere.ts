import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Question } from './kills-worker.ts';
import { shapes } from './shapes.ts';
import { type Extent, type Tried, type Violation, Walk } from './walk.ts';

/** What came of killing everywhere. */
export interface Tally {
  /** How many places each shape has. */
  readonly places: ReadonlyMap<string, number>;
  /** How many courses of events ended after one kill, after two, after three. */
  readonly ends: readonly number[];
  /** How many courses of events had an order arrive late whose sender was dead. */
  readonly late: number;
  readonly violations: readonly Violation[];
}

export interface EverywhereOptions {
  /** Only these; all of them when absent. */
  readonly names?: readonly string[];
  readonly workers?: number;
  /** Told each time what can follow from one place has been tried. */
  readonly onProgress?: (tried: number, all: number) => void;
}

/** Kills at every first place of each shape, and at the later ones as far as `extent` goes, in several threads. */
export async function killEverywhere(
  extent: Extent,
  {
    names = shapes.map(({ name }) => name),
    workers = availableParallelism(),
    onProgress = () => {},
  }: EverywhereOptions = {},
): Promise<Tally> {
  const counts = new Map<string, number>();
  let late = 0;
  const ends = Array.from({ length: extent.depth }, () => 0);
  const violations: Violation[] = [];
  const waiting: Question[] = [];
  for (const shape of shapes.filter(({ name }) => names.includes(name))) {
    const walk = await Walk.of(shape);
    const { points } = walk.undisturbed;
    counts.set(shape.name, points.length);
    violations.push(
      ...walk.judge(walk.undisturbed, []).map((text) => ({ shape: shape.name, kills: [], text })),
    );
    const places = await walk.places();
    waiting.push(...places.map((from) => ({ shape: shape.name, from, extent })));
    for (let from = 1; from <= walk.orders; from += 1) waiting.push({ shape: shape.name, from, extent });
  }
  const all = waiting.length;
  let tried = 0;
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('kills-worker.ts', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 128 },
    });
    try {
      for (let question = waiting.shift(); question !== undefined; question = waiting.shift()) {
        worker.postMessage(question);
        const [answer] = (await once(worker, 'message')) as [Tried];
        if (typeof question.from === 'number') late += answer.ends[0] ?? 0;
        else
          answer.ends.forEach((count, depth) => {
            ends[depth] = (ends[depth] ?? 0) + count;
          });
        violations.push(...answer.violations);
        tried += 1;
        onProgress(tried, all);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return { places: counts, ends, late, violations };
}
