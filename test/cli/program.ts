import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { main } from '../../src/cli/command-line.ts';
import type { Host } from '../../src/cli/host.ts';
import type { Application, OpenRequest } from '../../src/domain/application.ts';

export const bin: string = fileURLToPath(new URL('../../bin/unship.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly environment?: { readonly [name: string]: string };
  readonly nodeArguments?: readonly string[];
}

/** An empty folder with its own home, so that nothing of the person who runs the tests is read or written. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'unship-cli-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeFiles(folder: string, files: { readonly [name: string]: string }): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

/** The real program in a process of its own, with nothing of our environment but PATH. */
export function runProgram(
  home: string,
  words: readonly string[],
  options: ProgramOptions = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...(options.nodeArguments ?? []), bin, ...words], {
      cwd: options.cwd ?? home,
      env: { PATH: process.env.PATH ?? '', HOME: home, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

export const plainConfiguration: string = JSON.stringify({
  name: 'vault',
  environments: {
    production: {
      surfaces: {
        web: { provider: 'server', kind: 'web', options: { switch: { gateway: { port: 8080 } } } },
      },
    },
  },
});

class Sink extends PassThrough {
  readonly isTTY: boolean;
  readonly columns = 80;
  text = '';

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
    this.setEncoding('utf8').on('data', (text: string) => {
      this.text += text;
    });
  }
}

class Keyboard extends PassThrough {
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  /** What readline asks of a terminal. */
  setRawMode(): this {
    return this;
  }
}

export interface Driven extends Finished {
  readonly opened: readonly OpenRequest[];
}

export interface DriveOptions {
  /** Both sides are a terminal. Default false. */
  readonly terminal?: boolean;
  /** What is typed once the first question stands there; null is the end of input. */
  readonly types?: string | null;
  readonly configuration?: string;
  readonly environment?: { readonly [name: string]: string };
  readonly now?: number;
  readonly cwd?: string;
  readonly onSignal?: Host['onSignal'];
}

/** The whole command line in this process, over an application that only a test has. */
export async function drive(
  context: TestContext,
  words: readonly string[],
  application: Partial<Application>,
  options: DriveOptions = {},
): Promise<Driven> {
  const folder = options.cwd ?? temporaryFolder(context);
  if (options.cwd === undefined) {
    writeFiles(folder, { 'unship.config.json': options.configuration ?? plainConfiguration });
  }
  const [stdout, stderr] = [new Sink(options.terminal === true), new Sink(options.terminal === true)];
  const stdin = new Keyboard(options.terminal === true);
  const opened: OpenRequest[] = [];
  const timers: (() => void)[] = [];
  const { types } = options;
  if (types !== undefined) {
    stderr.on('data', (text: string) => {
      if (!/(\]|:) $/.test(text) || stdin.writableEnded) return;
      if (types === null) stdin.end();
      else stdin.write(types);
    });
  }
  const code = await main({
    argv: words,
    environment: { HOME: folder, ...options.environment },
    cwd: folder,
    stdin,
    stdout,
    stderr,
    uid: process.getuid?.(),
    user: 'alex',
    home: folder,
    now: () => options.now ?? 1_772_461_867_000,
    monotonic: () => performance.now(),
    every: (ms, look) => {
      const timer = setInterval(look, ms);
      timers.push(() => clearInterval(timer));
      return () => clearInterval(timer);
    },
    onSignal: options.onSignal ?? (() => () => undefined),
    exit: (status) => {
      throw new Error(`exit ${status}`);
    },
    openApplication: async (request) => {
      opened.push(request);
      return {
        name: 'vault',
        environment: 'production',
        close: async () => {},
        ...application,
      } as Application;
    },
  });
  for (const stop of timers) stop();
  return { code, stdout: stdout.text, stderr: stderr.text, opened };
}
