import type { Ended } from '../support/world.ts';

/** What a command says in its last words, on the screen or in `--json`, of what an outsider can see too. */
export interface LastWords {
  /** How the run that it speaks of stands; null when it speaks of none. */
  readonly status: string | null;
  /** That nothing was done, or it is a command that never does anything. */
  readonly saysNothingWasDone: boolean;
  /** The release that it saw answer, and at which port. */
  readonly web: { readonly release: string; readonly port: number } | null;
  /** Applied migrations, and the newest of them. */
  readonly migrations: { readonly count: number; readonly newest: string } | null;
  /** The version that desktop clients are offered; `nothing` when none is. */
  readonly offered: string | null;
  /** For `status`: what each surface is on, by its name in the world: a release, a migration, a version. */
  readonly standing: ReadonlyMap<string, string>;
}

const looking: ReadonlySet<string | undefined> = new Set([
  ...[undefined, 'status', 'plan', 'doctor', 'releases', 'runs', 'show', 'backups', 'guard', 'rehearse'],
  ...['config', 'explain', 'complete', 'help', 'incident', 'migrations status', 'quarantine list'],
]);

function onlyLooks(args: readonly string[]): boolean {
  const words = args.filter((word) => !word.startsWith('-'));
  const isDry = args.some((word) => word === '--dry-run' || word === '-n');
  return isDry || looking.has(words[0]) || looking.has(words.slice(0, 2).join(' '));
}

/** First lines of a run's screen, and what they mean. */
const headlines: readonly (readonly [line: RegExp, status: string])[] = [
  [/^(Released|Rolled back|Undone:|Done\b.* in |Begun\b)/, 'done'],
  [/^Rehearsed/, 'rehearsed'],
  [/^FAIL {2}.* failed and was undone in /, 'undone'],
  [/^Cancelled run \d+: /, 'undone'],
  [/^FAIL {2}.* failed after /, 'failed'],
  [/^FAIL {2}.* is blocked after /, 'blocked'],
  [/^FAIL {2}.* was superseded by another run/, 'superseded'],
  [/^wait {2}Run \d+ waits; /, 'waiting'],
  [/^wait {2}Run \d+ is paused /, 'paused'],
];

/** The last of the runs that it tells of. */
function runOnScreen(stdout: string): { readonly status: string | null; readonly observed: string } {
  const lines = stdout.split('\n');
  const statusOf = (line: string): string | undefined => headlines.find(([rule]) => rule.test(line))?.[1];
  const at = lines.findLastIndex((line) => statusOf(line) !== undefined);
  if (at < 0) return { status: null, observed: '' };
  const block = lines.slice(at).join('\n');
  const observed = /^Observed {2}(.*(?:\n {10}.*)*)/m.exec(block)?.[1] ?? '';
  return { status: statusOf(lines[at] ?? '') ?? null, observed: observed.replace(/\s+/g, ' ') };
}

interface Document {
  readonly schema: string;
  readonly surfaces?: readonly { readonly surface: string; readonly now: string }[];
  readonly kind?: string;
  readonly status?: string;
  readonly observed?: readonly string[];
  readonly done?: string;
  readonly runs?: readonly Document[];
}

function runInDocument(document: Document): { readonly status: string | null; readonly observed: string } {
  const run = document.schema === 'unship.resumed/1' ? document.runs?.at(-1) : document;
  if (run?.schema !== 'unship.run/1') return { status: null, observed: '' };
  const status = run.kind === 'rehearsal' ? 'rehearsed' : (run.status ?? null);
  return { status, observed: (run.observed ?? []).join(', ') };
}

/** Undefined when it was to answer with a document, and did not. */
export function lastWords(args: readonly string[], ended: Ended): LastWords | undefined {
  let run = runOnScreen(ended.stdout);
  let standing = standingOnScreen(ended.stdout);
  let saysNothing = /^Done {6}nothing$/m.test(ended.stderr);
  if (args.includes('--json')) {
    try {
      const document = JSON.parse(ended.stdout) as Document;
      run = runInDocument(document);
      const { surfaces = [] } = document.schema === 'unship.status/1' ? document : {};
      standing = new Map(surfaces.map(({ surface, now }) => [surface, now]));
      saysNothing = document.schema === 'unship.error/1' && document.done === 'nothing';
    } catch {
      return undefined;
    }
  }
  const { status, observed } = run;
  return {
    status,
    saysNothingWasDone: saysNothing || status === 'rehearsed' || onlyLooks(args),
    standing: args[0] === undefined || args[0] === 'status' ? standing : new Map(),
    ...seenIn(observed),
  };
}

function standingOnScreen(stdout: string): ReadonlyMap<string, string> {
  const rows = stdout.matchAll(/^(web|database|desktop) +(\S+) {2}/gm);
  return new Map([...rows].map(([, surface = '', now = '']) => [surface, now]));
}

/** Whatever is told last is how it stands. */
function seenIn(observed: string): Pick<LastWords, 'web' | 'migrations' | 'offered'> {
  const web = [...observed.matchAll(/GET http:\/\/[\d.]+:(\d+)\/\S*: 200 from (r\d+)/g)].at(-1);
  const schema = [...observed.matchAll(/(\d+) migrations? applied, newest (\w+)/g)].at(-1);
  const offer = [...observed.matchAll(/offered: (?:[^;]*?linux ([^\s,;]+)|nothing)[^;]*;/g)].at(-1);
  return {
    web: web === undefined ? null : { release: web[2] ?? '', port: Number(web[1]) },
    migrations: schema === undefined ? null : { count: Number(schema[1]), newest: schema[2] ?? '' },
    offered: offer === undefined ? null : (offer[1] ?? 'nothing'),
  };
}
