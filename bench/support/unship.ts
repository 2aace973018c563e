import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { disposeGateway } from '../../src/providers/server/gateway-switch.ts';
import { log } from './log.ts';
import { type Command, runWell } from './processes.ts';
import { sum } from './statistics.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** unship as it is published, built for this bench and used by nobody else. */
export interface Built {
  /** Its own cache of compiled code, so that every run begins with a cold one and warms it itself. */
  readonly environment: { readonly [name: string]: string };
  readonly program: string;
  /** Of the command line: its entry and the parts that are loaded when they are needed. */
  readonly bundleBytes: number;
  /** `unship PARTS`. */
  command(parts: readonly string[], cwd: string): Command;
  remove(): void;
}

/** Laid out as the package is: `bin/` beside `dist/`, so that the bundle is what runs; the checkout's `dist/` stays as it is. */
export async function buildUnship(): Promise<Built> {
  const folder = mkdtempSync(join(tmpdir(), 'unship-bench-program-'));
  log('building unship (scripts/build.ts): what is measured is the bundle');
  try {
    await runWell({
      program: process.execPath,
      arguments: [join(project, 'scripts', 'build.ts'), '--out', join(folder, 'dist')],
      withinMs: 120_000,
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  cpSync(join(project, 'bin'), join(folder, 'bin'), { recursive: true });
  cpSync(join(project, 'package.json'), join(folder, 'package.json'));
  const environment = { XDG_CACHE_HOME: join(folder, 'cache') };
  mkdirSync(environment.XDG_CACHE_HOME);
  const program = join(folder, 'bin', 'unship.js');
  return {
    environment,
    program,
    bundleBytes: sum(commandLineFiles(join(folder, 'dist')).map((file) => statSync(file).size)),
    command: (parts, cwd) => ({
      program: process.execPath,
      arguments: [program, ...parts],
      cwd,
      environment,
    }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function commandLineFiles(dist: string): readonly string[] {
  return readdirSync(dist)
    .filter((name) => /^cli(-.*)?\.cjs$/.test(name))
    .map((name) => join(dist, name));
}

/** Ends the gateway of an environment's web surface and all that it runs. `folder` is the environment's state. */
export function endGateway(folder: string): Promise<void> {
  return disposeGateway(join(folder, 'surfaces', 'web', 'gateway'));
}
