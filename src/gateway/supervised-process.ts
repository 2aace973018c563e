import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { copyFile, open, stat, truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { identityOf } from './process-identity.ts';
import type { ReleaseSpec } from './protocol.ts';

/** Names the process to a gateway that was killed before it had written down the pid. */
export const tokenVariable = 'UNSHIP_PROCESS';

const logLimit = 10 * 1024 * 1024;
const adoptedPollMs = 200;

/** One process group, started here or found still living after this gateway's own restart. */
export class SupervisedProcess {
  readonly pid: number | null;
  readonly identity: string | null;
  /** Resolves with what a person is told: `exit code 1`, `killed by SIGKILL`, `spawn ENOENT`. */
  readonly ended: Promise<string>;
  #over = false;

  private constructor(pid: number | null, identity: string | null, ended: Promise<string>) {
    this.pid = pid;
    this.identity = identity;
    this.ended = ended.then((how) => {
      this.#over = true;
      return how;
    });
  }

  static spawn(spec: ReleaseSpec, port: number, token: string, log: string): SupervisedProcess {
    mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
    // The file itself, no pipe: a process that outlives this gateway must not die of a broken pipe.
    const output = openSync(log, 'a', 0o600);
    // What the application writes (uploads) is its own business, not private to unship.
    const before = process.umask(0o022);
    try {
      const [program, ...args] = spec.command;
      const child = spawn(program, args, {
        cwd: spec.folder,
        env: { ...spec.environment, PORT: String(port), [tokenVariable]: token },
        stdio: ['ignore', output, output],
        detached: true,
      });
      child.unref();
      const pid = child.pid ?? null;
      return new SupervisedProcess(pid, pid === null ? null : identityOf(pid), endOf(child));
    } finally {
      process.umask(before);
      closeSync(output);
    }
  }

  /** Null when the process is no longer the one that was recorded. */
  static adopt(pid: number, identity: string): SupervisedProcess | null {
    if (identityOf(pid) !== identity) return null;
    const ended = new Promise<string>((resolve) => {
      const timer = setInterval(() => {
        if (identityOf(pid) === identity) return;
        clearInterval(timer);
        resolve('it ended');
      }, adoptedPollMs);
    });
    return new SupervisedProcess(pid, identity, ended);
  }

  get alive(): boolean {
    return !this.#over && this.pid !== null && identityOf(this.pid) === this.identity;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid === null || this.#over) return;
    signalGroup(this.pid, signal);
  }

  /** SIGTERM to the group, SIGKILL to what is left of it after `withinMs`. */
  async stop(withinMs: number): Promise<void> {
    if (this.pid === null) return;
    this.signal('SIGTERM');
    await raceTimeout(this.ended, withinMs);
    this.killRest();
    await this.ended;
  }

  /** Children that outlived their leader would keep its port. */
  killRest(): void {
    if (this.pid !== null) signalGroup(this.pid, 'SIGKILL');
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The whole group has ended already.
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `exit code ${code}` : `killed by ${signal}`);
    });
  });
}

/** True when it resolved in time. */
export async function raceTimeout(promise: Promise<unknown>, withinMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), withinMs);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** `preferred` when nobody listens there, else any free one that is not `taken`. */
export async function freePort(preferred: number | null, taken: ReadonlySet<number>): Promise<number> {
  if (preferred !== null && (await tryPort(preferred)) === preferred) return preferred;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = await tryPort(0);
    if (port !== null && !taken.has(port)) return port;
  }
  throw new Error('no free port on 127.0.0.1');
}

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(null));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}

/** Copies a full log to `.1` and empties it in place: the process goes on writing to the same file. */
export async function rotateLog(path: string, limit: number = logLimit): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= limit) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

/** The last lines of a log, for an error that a person reads. */
export async function tailOf(path: string, bytes: number = 2_000): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, bytes);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead).toString('utf8').split('\n').slice(-12).join('\n').trim();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
