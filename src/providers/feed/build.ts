import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { type Command, commandLine } from '../../domain/command.ts';
import { UnshipError } from '../../domain/errors.ts';
import { shortCommit } from '../../domain/names.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';

const buildWithinMs = 15 * 60_000;
const largestLogBytes = 10 << 20;

/**
 * Only what a build needs to find its tools. Signing keys are handed over by the build's own configuration:
 * a variable that is not named here does not reach code of the commit.
 */
function buildEnvironment(version: string, commit: string): NodeJS.ProcessEnv {
  const passed = ['PATH', 'HOME', 'LANG'].map((name) => [name, process.env[name]]);
  return {
    ...Object.fromEntries(passed.filter(([, value]) => value !== undefined)),
    UNSHIP_VERSION: version,
    UNSHIP_COMMIT: commit,
  };
}

/** Runs a program in a process group of its own, which ends with it, with `signal`, or after 15 minutes. */
async function runLogged(
  command: readonly [string, ...string[]],
  options: {
    readonly cwd: string;
    readonly env: NodeJS.ProcessEnv;
    readonly log: string;
    readonly signal: AbortSignal;
  },
): Promise<string | null> {
  const log = createWriteStream(options.log, { mode: 0o600 });
  const limit = AbortSignal.any([options.signal, AbortSignal.timeout(buildWithinMs)]);
  const [program, ...rest] = command;
  const child = spawn(program, rest, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // The group has ended.
    }
  };
  let written = 0;
  const take = (chunk: Buffer): void => {
    written += chunk.length;
    if (written <= largestLogBytes) log.write(chunk);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  limit.addEventListener('abort', end, { once: true });
  if (limit.aborted) end();
  const problem = await new Promise<string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? null : `it ended with ${signal ?? code}`));
    // A child that daemonized itself may hold the pipes open for ever.
    child.once('exit', () => setTimeout(end, 1000).unref());
  });
  limit.removeEventListener('abort', end);
  end();
  log.end();
  await finished(log);
  options.signal.throwIfAborted();
  return limit.aborted ? 'it took longer than 15 minutes' : problem;
}

/**
 * Builds a commit in a clean checkout and hands the checkout over to `use`; it is removed afterwards. Throws
 * `commit-gone`, `build-failed`.
 */
export async function buildCommit<T>(
  context: WorkContext,
  environment: ProviderEnvironment,
  what: {
    readonly command: Command;
    readonly root: string;
    readonly version: string;
    readonly commit: string;
  },
  use: (checkout: string) => Promise<T>,
): Promise<T> {
  const builds = join(environment.folder, 'build');
  const logs = join(environment.folder, 'logs');
  await mkdir(builds, { recursive: true, mode: 0o700 });
  await mkdir(logs, { recursive: true, mode: 0o700 });
  for (const name of await readdir(builds)) {
    if (Number(name.split('-')[0]) <= context.fence)
      await rm(join(builds, name), { recursive: true, force: true });
  }
  const checkout = join(builds, `${context.fence}-${context.runtime.ids.random()}`);
  try {
    context.progress(`checking out ${shortCommit(what.commit)}`);
    await environment.source.checkout(what.commit, checkout, context.signal);
    context.progress(`building ${what.version}`);
    const log = join(logs, `build-${what.version}-${shortCommit(what.commit)}.log`);
    const problem = await runLogged(commandLine(what.command), {
      cwd: join(checkout, what.root),
      env: buildEnvironment(what.version, what.commit),
      log,
      signal: context.signal,
    });
    if (problem !== null) {
      const tail = (await readFile(log, 'utf8')).trimEnd().split('\n').slice(-5).join('\n');
      throw new UnshipError('build-failed', {
        happened: `the desktop build of ${what.version} failed: ${problem}${tail === '' ? '' : `\n${tail}`}`,
        done: 'nothing was published',
        next: `read ${log}, mend the build, release again`,
      });
    }
    return await use(checkout);
  } finally {
    await rm(checkout, { recursive: true, force: true });
  }
}
