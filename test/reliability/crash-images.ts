import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Random } from '../simulation/random.ts';
import { Disk } from './disk.ts';
import { wrongWith } from './found-state.ts';
import { type DiskOperation, record } from './trace.ts';
import { type Extent, statesOf } from './work.ts';

/** Short lives of the state, whose ends fold the log in, and a long one, in which the log begins again by itself. */
const extent: Extent = { rounds: 26, perOpening: 1, openings: 5 };

/** What a process asked of the disk, and what the state was after each of its commits. */
export interface Recording {
  readonly operations: readonly DiskOperation[];
  readonly states: readonly string[];
}

/** A place in memory where there is one: syncing costs nothing there, and nothing is said about it. */
export function quickFolder(name: string): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `unship-${name}-`));
}

/** Throws when what was recorded does not make the files that are there. */
export async function makeRecording(): Promise<Recording> {
  const folder = quickFolder('recording');
  try {
    mkdirSync(join(folder, 'recorded'));
    mkdirSync(join(folder, 'expected'));
    const file = join(folder, 'recorded', 'state.db');
    const operations = await record(file, extent);
    const states = await statesOf(join(folder, 'expected', 'state.db'), extent);
    const disk = new Disk();
    for (const operation of operations) disk.apply(operation);
    const made = disk.seen().get('state.db');
    if (made === undefined || !readFileSync(file).equals(made)) throw new Error('the recording lacks writes');
    if (disk.acknowledged !== states.length) throw new Error('the same work made other commits');
    return { operations, states };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface Portion {
  readonly from: number;
  readonly count: number;
  /** Share of the syncs that the disk pretends to do. */
  readonly droppedSyncs: number;
}

export interface Violation {
  readonly seed: number;
  readonly text: string;
}

/** One power cut: where, and by which chance. A seed gives the same image however many there are. */
function cutOf(seed: number, operations: number): { readonly at: number; readonly random: Random } {
  const random = new Random(seed);
  return { at: Math.floor(random.next() * (operations + 1)), random };
}

/** Makes the images of these seeds, earliest cut first, and looks at each. */
export async function lookAtImages(
  { operations, states }: Recording,
  { from, count, droppedSyncs }: Portion,
  folder: string,
): Promise<readonly Violation[]> {
  const cuts = Array.from({ length: count }, (_, index) => {
    const seed = from + index;
    return { seed, ...cutOf(seed, operations.length) };
  }).sort((a, b) => a.at - b.at);
  const violations: Violation[] = [];
  const lies = new Random(from);
  const disk = new Disk();
  let done = 0;
  for (const { seed, at, random } of cuts) {
    for (const operation of operations.slice(done, at)) disk.apply(operation, !lies.chance(droppedSyncs));
    done = at;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, content] of disk.image(random)) writeFileSync(join(folder, name), content);
    const demands = { states, acknowledged: disk.acknowledged, resume: seed % 16 === 0 };
    const text = await wrongWith(join(folder, 'state.db'), demands);
    if (text !== undefined) violations.push({ seed, text: `cut at ${at}: ${text}` });
  }
  return violations;
}

const portion = 1_000;

export interface Looked {
  readonly images: number;
  readonly violations: readonly Violation[];
}

/** All seeds of a range in several threads. */
export async function lookSideBySide(
  recording: Recording,
  { from, count, droppedSyncs }: Portion,
  onProgress: (images: number) => void = () => {},
): Promise<Looked> {
  let next = from;
  let images = 0;
  const violations: Violation[] = [];
  const work = async (): Promise<void> => {
    const folder = quickFolder('images');
    const data = { recording, folder: join(folder, 'image') };
    const worker = new Worker(new URL('crash-image-worker.ts', import.meta.url), { workerData: data });
    try {
      while (next < from + count) {
        const first = next;
        next = Math.min(from + count, first + portion);
        worker.postMessage({ from: first, count: next - first, droppedSyncs } satisfies Portion);
        const [found] = (await once(worker, 'message')) as [readonly Violation[]];
        violations.push(...found);
        images += Math.min(from + count, first + portion) - first;
        onProgress(images);
      }
    } finally {
      await worker.terminate();
      rmSync(folder, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return { images, violations };
}
