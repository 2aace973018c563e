import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const page: string = fileURLToPath(new URL('../../bench/RELIABILITY.md', import.meta.url));

const beginning = `# Reliability: what the long forms reached

One section for each part of the test programme, written by its long form when it ended. CI runs the short forms.
`;

/** What one long form reached. */
export interface Result {
  /** The part's letter and name, which is its heading: `E crash images`. */
  readonly part: string;
  /** As somebody would type it again. */
  readonly command: string;
  /** First and last seed, or how the cases were chosen. */
  readonly seeds: string;
  /** How many of what: `{ images: 2_000_000 }`. */
  readonly counts: { readonly [what: string]: number };
  readonly durationMs: number;
  /** None is what everybody hopes for; each is told. */
  readonly violations: readonly string[];
}

/**
 * Rewrites the part's section in `bench/RELIABILITY.md`, and leaves the others as they are. With `adding`, what the
 * section said so far of another range of seeds is counted in, for a form too long for one sitting.
 */
export function recordResult(
  result: Result,
  { file = page, adding = false }: { readonly file?: string; readonly adding?: boolean } = {},
): void {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : beginning;
  const [head = beginning, ...sections] = text.split(/^(?=## )/m);
  const isOurs = (section: string): boolean => section.startsWith(`## ${result.part}\n`);
  const others = sections.filter((section) => !isOurs(section));
  const earlier = adding ? sections.find(isOurs) : undefined;
  const whole = earlier === undefined ? result : together(result, earlier);
  const all = [...others.map((section) => section.trimEnd()), sectionOf(whole)].sort();
  writeFileSync(`${file}.new`, `${[head.trimEnd(), ...all].join('\n\n')}\n`);
  renameSync(`${file}.new`, file);
}

function together(result: Result, earlier: string): Result {
  const said = (name: string): string => new RegExp(`^- ${name}: (.*)$`, 'm').exec(earlier)?.[1] ?? '';
  const before = (name: string): number => Number.parseInt(said(name).replaceAll(',', ''), 10) || 0;
  return {
    ...result,
    seeds: [said('seeds'), result.seeds].join('; '),
    counts: Object.fromEntries(
      Object.entries(result.counts).map(([what, count]) => [what, count + before(what)]),
    ),
    durationMs: result.durationMs + before('duration') * 1000,
  };
}

function sectionOf({ part, command, seeds, counts, durationMs, violations }: Result): string {
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}, Node ${process.version}`;
  const lines = [
    ['date', new Date().toISOString().slice(0, 10)],
    ['machine', machine],
    ['command', `\`${command}\``],
    ['seeds', seeds],
    ...Object.entries(counts).map(([what, count]) => [what, count.toLocaleString('en')]),
    ['duration', `${(durationMs / 1000).toFixed(0)} s`],
    ['violations', String(violations.length)],
  ];
  const told = violations.slice(0, 20).map((violation) => `- ${violation.replace(/\s+/g, ' ')}`);
  const list = lines.map(([name, value]) => `- ${name}: ${value}`);
  return [`## ${part}`, '', ...list, ...(told.length > 0 ? ['', 'Violated:', '', ...told] : [])].join('\n');
}
