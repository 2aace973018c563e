import { parseArgs } from 'node:util';
import { buildProgram } from '../support/program.ts';
import { crashImages, fullDisks, syscallFaults } from './disk-parts.ts';
import type { PartRequest, PartResult } from './part.ts';
import { recordResult } from './record.ts';

/**
 * `npm run soak -- PART [--count N | --minutes M] [--seed S] [--record]`: a part of the reliability programme, in any
 * length. `--record` writes what was reached to bench/RELIABILITY.md.
 */
type Part = (request: PartRequest) => Promise<PartResult>;

const parts: { readonly [name: string]: { readonly heading: string; load(): Promise<Part> } } = {
  kills: { heading: 'C killed and stopped processes', load: async () => (await import('./kills.ts')).kills },
  'syscall-faults': { heading: 'D system call faults', load: async () => syscallFaults },
  'crash-images': { heading: 'E crash images', load: async () => crashImages },
  'full-disk': { heading: 'F full disk', load: async () => fullDisks },
  contention: {
    heading: 'G several processes at once',
    load: async () => (await import('./contention.ts')).contention,
  },
  writers: {
    heading: 'H rollback under writers',
    load: async () => (await import('./writers.ts')).writers,
  },
};

const { values, positionals } = parseArgs({
  options: {
    count: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    record: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

function recorded(heading: string, name: string, { seed, seconds, counts, violations }: PartResult): void {
  const length = (['count', 'minutes'] as const)
    .flatMap((option) => (values[option] === undefined ? [] : [`--${option} ${values[option]}`]))
    .join(' ');
  recordResult({
    part: heading,
    command: `npm run soak -- ${name} ${length} --seed ${seed}`,
    seeds: `from ${seed} on`,
    counts,
    durationMs: seconds * 1000,
    violations,
  });
}

async function soak(name: string, { heading, load }: (typeof parts)[string]): Promise<boolean> {
  const part = await load();
  await using program = await buildProgram();
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
  const result = await part({
    program,
    seed: Number(values.seed),
    count: values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count),
    // Without either, the length that the programme names for every change.
    minutes: minutes ?? (values.count === undefined ? 1 : Number.POSITIVE_INFINITY),
    tell: (text) => process.stderr.write(`${text}\n\n`),
  });
  const { violations, ...reached } = result;
  console.log(JSON.stringify({ ...reached, part: name, violations: violations.length }));
  if (values.record) recorded(heading, name, result);
  return violations.length === 0;
}

const [name = ''] = positionals;
const chosen = parts[name];
if (chosen === undefined) {
  console.error(`Which part? One of: ${Object.keys(parts).join(', ')}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await soak(name, chosen)) ? 0 : 1;
}
