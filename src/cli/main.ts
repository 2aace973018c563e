import { homedir, userInfo } from 'node:os';
import { messageOf } from '../domain/errors.ts';
import { main } from './command-line.ts';
import type { Host } from './host.ts';

/** Kept from the start: a configuration that is being evaluated finds another in its place. */
const endProcess: (code: number) => never = process.exit.bind(process);

/** What the program runs with outside of tests: this very process. */
export async function start(): Promise<void> {
  // First of all: database, journal and logs were readable by everybody under the usual mask.
  process.umask(0o077);
  const host = processHost();
  process.on('uncaughtException', (error) => {
    // A trace may hold a secret, and there is no telling what was under way: the short form, and an end.
    host.stderr.write(`FAIL  internal: ${messageOf(error).split('\n')[0]}\n`);
    endProcess(1);
  });
  const code = await main(host);
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

export function processHost(): Host {
  const { stdin, stdout, stderr } = process;
  // A reader that went away (`| head`) must not end a rollback half way.
  for (const stream of [stdout, stderr]) stream.on('error', () => undefined);
  const write = { stdout: stdout.write.bind(stdout), stderr: stderr.write.bind(stderr) };
  return {
    argv: process.argv.slice(2),
    environment: process.env,
    cwd: workingFolder(),
    stdin,
    stdout: view(stdout, write.stdout),
    stderr: view(stderr, write.stderr),
    uid: process.getuid?.(),
    user: userName(),
    home: homeFolder(),
    now: () => Date.now(),
    monotonic: () => performance.now(),
    every: (ms, look) => {
      const timer = setInterval(look, ms);
      return () => clearInterval(timer);
    },
    onSignal: (heard) => {
      const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
      for (const signal of signals) process.on(signal, heard);
      return () => {
        for (const signal of signals) process.off(signal, heard);
      };
    },
    exit: endProcess,
    divert: (foreign) => divert(foreign, write),
    openApplication: async (request) => {
      const { openApplication } = await import('../app.ts');
      return await openApplication(request);
    },
  };
}

type Write = typeof process.stdout.write;

/** The stream with its own `write`: what others write to it goes another way. */
function view<S extends NodeJS.WriteStream>(stream: S, write: Write): S {
  return new Proxy(stream, {
    get: (target, key) => {
      if (key === 'write') return write;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Whatever other code prints (a configuration's console.log, a warning) is masked and kept off the results. */
function divert(foreign: (text: string) => void, original: { stdout: Write; stderr: Write }): () => void {
  const replacement = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    foreign(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
    const done = rest.find((one) => typeof one === 'function') as (() => void) | undefined;
    done?.();
    return true;
  }) as Write;
  process.stdout.write = replacement;
  process.stderr.write = replacement;
  return () => {
    process.stdout.write = original.stdout;
    process.stderr.write = original.stderr;
  };
}

/** Somebody may have removed it; then there is nothing in it, and `--cwd` with an absolute path still works. */
function workingFolder(): string {
  try {
    return process.cwd();
  } catch {
    return '/nonexistent';
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user need not stand in the password file.
    return process.env.USER ?? String(process.getuid?.() ?? 'unknown');
  }
}

function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return '/nonexistent';
  }
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}
