import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);
const dbmateBin: string = join(
  dirname(createRequire(import.meta.url).resolve('dbmate/package.json')),
  '../.bin/dbmate',
);

export const example: string = join(import.meta.dirname, '../../examples/inner-scribe-vault');

export type Version = 'good' | 'bad' | 'expand';

/** The example's tree at a version, in a folder of its own, as the demo makes it. */
export async function checkout(version: Version): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'unship-vault-'));
  await cp(example, folder, { recursive: true });
  if (version !== 'good') await cp(join(example, 'versions', version), folder, { recursive: true });
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** Runs the real dbmate with the migrations in `folder`. */
export async function dbmate(folder: string, database: string, ...command: string[]): Promise<string> {
  const { stdout } = await run(
    dbmateBin,
    [
      '--url',
      `sqlite:${database}`,
      '--migrations-dir',
      join(folder, 'migrations'),
      '--no-dump-schema',
      ...command,
    ],
    { cwd: folder },
  );
  return stdout;
}

export interface RunningVault extends AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>;
}

/** Starts the server of `folder` on a free port; the address is what it says on its first line. */
export async function start(
  folder: string,
  database: string,
  environment: { readonly [name: string]: string } = {},
): Promise<RunningVault> {
  const child = spawn(process.execPath, ['server.mjs'], {
    cwd: folder,
    env: { PATH: process.env.PATH, PORT: '0', VAULT_DB: database, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    const [code] = await exited;
    return code as number | null;
  };
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line'), exited.then(() => undefined)]);
  const url = /http:\S+(?=\/$)/.exec(String(first?.[0] ?? ''))?.[0];
  if (url === undefined) throw new Error(`The server did not start: ${errors}`);
  return { url, child, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

export interface Entry {
  readonly id: number;
  readonly body: string;
  readonly mood: string | null;
  readonly createdAt: string;
}

export async function write(url: string, entry: object): Promise<Response> {
  return fetch(`${url}/api/entries`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(entry),
  });
}

/** The entries the server lists; throws unless it answers 200. */
export async function list(url: string, query = ''): Promise<readonly Entry[]> {
  const response = await fetch(`${url}/api/entries${query}`);
  if (response.status !== 200) throw new Error(`GET /api/entries${query}: ${response.status}`);
  return ((await response.json()) as { entries: Entry[] }).entries;
}

/** Writes the example's sample entries through the server. */
export async function writeSamples(url: string): Promise<readonly Entry[]> {
  const samples = JSON.parse(await readFile(join(example, 'sample/entries.json'), 'utf8')) as object[];
  const written: Entry[] = [];
  for (const sample of samples) written.push((await (await write(url, sample)).json()) as Entry);
  return written;
}

/** Searches until the broken versions have no slot left: their mistake shows only under use. */
export async function useUpSearch(url: string): Promise<void> {
  for (let search = 0; search < 30; search += 1) {
    const response = await fetch(`${url}/api/entries?q=the`);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`search ${search + 1} answered ${response.status}`);
  }
}
