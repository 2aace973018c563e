import { closeSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnshipError } from '../domain/errors.ts';
import type {
  CheckResult,
  GatewayReply,
  GatewayRequest,
  GatewayStatus,
  HoldResult,
  Listen,
  StartResult,
} from './protocol.ts';
import type { GatewayState } from './state.ts';

export type {
  GatewayRequest,
  GatewayStatus,
  Listen,
  ReleaseSpec,
  StartResult,
} from './protocol.ts';

/** Exit codes of the daemon, for the one who started it. */
export const exitStatus = { failed: 1, alreadyRuns: 10, portTaken: 11 } as const;

/** The daemon's only argument, as JSON. */
export interface DaemonArguments {
  readonly folder: string;
  /** Undefined: as its state has it. Null: none, it only supervises. */
  readonly listen?: Listen | null;
  /** Everything ends when this process has died: a rehearsal's gateway. */
  readonly ownerPid?: number;
}

export interface GatewayLocation extends DaemonArguments {
  /** Program file of the daemon. Default: beside this file, in source or bundled. */
  readonly entry?: string;
}

interface Results {
  readonly status: GatewayStatus;
  readonly start: StartResult;
  readonly check: CheckResult;
  readonly switch: null;
  readonly hold: HoldResult;
  readonly resume: null;
  readonly fence: null;
  readonly weights: null;
  readonly stop: null;
  readonly standby: null;
  readonly shutdown: null;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

const readyWithinMs = 15_000;
/** `sun_path` holds 104 bytes on macOS and 108 on Linux, with the final zero. */
const longestSocketPath = 103;

/** Null on what is no reply: another program may listen there, or a newer one of ours. */
function readReply(line: string): GatewayReply | null {
  try {
    const reply = JSON.parse(line) as GatewayReply | null;
    if (reply?.ok === true) return reply;
    return reply?.ok === false && typeof reply.error.details.happened === 'string' ? reply : null;
  } catch {
    return null;
  }
}

/** One request on a connection of its own. Throws `gateway-unreachable` when nobody answers. */
export function askGateway<R extends GatewayRequest>(
  folder: string,
  request: R,
  { signal, timeoutMs = 10_000 }: AskOptions = {},
): Promise<Results[R['command']]> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const path = findSocket(folder);
    if (path === null) return reject(unreachable('it has never been started'));
    const socket = connect(path);
    const timer = setTimeout(
      () => finish(() => reject(unreachable(`no answer in ${timeoutMs} ms`))),
      timeoutMs,
    );
    const aborted = (): void => finish(() => reject(signal?.reason as Error));
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.destroy();
      settle();
    };
    signal?.addEventListener('abort', aborted, { once: true });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      finish(() => reject(unreachable(error.code ?? error.message)));
    });
    socket.on('close', () => finish(() => reject(unreachable('it ended without an answer'))));
    onLine(socket, (line) => {
      const reply = readReply(line);
      if (reply === null) return finish(() => reject(unreachable('its answer can not be read')));
      finish(() => {
        if (reply.ok) resolve(reply.result as Results[R['command']]);
        else reject(new UnshipError(reply.error.slug, reply.error.details));
      });
    });
    socket.write(`${JSON.stringify({ id: 1, ...request })}\n`);
  });
}

/** As `askGateway`, but a dead gateway is started first. Throws `port-taken` when it can't listen. */
export async function commandGateway<R extends GatewayRequest>(
  location: GatewayLocation,
  request: R,
  options: AskOptions = {},
): Promise<Results[R['command']]> {
  try {
    return await askGateway(location.folder, request, options);
  } catch (error) {
    if (!(error instanceof UnshipError && error.slug === 'gateway-unreachable')) throw error;
    await ensureGateway(location, options.signal);
    return askGateway(location.folder, request, options);
  }
}

