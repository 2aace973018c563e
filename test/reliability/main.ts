import { parseArgs } from 'node:util';
import { buildProgram } from '../support/program.ts';
import { lookSideBySide, makeRecording, type Violation } from './crash-images.ts';
import { tryFullDisks } from './full-disk.ts';
import { recordResult } from './record.ts';
import { strikeAll } from './syscall-faults.ts';

/**
 * `npm run crash-images`, `npm run syscall-faults`, `npm run full-disk`: the long forms. `--from SEED --count N`; a part that was
 * interrupted goes on with the seed that it told last. `--record` writes what was reached to bench/RELIABILITY.md.
 */
const { values, positionals } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    count: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const [part = ''] = positionals;
const from = Number(values.from);
const began = performance.now();

function progress(step: number): (done: number) => void {
  return (done) => {
    if (done % step === 0) console.log(`${done} done, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  };
}

interface Reached {
  readonly heading: string;
  readonly counts: { readonly [what: string]: number };
  readonly violations: readonly Violation[];
}

async function crashImages(count: number): Promise<Reached> {
  const recording = await makeRecording();
  const commits = recording.states.length;
  const wanted = { from, count, droppedSyncs: 0 };
  const { images, violations } = await lookSideBySide(recording, wanted, progress(10_000));
  return { heading: 'E crash images', counts: { images, commits }, violations };
}

async function syscallFaults(count: number): Promise<Reached> {
  const { violations, ...counts } = await strikeAll(from, count, progress(100));
  return { heading: 'D syscall faults', counts, violations };
}

async function fullDisks(count: number): Promise<Reached> {
  await using program = await buildProgram();
  let last = '';
  const tell = (text: string): void => {
    last = text;
    console.log(text);
  };
  try {
    const lackedRoom = await tryFullDisks(program, count, tell);
    return { heading: 'F full disk', counts: { commands: count, 'lacked room': lackedRoom }, violations: [] };
  } catch (error) {
    // What came after it would stand on what it left.
    return {
      heading: 'F full disk',
      counts: {},
      violations: [{ seed: 0, text: `${last}: ${String(error)}` }],
    };
  }
}

const parts: { readonly [name: string]: readonly [(count: number) => Promise<Reached>, usual: number] } = {
  'crash-images': [crashImages, 2_000_000],
  'syscall-faults': [syscallFaults, 10_000],
  'full-disk': [fullDisks, 200],
};

const chosen = parts[part];
if (chosen === undefined) throw new Error(`parts are ${Object.keys(parts).join(', ')}`);
const [run, usual] = chosen;
const count = Number(values.count ?? usual);
const { heading, counts, violations } = await run(count);
const told = violations.map(({ seed, text }) => `seed ${seed}: ${text}`);
console.log([...told, JSON.stringify(counts), `${violations.length} violations`].join('\n'));
if (values.record) {
  recordResult({
    part: heading,
    command: `npm run ${part} -- --from ${from} --count ${count}`,
    seeds: part === 'full-disk' ? 'none: sizes from 4 KB to 32 MB' : `${from} to ${from + count - 1}`,
    counts,
    durationMs: performance.now() - began,
    violations: told,
  });
}
process.exitCode = violations.length > 0 ? 1 : 0;
