import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { recordResult } from '../reliability/record.ts';
import { faultKinds } from './faults.ts';
import { simulateKills } from './kill-points/tell.ts';
import { preload } from './preload.ts';
import type { Tally } from './schedules.ts';
import { runSideBySide } from './side-by-side.ts';
import { Story } from './story.ts';

/**
 * `npm run simulate -- [--from SEED] [--schedules N] [--workers N]` runs schedules and tells what was wrong in which;
 * `npm run simulate -- --seed SEED` tells the story of one. `npm run simulate -- --kills singles|pairs|triples` kills
 * a dozen kinds of plans everywhere instead. `--record` writes what was reached to `bench/RELIABILITY.md`.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    from: { type: 'string', default: '1' },
    schedules: { type: 'string', default: '1000' },
    kills: { type: 'string' },
    shape: { type: 'string' },
    points: { type: 'string' },
    record: { type: 'boolean', default: false },
    workers: { type: 'string', default: String(availableParallelism()) },
  },
});

async function tellOne(seed: number): Promise<boolean> {
  await preload();
  const { trace, fired, violations } = await new Story(seed).run();
  console.log(trace.join('\n'));
  console.log(`went wrong: ${fired.join(', ') || 'nothing'}`);
  for (const violation of violations) console.log(`VIOLATION  ${violation}`);
  return violations.length === 0;
}

/** Violations that differ only in their numbers are told once, with the first seeds. */
function tellViolations({ violations }: Tally): void {
  const kinds = new Map<string, number[]>();
  for (const { text, seed } of violations) {
    const kind = text.replace(/\d+/g, 'N').slice(0, 160);
    kinds.set(kind, [...(kinds.get(kind) ?? []), seed]);
  }
  for (const [text, seeds] of [...kinds].sort((a, b) => b[1].length - a[1].length)) {
    console.log(`${seeds.length} times  ${text}  seeds ${seeds.slice(0, 6).join(' ')}`);
  }
}

function recordSchedules(from: number, { schedules, fired, violations }: Tally, durationMs: number): void {
  const faults = Object.values(fired).reduce((sum, count) => sum + count, 0);
  recordResult(
    {
      part: 'A simulation',
      command: `npm run simulate -- --from ${from} --schedules ${schedules} --record`,
      seeds: `${from} to ${from + schedules - 1}`,
      counts: { schedules, faults },
      durationMs,
      violations: violations.map(({ seed, text }) => `seed ${seed}: ${text}`),
    },
    { adding: true },
  );
}

async function runMany(from: number, schedules: number, workers: number): Promise<boolean> {
  const began = performance.now();
  const tally = await runSideBySide(from, schedules, { workers });
  const seconds = (performance.now() - began) / 1000;
  tellViolations(tally);
  console.log(faultKinds.map((kind) => `${kind} ${tally.fired[kind]}`).join(', '));
  console.log(
    `${tally.schedules} schedules in ${seconds.toFixed(1)} s, ${Math.round(tally.schedules / seconds)} a second, ${tally.violations.length} violations`,
  );
  if (values.record) recordSchedules(from, tally, seconds * 1000);
  return tally.violations.length === 0;
}

async function runAsked(): Promise<boolean> {
  const { kills, seed, from, schedules, shape, points } = values;
  const workers = Number(values.workers);
  if (kills !== undefined) {
    const asked = { ...(shape === undefined ? {} : { shape }), ...(points === undefined ? {} : { points }) };
    return await simulateKills(kills, { workers, ...asked });
  }
  if (seed !== undefined) return await tellOne(Number(seed));
  return await runMany(Number(from), Number(schedules), workers);
}

process.exitCode = (await runAsked()) ? 0 : 1;
