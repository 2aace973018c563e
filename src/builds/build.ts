import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { UnshipError } from '../domain/errors.ts';
import type { MaskInto } from '../domain/secret.ts';
import type { Source } from '../surfaces/source.port.ts';
import { type CommandResult, runCommand } from './command.ts';
import { enclosed, enclosedEnvironment, placesOfPrograms, whyNotEnclosed } from './enclosure.ts';

export interface Build {
  readonly command: readonly [string, ...string[]];
  /** The checkout: all that it may write, besides a home and a temporary folder of its own. */
  readonly checkout: string;
  /** Where it starts, inside the checkout. */
  readonly folder: string;
  /** Private folder of the surface, for what the build needs while it runs. */
  readonly workshop: string;
  /** Variables besides PATH, LANG, HOME, TMPDIR and those that name certificates. */
  readonly environment: { readonly [name: string]: string };
  /** Files and folders outside of the checkout that it may read. */
  readonly reads: readonly string[];
  readonly withinMs: number;
  /** Bytes of memory, all its processes together. */
  readonly memory: number;
  readonly log: string;
  readonly maskInto?: MaskInto | undefined;
  readonly signal: AbortSignal;
}

export const defaultMemoryMiB = 4096;
const defaultBranches = ['main', 'master'];

/** They name a file, which a build must read to reach anything behind a company's certificate; never a secret. */
const certificateVariables = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'npm_config_cafile'];

/**
 * Runs code of a commit: with an environment of its own, an empty home, limits, and, where the machine has
 * them, in namespaces of its own. Nothing it started lives on.
 */
export async function runBuild(build: Build): Promise<CommandResult> {
  const [home, temporary, root] = ['home', 'tmp', 'root'].map((name) => join(build.workshop, name)) as [
    string,
    string,
    string,
  ];
  await rm(build.workshop, { recursive: true, force: true });
  for (const folder of [build.workshop, home, temporary, root]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  try {
    const environment = buildEnvironment(build, home, temporary);
    const limits = { ...build, environment };
    if (whyNotEnclosed() !== null) return await runCommand(build.command, limits);
    const named = certificateVariables.flatMap((name) => environment[name] ?? []);
    const readable = [
      ...placesOfPrograms(environment.PATH ?? '', build.command[0]),
      ...build.reads,
      ...named.filter((path) => isAbsolute(path) && existsSync(path)),
    ];
    const view = { root, temporary, writable: [build.checkout, home], readable, folder: build.folder };
    return await runCommand(enclosed(view, build.command), {
      ...limits,
      environment: enclosedEnvironment({ ...environment, TMPDIR: '/tmp' }),
    });
  } finally {
    await rm(build.workshop, { recursive: true, force: true });
  }
}

function buildEnvironment(build: Build, home: string, temporary: string): { [name: string]: string } {
  const passed = ['PATH', 'LANG', ...certificateVariables].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(passed),
    HOME: home,
    TMPDIR: temporary,
    // A build asks for no newer npm, and names no log in a home that is gone when it is to be read.
    npm_config_update_notifier: 'false',
    npm_config_logs_max: '0',
    ...build.environment,
  };
}

/**
 * Where builds can't be enclosed, a build could read everything that the operator can: then only commits of
 * protected branches are built. Throws `build-not-enclosed`.
 */
export async function assertMayBuild(
  source: Source,
  commit: string,
  branches: readonly string[] = defaultBranches,
  why: string | null = whyNotEnclosed(),
): Promise<void> {
  if (why === null) return;
  for (const branch of branches) {
    const tip = await source.resolve(`refs/heads/${branch}`).catch(() => null);
    if (tip !== null && (await source.contains(tip, commit))) return;
  }
  throw new UnshipError('build-not-enclosed', {
    happened: `builds can't be kept apart on this machine (${why}), and ${commit.slice(0, 7)} is in none of the protected branches: ${branches.join(', ')}`,
    done: 'nothing was built; what serves was not touched',
  });
}

/** For `doctor`: null where builds are enclosed, else what holds instead. */
export function openBuilds(branches: readonly string[] = defaultBranches): string | null {
  const why = whyNotEnclosed();
  return why === null
    ? null
    : `builds see what you see (${why}): only commits of ${branches.join(', ')} are built`;
}
