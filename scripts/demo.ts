import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { clientsSee } from '../test/support/electron-updater-client.ts';
import { startStaticServer } from '../test/support/static-server.ts';
import { failuresSince, firstGoodAfter, Load } from './demo/load.ts';
import { Stage } from './demo/stage.ts';

/**
 * The main job, for real: a good release, users, a bad release that rewrites their data and fails under use, the
 * watch that sees it, and one command that takes web, desktop and database back. Every figure is measured here.
 */
const json = process.argv.includes('--json');
const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
const show = (text: string): void => {
  for (const line of text.trimEnd().split('\n')) say(`  ${line}`);
};

const begun = performance.now();
const seconds = (ms: number): number => Math.round(ms) / 1000;
const stage = await Stage.make({ bake: 4, look: 1 });
const load = new Load(stage.url);
let failure: unknown;
try {
  const document = await story();
  if (json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  else report(document);
  process.exitCode = document.ok ? 0 : 1;
} catch (error) {
  failure = error;
  process.exitCode = 1;
} finally {
  await load.end();
  await stage.end();
}
if (failure !== undefined) {
  const message = failure instanceof Error ? (failure.stack ?? failure.message) : String(failure);
  say(`The demo failed: ${message}`);
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, error: message })}\n`);
}

async function expectExit(args: readonly string[], expected: number): ReturnType<Stage['unship']> {
  const typed = args
    .filter((item) => item !== '--yes')
    .map((item) => (item.includes(' ') ? `"${item}"` : item));
  say(`\n$ unship ${typed.join(' ')}`);
  const result = await stage.unship(args);
  show(result.stderr + result.stdout);
  if (result.exitCode === expected) return result;
  throw new Error(`unship ${args.join(' ')} ended with exit code ${result.exitCode}, not ${expected}`);
}

async function story() {
  say(`An application in ${stage.folder}: web, desktop and a SQLite database.`);
  const good = await stage.git('rev-parse', 'HEAD');
  await stage.desktopArtifacts('1.0.0', 'desktop/dist/1.0.0');
  await expectExit(['release', '--yes'], 0);

  say('\nUsers arrive: 100 requests a second and 3 writers.');
  load.start({ readsPerSecond: 100, writers: 3 });
  await sleep(1500);

  say('\nA bad version: its migration rewrites what people wrote, its search breaks under use.');
  await stage.apply('bad');
  await stage.desktopArtifacts('1.1.0', 'desktop/dist/1.1.0');
  await stage.desktopArtifacts('1.1.1', `desktop/standby/${good.trim()}`);
  await stage.commit('Moods of their own');
  const released = await expectExit(['release', '--yes'], 1);
  const badSince = load.seen.find((item) => item.release === 'r2')?.endedAt ?? released.startedAt;
  const before = schemaOf();
  await expectExit(['plan'], 0);
  const rollback = await expectExit(['rollback', '--yes', '-m', 'search fails'], 0);
  await sleep(1000);
  await load.end();
  const total = performance.now() - begun;

  const requests = load.seen.length;
  const failed = failuresSince(load.seen, 'r2', rollback.startedAt);
  const firstGood = firstGoodAfter(load.seen, 'r1', rollback.startedAt);
  const lost = lostWrites();
  const clients = await desktopClients();
  const incident = await keepIncident();
  const ok =
    failed.length === 0 &&
    firstGood !== null &&
    lost.length === 0 &&
    clients['1.0.0'] === '1.1.1' &&
    clients['1.1.0'] === '1.1.1';
  return {
    ok,
    seconds: {
      detect: seconds(released.endedAt - badSince),
      firstGoodResponse: firstGood === null ? null : seconds(firstGood),
      total: seconds(total),
      rollback: seconds(rollback.endedAt - rollback.startedAt),
    },
    requests: { total: requests, failedDuringRollback: failed.length },
    commits: { acknowledged: load.acknowledged.length, lost: lost.length },
    desktop: { clientSees: clients },
    schema: { before, after: schemaOf() },
    incident,
  };
}

function schemaOf(): string {
  const database = new DatabaseSync(stage.database, { readOnly: true });
  const row = database.prepare('select max(version) as version from schema_migrations').get();
  database.close();
  return String(row?.version);
}

/** Acknowledged entries that are not there, or not as they were written. */
function lostWrites(): readonly number[] {
  const database = new DatabaseSync(stage.database, { readOnly: true });
  const rows = database.prepare('select id, body from entries').all() as { id: number; body: string }[];
  database.close();
  const kept = new Map(rows.map((row) => [row.id, row.body]));
  return load.acknowledged.filter((item) => kept.get(item.id) !== item.body).map((item) => item.id);
}

/** What real electron-updater clients are offered now, by the version they have. */
async function desktopClients(): Promise<{ readonly [version: string]: string | null }> {
  const server = await startStaticServer(stage.feed);
  try {
    const versions = ['1.0.0', '1.1.0'];
    const sights = await clientsSee(
      versions.map((currentVersion) => ({
        feedUrl: server.url,
        currentVersion,
        platform: 'linux',
        download: true,
      })),
    );
    const bad = sights.find((sight) => sight.error !== undefined);
    if (bad !== undefined) throw new Error(`a desktop client failed: ${bad.error}`);
    return Object.fromEntries(versions.map((version, index) => [version, sights[index]?.version ?? null]));
  } finally {
    await server.close();
  }
}

/** The draft, kept outside the temporary folder for the reader. */
async function keepIncident(): Promise<string> {
  const shown = await stage.unship(['incident', 'list', '--json']);
  const { incidents } = JSON.parse(shown.stdout) as {
    incidents: { id: number; run: number; draft: string }[];
  };
  const newest = incidents[0];
  if (newest === undefined) throw new Error('no incident was drafted');
  const folder = fileURLToPath(new URL('../.unship/demo', import.meta.url));
  await mkdir(folder, { recursive: true });
  const file = join(folder, `incident-${newest.id}.md`);
  await writeFile(file, newest.draft);
  return file;
}

function report(document: Awaited<ReturnType<typeof story>>): void {
  const { seconds: time, requests, commits, desktop, schema } = document;
  say(`
What happened, as measured:
  the watch told after        ${time.detect} s of the bad release
  rollback to first good      ${time.firstGoodResponse} s
  rollback, all of it         ${time.rollback} s
  failed by the rollback      ${requests.failedDuringRollback} of ${requests.total} requests
  writes kept                 ${commits.acknowledged - commits.lost} of ${commits.acknowledged} acknowledged, ${commits.lost} lost
  schema                      ${schema.before} -> ${schema.after}
  desktop clients see         1.0.0 -> ${desktop.clientSees['1.0.0']}, 1.1.0 -> ${desktop.clientSees['1.1.0']}
  incident draft              ${document.incident}
  demo                        ${time.total} s, ${document.ok ? 'ok' : 'NOT OK'}`);
}
