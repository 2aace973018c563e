import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { UnshipError } from '../../domain/errors.ts';
import type { Core } from './core.ts';

const run = promisify(execFile);

/** PostgreSQL's own programs in one folder, of one version. */
export interface Programs {
  readonly folder: string;
  readonly major: number;
  /** As they tell it: `15.18`. */
  readonly version: string;
}

function folders(core: Core): readonly string[] {
  const { programs } = core.options;
  if (programs !== undefined) return [programs];
  const debian = existsSync('/usr/lib/postgresql')
    ? readdirSync('/usr/lib/postgresql').map((version) => join('/usr/lib/postgresql', version, 'bin'))
    : [];
  return [...debian, ...(process.env.PATH ?? '').split(delimiter)].filter(
    (folder) =>
      folder !== '' && existsSync(join(folder, 'pg_dump')) && existsSync(join(folder, 'pg_restore')),
  );
}

/** A program's version does not change while this process runs. */
const versions = new Map<string, Promise<Programs | undefined>>();

function versionIn(folder: string): Promise<Programs | undefined> {
  const known = versions.get(folder) ?? askVersion(folder);
  versions.set(folder, known);
  return known;
}

async function askVersion(folder: string): Promise<Programs | undefined> {
  try {
    const { stdout } = await run(join(folder, 'pg_dump'), ['--version'], { timeout: 10_000 });
    const version = /\b(\d+)(?:\.\d+)?\b/.exec(stdout);
    return version === null ? undefined : { folder, major: Number(version[1]), version: version[0] };
  } catch {
    return undefined;
  }
}

/** Every pg_dump with its pg_restore that is here, oldest first. */
export async function foundPrograms(core: Core): Promise<readonly Programs[]> {
  const found = await Promise.all([...new Set(folders(core))].map(versionIn));
  return found.filter((programs) => programs !== undefined).sort((a, b) => a.major - b.major);
}

/** Those of the server's version or the next newer: an older pg_dump refuses the server. */
export async function programsFor(core: Core, serverMajor: number): Promise<Programs> {
  const found = await foundPrograms(core);
  const fitting = found.find((programs) => programs.major >= serverMajor);
  if (fitting !== undefined) return fitting;
  throw new UnshipError('database-tools-missing', {
    happened:
      found.length === 0
        ? 'pg_dump and pg_restore are not here'
        : `the server is version ${serverMajor}, the newest pg_dump here is ${found.at(-1)?.version}`,
    done: 'nothing was changed',
    next: `install postgresql-client-${serverMajor}, or name its folder: postgres({ …, programs: '/usr/lib/postgresql/${serverMajor}/bin' })`,
  });
}

const fromAddress: readonly (readonly [parameter: string, variable: string])[] = [
  ['sslmode', 'PGSSLMODE'],
  ['sslrootcert', 'PGSSLROOTCERT'],
  ['sslcert', 'PGSSLCERT'],
  ['sslkey', 'PGSSLKEY'],
  ['host', 'PGHOST'],
  ['port', 'PGPORT'],
  ['options', 'PGOPTIONS'],
];

/** The address as libpq reads it from its environment: arguments are seen by everybody on the machine. */
export function addressVariables(address: string): { readonly [name: string]: string } {
  const url = new URL(address);
  const variables: { [name: string]: string } = {
    PGHOST: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1'),
    PGPORT: url.port === '' ? '5432' : url.port,
    PGDATABASE: decodeURIComponent(url.pathname.slice(1)),
  };
  if (url.username !== '') variables.PGUSER = decodeURIComponent(url.username);
  if (url.password !== '') variables.PGPASSWORD = decodeURIComponent(url.password);
  for (const [parameter, variable] of fromAddress) {
    const value = url.searchParams.get(parameter);
    // libpq has no such mode; node-postgres does not ask for a certificate that anybody has signed either.
    if (value !== null) variables[variable] = value === 'no-verify' ? 'require' : value;
  }
  return variables;
}

/** Runs one of them on a database; throws `database-tool-failed` with the end of what it said. */
export async function runProgram(
  { folder }: Programs,
  name: 'pg_dump' | 'pg_restore',
  args: readonly string[],
  address: string | null,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const child = spawn(join(folder, name), args, {
    env: {
      PATH: process.env.PATH ?? '',
      LC_ALL: 'C',
      PGAPPNAME: `unship: ${name}`,
      ...(address === null ? {} : addressVariables(address)),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  let said = '';
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-4000);
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal.throwIfAborted();
    if (code === 0) return output;
    throw new UnshipError('database-tool-failed', {
      happened: `${name} ended with ${code ?? 'a signal'}: ${said.trim().split('\n').slice(-3).join(' ')}`,
      done: 'nothing was changed in the live database',
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
}