/** Starts the daemon unless it answers. It outlives this process. */
export async function ensureGateway(location: GatewayLocation, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  if ((await answering(location.folder)) !== null) return;
  const { spawn } = await import('node:child_process');
  const { folder, listen, ownerPid, entry = defaultEntry(import.meta.url) } = location;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const log = openSync(join(folder, 'daemon.log'), 'a', 0o600);
  const argument = JSON.stringify({ folder, listen, ownerPid } satisfies DaemonArgumentsText);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, argument], {
    cwd: folder,
    // No secret of the caller reaches the process that the whole world talks to.
    env: pick(process.env, ['PATH', 'HOME', 'LANG', 'TMPDIR', 'XDG_RUNTIME_DIR', 'SystemRoot']),
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  child.unref();
  let exit: number | null | undefined;
  child.once('error', () => {
    exit = exitStatus.failed;
  });
  child.once('exit', (code) => {
    exit = code;
  });
  while (performance.now() < deadline) {
    signal?.throwIfAborted();
    const pid = await answering(folder);
    if (pid !== null) {
      // Another caller's was first: ours, still on its way, must not become a second one after that has ended.
      if (pid !== child.pid) child.kill('SIGKILL');
      return;
    }
    if (exit === exitStatus.portTaken && listen) throw portTaken(listen);
    // Another caller's daemon has the lock and will answer in a moment.
    if (exit !== undefined && exit !== exitStatus.alreadyRuns) {
      throw unreachable(`it could not be started; see ${join(folder, 'daemon.log')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw unreachable(`it was not ready within ${readyWithinMs / 1000} s; see ${join(folder, 'daemon.log')}`);
}

/** Whether the gateway of this folder has something to run, by its own memory, and was not told to end. */
export async function wasLeftRunning(folder: string): Promise<boolean> {
  const { readFile } = await import('node:fs/promises');
  try {
    const memory = JSON.parse(await readFile(join(folder, 'state.json'), 'utf8')) as GatewayState;
    return memory.stopped !== true && Object.keys(memory.releases).length > 0;
  } catch {
    return false;
  }
}

type DaemonArgumentsText = { [K in keyof DaemonArguments]: DaemonArguments[K] | undefined };

/** Source beside source in development, bundle beside bundle when published. */
export function defaultEntry(here: string): string {
  const url = new URL(here.endsWith('.ts') ? './daemon.ts' : './gateway.js', here);
  return fileURLToPath(url);
}

/** Pid of the gateway that answers; null when none does. */
async function answering(folder: string): Promise<number | null> {
  try {
    return (await askGateway(folder, { command: 'status' }, { timeoutMs: 2_000 })).pid;
  } catch {
    return null;
  }
}

/** Where the daemon of this folder listens; null when that has not been decided yet. */
function findSocket(folder: string): string | null {
  const plain = join(folder, 'control.sock');
  if (Buffer.byteLength(plain) <= longestSocketPath) return plain;
  try {
    return readFileSync(join(folder, 'socket'), 'utf8');
  } catch {
    return null;
  }
}

/**
 * The daemon's part of `findSocket`: a path that is too long for a socket is replaced by one in a fresh
 * private folder, written down where clients look. Throws when that folder is not ours alone.
 */
export function chooseSocket(folder: string): string {
  const plain = join(folder, 'control.sock');
  if (Buffer.byteLength(plain) <= longestSocketPath) return plain;
  const before = findSocket(folder);
  if (before !== null && isPrivate(join(before, '..'))) return before;
  const base = process.env.XDG_RUNTIME_DIR ?? tmpdir();
  const path = join(mkdtempSync(join(base, 'unship-')), 'control.sock');
  writeFileSync(join(folder, 'socket'), path, { mode: 0o600 });
  return path;
}

function isPrivate(folder: string): boolean {
  try {
    const found = lstatSync(folder);
    return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

function onLine(socket: Socket, heard: (line: string) => void): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    pending += text;
    const end = pending.indexOf('\n');
    if (end !== -1) heard(pending.slice(0, end));
  });
}

function pick(variables: NodeJS.ProcessEnv, names: readonly string[]): { [name: string]: string } {
  const picked: { [name: string]: string } = {};
  for (const name of names) {
    const value = variables[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}

function unreachable(reason: string): UnshipError {
  return new UnshipError('gateway-unreachable', { happened: `the gateway did not answer: ${reason}` });
}

/** An address that another process has. */
export function portTaken({ host, port }: Pick<Listen, 'host' | 'port'>): UnshipError {
  return new UnshipError('port-taken', {
    happened: `another process listens on ${host}:${port}`,
    done: 'nothing was changed',
    next: `end the process on port ${port}, or configure another port for the gateway`,
  });
}
