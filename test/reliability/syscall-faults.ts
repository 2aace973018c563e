import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Random } from '../simulation/random.ts';
import { quickFolder, type Violation } from './crash-images.ts';
import { wrongWith } from './found-state.ts';
import { pathsOf, underStrace, type Written } from './trace.ts';
import { type Extent, statesOf } from './work.ts';

const extent: Extent = { rounds: 3, perOpening: 1, openings: 1 };

/** What a call to the disk may answer instead of doing what it was asked, and how often a writer makes the call. */
const calls = [
  { call: 'pwrite64', errors: ['ENOSPC', 'EIO'], most: 330 },
  { call: 'fdatasync', errors: ['EIO', 'ENOSPC'], most: 80 },
  { call: 'fsync', errors: ['EIO'], most: 8 },
  { call: 'pread64', errors: ['EIO'], most: 60 },
  { call: 'ftruncate', errors: ['EIO', 'ENOSPC'], most: 2 },
  { call: 'openat', errors: ['EIO', 'ENOSPC', 'EMFILE'], most: 8 },
  { call: 'unlink', errors: ['EIO'], most: 3 },
] as const;

interface Fault {
  readonly call: string;
  /** As strace is told: from which call on, and whether the disk stays so. */
  readonly inject: string;
}

/** The fault of a seed. */
function faultOf(seed: number): Fault {
  const random = new Random(seed);
  // Writes and syncs are what commits are made of; of the others there are few.
  const { call, errors, most } = random.chance(0.6)
    ? (calls[random.between(0, 1)] ?? calls[0])
    : random.pick<(typeof calls)[number]>(calls);
  const stays = random.chance(0.5) ? '+' : '';
  const error = errors[random.between(0, errors.length - 1)];
  return { call, inject: `inject=${call}:error=${error}:when=${random.between(1, most)}${stays}` };
}

export interface Faulted {
  readonly faults: number;
  /** The fault has struck, and the process has said so. */
  readonly reported: number;
  /** It has struck, and everything was done nevertheless. */
  readonly silent: number;
  /** The process made fewer calls than that. */
  readonly missed: number;
  readonly violations: readonly Violation[];
}

type Outcome = { readonly struck: boolean; readonly reported: boolean; readonly wrong: string | undefined };

async function strike(seed: number, states: readonly string[], folder: string): Promise<Outcome> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'state'), { recursive: true });
  const [file, acknowledged, out] = ['state/state.db', 'acknowledged', 'injected'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  writeFileSync(acknowledged, '');
  const { call, inject } = faultOf(seed);
  const where = pathsOf(file).flatMap((path) => ['-P', path]);
  const options = [
    '-f',
    '--seccomp-bpf',
    '-s',
    '0',
    '-o',
    out,
    '-e',
    `trace=${call}`,
    '-e',
    inject,
    ...where,
  ];
  const written = await underStrace(options, file, acknowledged, extent);
  const count = readFileSync(acknowledged, 'utf8').split('\n').length - 1;
  const struck = readFileSync(out, 'utf8').includes('(INJECTED)');
  const untrue = untruth(written, count, states.length);
  const wrong = untrue ?? (await wrongWith(file, { states, acknowledged: count, resume: true }));
  return {
    struck,
    reported: written.code !== 0,
    wrong: wrong === undefined ? undefined : `${inject}: ${wrong}`,
  };
}

/** Either it says that it failed, in words, or it has done everything. */
function untruth(
  { code, signal, stdout, stderr }: Written,
  acknowledged: number,
  all: number,
): string | undefined {
  if (signal !== null) return `it was ended by ${signal}`;
  if (code === 0)
    return stdout === 'whole\n' && acknowledged === all ? undefined : 'it says it succeeded, and has not';
  if (!/^FAIL {2}(?!internal)[a-z-]+: \S/m.test(stderr))
    return `it failed without a reason that helps: ${stderr}`;
  return undefined;
}

/** The faults of a range of seeds, in several processes at once. */
export async function strikeAll(
  from: number,
  count: number,
  onProgress: (faults: number) => void = () => {},
): Promise<Faulted> {
  const folder = quickFolder('faults');
  const violations: Violation[] = [];
  const outcomes: Outcome[] = [];
  let next = from;
  try {
    const states = await statesOf(join(folder, 'expected.db'), extent);
    const work = async (_: unknown, worker: number): Promise<void> => {
      while (next < from + count) {
        const seed = next;
        next += 1;
        const outcome = await strike(seed, states, join(folder, String(worker)));
        if (outcome.wrong !== undefined) violations.push({ seed, text: outcome.wrong });
        outcomes.push(outcome);
        onProgress(outcomes.length);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, work));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const struck = outcomes.filter((outcome) => outcome.struck);
  const reported = struck.filter((outcome) => outcome.reported).length;
  const missed = outcomes.length - struck.length;
  return { faults: outcomes.length, reported, silent: struck.length - reported, missed, violations };
}
