import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { UnshipError } from '../../domain/errors.ts';

/**
 * Given to every call. What the repository's own configuration could make git run is taken away: hooks, the
 * file monitor, transports (a partial clone would fetch), signature programs, replaced objects.
 */
const safeOptions = [
  '--no-pager',
  '--literal-pathspecs',
  '--no-replace-objects',
  ...['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'protocol.allow=never', 'protocol.ext.allow=never'],
  ...['log.showSignature=false', 'submodule.recurse=false', 'core.askPass=', 'credential.helper='],
].flatMap((option) => (option.startsWith('--') ? [option] : ['-c', option]));

export interface GitAnswer {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const longestAnswer = 256 * 1024 * 1024;

/** Runs git to its end; an exit code other than 0 is an answer, not an error. Throws `git-failed` without git. */
export function git(root: string, args: readonly string[], signal?: AbortSignal): Promise<GitAnswer> {
  return new Promise((resolve, reject) => {
    const child = startGit(root, args, signal);
    child.stdin.end();
    const out: Buffer[] = [];
    let size = 0;
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > longestAnswer) child.kill('SIGKILL');
      else out.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4_000);
    });
    child.once('error', (error) => reject(failure(root, signal, notStarted(error))));
    child.once('close', (code) => {
      if (code === null) reject(failure(root, signal, 'git was ended by a signal'));
      else resolve({ code, stdout: Buffer.concat(out), stderr: stderr.trim() });
    });
  });
}

export function startGit(
  root: string,
  args: readonly string[],
  signal?: AbortSignal,
): ChildProcessByStdio<Writable, Readable, Readable> {
  // Loaded at first use: a rollback to a warm release starts no child process and should not pay for it.
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn('git', ['-C', root, ...safeOptions, ...args], {
    env: gitEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal === undefined ? {} : { signal, killSignal: 'SIGKILL' as const }),
  });
  // A git that ended early closes its input; its exit code tells why.
  child.stdin.on('error', () => undefined);
  return child;
}

const noGit = 'there is no program `git` in PATH';

function notStarted(error: NodeJS.ErrnoException): string {
  return error.code === 'ENOENT' ? noGit : error.message;
}

/** The operator's own when the signal was aborted, else `git-failed`. */
export function failure(root: string, signal: AbortSignal | undefined, reason: string): Error {
  if (signal?.aborted) return signal.reason as Error;
  const next = nextStep(root, reason);
  return new UnshipError('git-failed', {
    happened: `git failed in ${root}: ${reason}`,
    done: 'nothing was changed',
    ...(next === undefined ? {} : { next }),
  });
}

function nextStep(root: string, reason: string): string | undefined {
  if (reason === noGit) return 'install git, or add its folder to PATH';
  if (!reason.includes('dubious ownership')) return undefined;
  return `run unship as the owner of ${root}, or trust it: git config --global --add safe.directory ${root}`;
}

/** Nothing of the caller's `GIT_*` variables: they could point to another repository, or name programs. */
function gitEnvironment(): { [name: string]: string } {
  const { PATH, HOME, SystemRoot } = process.env;
  return {
    ...(PATH === undefined ? {} : { PATH }),
    ...(HOME === undefined ? {} : { HOME }),
    ...(SystemRoot === undefined ? {} : { SystemRoot }),
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_LAZY_FETCH: '1',
    GIT_ATTR_NOSYSTEM: '1',
  };
}
