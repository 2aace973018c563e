import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { log } from './log.ts';
import { baseEnvironment, type Command, run } from './processes.ts';

/** A peer that is not here and can't be brought here. It is named in the document, with the reason. */
export class PeerMissing extends Error {}

/** The program's path, installed from Debian when it isn't there. Throws `PeerMissing`. */
export async function debianProgram(program: string, packageName: string): Promise<string> {
  const present = which(program);
  if (present !== undefined) return present;
  log(`installing ${packageName} with apt-get`);
  await aptGet(['update', '-q']);
  const failure = await aptGet(['install', '-q', '-y', '--no-install-recommends', packageName]);
  const installed = which(program);
  if (installed !== undefined) return installed;
  throw new PeerMissing(
    `${program} is not installed and apt-get could not install ${packageName}: ${failure ?? 'it brought no such program'}`,
  );
}

function aptGet(parts: readonly string[]): Promise<string | undefined> {
  return attempt({
    program: 'apt-get',
    arguments: parts,
    withinMs: 180_000,
    // Run level 1: a package's own service must not be started.
    environment: { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
}

/**
 * The folder of `node_modules` with this package, kept between runs in the user's cache: what is measured is
 * not its installation. Throws `PeerMissing`.
 */
export async function npmPackage(name: string, version: string): Promise<string> {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const folder = join(cache, 'unship-bench', `${name}-${version}`);
  const modules = join(folder, 'node_modules');
  const complete = join(folder, 'complete');
  if (existsSync(complete)) return modules;
  log(`installing ${name}@${version} with npm`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const failure = await attempt({
    program: 'npm',
    arguments: ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${name}@${version}`],
    cwd: folder,
    withinMs: 180_000,
  });
  if (failure !== undefined) throw new PeerMissing(`npm could not install ${name}: ${failure}`);
  writeFileSync(complete, '');
  return modules;
}

/** Undefined when it went well, else the last line of why not. */
async function attempt(command: Command): Promise<string | undefined> {
  try {
    const { code, output } = await run(command);
    return code === 0 ? undefined : (output.trim().split('\n').at(-1) ?? `exit code ${code}`);
  } catch (error) {
    return (error as Error).message;
  }
}

function which(program: string): string | undefined {
  const folders = (baseEnvironment().PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
