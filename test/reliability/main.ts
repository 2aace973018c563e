import { parseArgs } from 'node:util';
import { buildProgram } from '../support/program.ts';
import type { PartRequest, PartResult } from './part.ts';

/** `npm run soak -- PART [--count N | --minutes M] [--seed S]`: a part of the reliability programme, in any length. */
type Part = (request: PartRequest) => Promise<PartResult>;

const parts: { readonly [name: string]: () => Promise<Part> } = {
  kills: async () => (await import('./kills.ts')).kills,
  contention: async () => (await import('./contention.ts')).contention,
  writers: async () => (await import('./writers.ts')).writers,
};

const { values, positionals } = parseArgs({
  options: {
    count: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
  allowPositionals: true,
});

async function soak(name: string, load: () => Promise<Part>): Promise<boolean> {
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
  return violations.length === 0;
}

const [name = ''] = positionals;
const load = parts[name];
if (load === undefined) {
  console.error(`Which part? One of: ${Object.keys(parts).join(', ')}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await soak(name, load)) ? 0 : 1;
}
