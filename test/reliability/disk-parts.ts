import { lookSideBySide, makeRecording } from './crash-images.ts';
import { tryFullDisks } from './full-disk.ts';
import type { PartRequest, PartResult } from './part.ts';
import { strikeAll } from './syscall-faults.ts';

/** The parts that are counted, not timed: without a count, so many as CI does. */
const usual = { images: 20_000, faults: 300, commands: 20 };

const noOpinions = { agrees: 0, unknowable: 0, contradicts: 0 };

function counted(count: number, otherwise: number): number {
  return Number.isFinite(count) ? count : otherwise;
}

function progress(tell: (text: string) => void, step: number): (done: number) => void {
  return (done) => {
    if (done % step === 0) tell(`${done} done`);
  };
}

/** What the disk may hold after a power cut: every image must be a state that was acknowledged. */
export async function crashImages({ seed, count, tell }: PartRequest): Promise<PartResult> {
  const began = performance.now();
  const recording = await makeRecording();
  const wanted = { from: seed, count: counted(count, usual.images), droppedSyncs: 0 };
  const { images, violations } = await lookSideBySide(recording, wanted, progress(tell, 10_000));
  return {
    part: 'crash-images',
    seed,
    seconds: (performance.now() - began) / 1000,
    counts: { images, commits: recording.states.length },
    opinions: noOpinions,
    violations: violations.map((item) => `seed ${item.seed}: ${item.text}`),
  };
}

/** System calls of the store that fail. */
export async function syscallFaults({ seed, count, tell }: PartRequest): Promise<PartResult> {
  const began = performance.now();
  const { violations, ...counts } = await strikeAll(seed, counted(count, usual.faults), progress(tell, 100));
  return {
    part: 'syscall-faults',
    seed,
    seconds: (performance.now() - began) / 1000,
    counts,
    opinions: noOpinions,
    violations: violations.map((item) => `seed ${item.seed}: ${item.text}`),
  };
}

/** Commands for which there is no room, in ever larger disks. */
export async function fullDisks({ program, seed, count, minutes, tell }: PartRequest): Promise<PartResult> {
  const began = performance.now();
  let last = '';
  const telling = (text: string): void => {
    last = text;
    tell(text);
  };
  const reached = async (): Promise<Pick<PartResult, 'counts' | 'opinions' | 'violations'>> => {
    try {
      const wanted = counted(count, usual.commands);
      const limit = Number.isFinite(count) ? minutes : Number.POSITIVE_INFINITY;
      const { commands, lacked, opinions } = await tryFullDisks(program, wanted, telling, limit);
      return { counts: { commands, 'lacked room': lacked }, opinions, violations: [] };
    } catch (error) {
      // What came after it would stand on what it left.
      return { counts: {}, opinions: noOpinions, violations: [`${last}: ${String(error)}`] };
    }
  };
  const result = await reached();
  return { part: 'full-disk', seed, seconds: (performance.now() - began) / 1000, ...result };
}
