import { preload } from '../preload.ts';
import { killEverywhere, type Tally } from './everywhere.ts';
import type { Scene } from './play.ts';
import { shapes } from './shapes.ts';
import { type Kill, type Violation, Walk } from './walk.ts';

const depths: { readonly [name: string]: number } = { singles: 1, pairs: 2, triples: 3 };

/** How somebody sees again what was found. */
export function repeating({ shape, kills }: Omit<Violation, 'text'>): string {
  const points = kills.map(writeKill).join();
  return `npm run simulate -- --kills one --shape ${shape}${points === '' ? '' : ` --points ${points}`}`;
}

/** `12` is gone on with, `12b` taken back; `d` by cron, `e` from elsewhere; `12@5`: order 12 arrives at the place 5. */
function writeKill({ at, isBack, isDue, isElsewhere, arrives }: Kill): string {
  const late = arrives === undefined ? '' : `@${arrives}`;
  return `${at}${late}${isBack ? 'b' : ''}${isDue ? 'd' : ''}${isElsewhere ? 'e' : ''}`;
}

function readKills(points: string): readonly Kill[] {
  return points
    .split(',')
    .filter((text) => text !== '')
    .map((text) => {
      const [, arrives] = /@(\d+)/.exec(text) ?? [];
      return {
        at: Number.parseInt(text, 10),
        isBack: text.includes('b'),
        isDue: text.includes('d'),
        isElsewhere: text.includes('e'),
        ...(arrives === undefined ? {} : { arrives: Number(arrives) }),
      };
    });
}

/** What happens from one kill to the next. */
async function scenesOf(walk: Walk, kills: readonly Kill[]): Promise<readonly [Scene, ...Scene[]]> {
  const [first] = kills;
  if (first === undefined) return [walk.undisturbed];
  if (first.arrives !== undefined) return [await walk.late(first)];
  const scenes: [Scene, ...Scene[]] = [await walk.first(first.at)];
  for (const [index, kill] of kills.entries())
    scenes.push(await walk.next(scenes[index] ?? scenes[0], kill, kills[index + 1]?.at));
  return scenes;
}

/** Tells the story of one shape with these kills in it. True when nothing was wrong. */
async function tellOne(name: string, points: string): Promise<boolean> {
  await preload();
  const shape = shapes.find((one) => one.name === name);
  if (shape === undefined) throw new Error(`--shape: ${shapes.map((one) => one.name).join(', ')}`);
  const walk = await Walk.of(shape);
  const kills = readKills(points);
  const scenes = await scenesOf(walk, kills);
  for (const { trace } of scenes) console.log(trace.join('\n'));
  const before = scenes.slice(0, -1).flatMap(({ violations }) => violations);
  const violations = [...before, ...walk.judge(scenes.at(-1) ?? scenes[0], kills)];
  for (const violation of violations) console.log(`VIOLATION  ${violation}`);
  return violations.length === 0;
}

/** How many places, kills and pairs of them there were. */
export function counted({ places, ends, late }: Tally): readonly string[] {
  const all = [...places.values()].reduce((sum, count) => sum + count, 0);
  const each = [...places].map(([name, count]) => `${name} ${count}`).join(', ');
  const [singles = 0, ...more] = ends;
  const deeper = more.map((count, index) => `${count} ${index === 0 ? 'pairs' : 'triples'}`);
  return [
    `${places.size} shapes with ${all} places: ${each}`,
    [
      `${singles} ends after a single kill, each place gone on with and taken back, from here and from elsewhere`,
      ...deeper,
    ].join(', '),
    `${late} in which an order arrived whose sender was dead`,
  ];
}

/** Violations that differ only in their numbers are told once, with the command that repeats the first. */
export function grouped(violations: readonly Violation[]): readonly string[] {
  const kinds = new Map<string, Violation[]>();
  for (const violation of violations) {
    const kind = `${violation.shape}: ${violation.text.replace(/\d+/g, 'N').slice(0, 200)}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), violation]);
  }
  return [...kinds.values()]
    .toSorted((a, b) => b.length - a.length)
    .flatMap((found) => {
      const [first] = found;
      return first === undefined ? [] : [`${found.length} times  ${first.text}  ${repeating(first)}`];
    });
}

/** `npm run simulate -- --kills singles|pairs|triples|one [--shape NAME] [--points 12,5b]`. */
export async function simulateKills(
  kind: string,
  asked: { readonly shape?: string; readonly points?: string; readonly workers: number },
): Promise<boolean> {
  if (kind === 'one') return await tellOne(asked.shape ?? '', asked.points ?? '');
  const depth = depths[kind];
  if (depth === undefined) throw new Error('--kills: singles, pairs, triples or one');
  const began = performance.now();
  const names = asked.shape === undefined ? {} : { names: asked.shape.split(',') };
  const onProgress = (tried: number, all: number): void => {
    if (depth > 2 && tried % 20 === 0) console.log(`${tried} of ${all} first places`);
  };
  const tally = await killEverywhere(
    { depth, oneIn: 1, lateOneIn: 1 },
    { workers: asked.workers, onProgress, ...names },
  );
  const seconds = (performance.now() - began) / 1000;
  for (const line of [...grouped(tally.violations), ...counted(tally)]) console.log(line);
  const courses = tally.ends.reduce((sum, count) => sum + count, 0);
  console.log(
    `${courses} in ${seconds.toFixed(1)} s, ${Math.round(courses / seconds)} a second, ${tally.violations.length} violations`,
  );
  return tally.violations.length === 0;
}
