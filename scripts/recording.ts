import { mkdir, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { failuresSince, Load } from './demo/load.ts';
import { Stage } from './demo/stage.ts';
import { type RecordedLine, terminalSvg } from './recording/terminal-svg.ts';

/**
 * `node scripts/recording.ts`: rolls the example application back under load and draws what the program printed,
 * line by line as it came, into `docs/images/rollback.svg`; the same as text into `rollback.txt`. Only the path
 * of the temporary folder is shortened.
 */
const images = fileURLToPath(new URL('../docs/images/', import.meta.url));
const title = 'A terminal: unship takes a release back';
const stage = await Stage.make({ bake: 4, look: 1 });
const load = new Load(stage.url);
try {
  await record();
} finally {
  await load.end();
  await stage.end();
}

async function record(): Promise<void> {
  await badRelease();
  const lines: RecordedLine[] = [];
  const begun = performance.now();
  let rest = '';
  /** What comes may end in the middle of a line. */
  const say = (text: string): void => {
    const at = performance.now() - begun;
    const parts = (rest + text.replaceAll(stage.folder, '~')).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push({ text: part, at });
  };
  say('$ unship rollback --yes -m "search fails"\n');
  const rollback = await stage.unship(['rollback', '--yes', '-m', 'search fails'], say);
  if (rollback.exitCode !== 0) throw new Error(`the rollback ended with exit code ${rollback.exitCode}`);
  say(rollback.stdout);
  await sleep(1000);
  await load.end();
  const asked = load.seen.filter((item) => item.endedAt >= rollback.startedAt).length;
  const failed = failuresSince(load.seen, 'r2', rollback.startedAt).length;
  say(`\n# Asked meanwhile, and for a second after: ${asked} requests. Failed by the rollback: ${failed}.\n`);
  await write('rollback.svg', terminalSvg(lines, title, description(asked, failed)));
  await write('rollback.txt', `${lines.map(({ text }) => text).join('\n')}\n`);
}

/** A good release, users, and a bad one that its watch has seen through. */
async function badRelease(): Promise<void> {
  const good = (await stage.git('rev-parse', 'HEAD')).trim();
  await stage.desktopArtifacts('1.0.0', 'desktop/dist/1.0.0');
  await release(0);
  load.start({ readsPerSecond: 100, writers: 3 });
  await sleep(1500);
  await stage.apply('bad');
  await stage.desktopArtifacts('1.1.0', 'desktop/dist/1.1.0');
  await stage.desktopArtifacts('1.1.1', `desktop/standby/${good}`);
  await stage.commit('Moods of their own');
  await release(1);
}

async function release(expected: number): Promise<void> {
  const { exitCode, stderr } = await stage.unship(['release', '--yes']);
  if (exitCode !== expected) throw new Error(`the release ended with exit code ${exitCode}: ${stderr}`);
}

function description(asked: number, failed: number): string {
  return `The command unship rollback shows its plan: web from r2 to r1, database from schema 0003 to 0002, desktop from 1.1.0 to 1.1.1, and no rows lost. Then it carries the plan out step by step. Of ${asked} requests asked meanwhile, ${failed} failed. The full text is in docs/images/rollback.txt.`;
}

async function write(name: string, text: string): Promise<void> {
  await mkdir(images, { recursive: true });
  await writeFile(`${images}${name}.new`, text, { mode: 0o644 });
  await rename(`${images}${name}.new`, `${images}${name}`);
  process.stderr.write(`ok    docs/images/${name}\n`);
}
