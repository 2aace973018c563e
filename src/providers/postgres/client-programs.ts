import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { UnshipError } from '../../domain/errors.ts';

/** Where `pg_dump` and its sisters are; without a folder, wherever the PATH has them. */
export interface ClientPrograms {
  readonly folder?: string;
  readonly signal: AbortSignal;
}

/** The URL's parts as the programs take them from the environment: arguments are seen by everybody. */
function environmentOf(url: string, database: string): NodeJS.ProcessEnv {
  const { hostname, port, username, password, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? decodeURIComponent(hostname.replace(/^\[|\]$/g, ''));
  const sslMode = searchParams.get('sslmode');
  return {
    ...process.env,
    PGHOST: host,
    PGPORT: port === '' ? '5432' : port,
    PGUSER: decodeURIComponent(username),
    PGDATABASE: database,
    ...(password === '' ? {} : { PGPASSWORD: decodeURIComponent(password) }),
    ...(sslMode === null ? {} : { PGSSLMODE: sslMode }),
  };
}

/** Returns what it printed. Throws `command-failed` with what it said, without passwords: none were given to it where it could print them. */
export async function runProgram(
  programs: ClientPrograms,
  name: 'pg_dump' | 'pg_restore',
  args: readonly string[],
  at: { readonly url: string; readonly database: string },
): Promise<string> {
  const file = programs.folder === undefined ? name : join(programs.folder, name);
  const child = spawn(file, [...args], {
    env: environmentOf(at.url, at.database),
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: programs.signal,
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-4_000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return output;
  throw new UnshipError('command-failed', {
    happened: `${name} ended with ${code}: ${said.trim()}`,
    done: 'what it had begun is removed by the next attempt',
  });
}
