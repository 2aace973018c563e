import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { assertMayBuild, defaultMemoryMiB, runBuild } from '../../builds/build.ts';
import { type Command, commandLine } from '../../domain/command.ts';
import { parseDuration } from '../../domain/duration.ts';
import { UnshipError } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { WebTarget } from '../../surfaces/web/web.port.ts';
import { exists, type Package, readPackage, reuseDependencies } from './dependencies.ts';
import { member, readJson, syncFolder, writeJson } from './files.ts';
import { insideRepository, type Layout, stagedName } from './layout.ts';
import { measure } from './measurements.ts';
import type { ServerOptions } from './options.ts';

export interface Staging {
  readonly options: ServerOptions;
  readonly environment: ProviderEnvironment;
  readonly layout: Layout;
  /** Free bytes of the file system that holds a folder. */
  freeBytes(folder: string): Promise<number>;
}

/** Room for a build of unknown size. */
const smallestRoom = 256 * 1024 * 1024;

export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** True once everything of it is there: the marker is written last, and the folder gets its name after that. */
export function isStaged(layout: Layout, name: string): Promise<boolean> {
  return exists(join(layout.releases, name, 'staged.json'));
}

/** See `WebPort.stage`. A failure leaves nothing behind but the log. */
export async function stage(staging: Staging, context: WorkContext, target: WebTarget): Promise<Json> {
  const { layout, environment } = staging;
  const name = stagedName(target);
  const artifact = { folder: name, commit: target.commit };
  if (await isStaged(layout, name)) return artifact;
  context.runtime.faults.point(`${environment.surface}.stage.before`);
  if (!(await environment.source.has(target.commit))) {
    throw new UnshipError('commit-gone', {
      happened: `the commit ${target.commit} of ${target.release} is not in the repository`,
      done: 'nothing was built',
    });
  }
  await assertMayBuild(environment.source, target.commit, staging.options.protectedBranches);
  await mkdir(layout.releases, { recursive: true, mode: layout.readable ? 0o755 : 0o700 });
  await removeUnfinished(layout, name);
  const free = await assertRoom(staging);
  const work = join(layout.releases, `.staging-${name}-${randomBytes(4).toString('hex')}`);
  try {
    await build(staging, context, target, name, work, free);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? diskFull(layout, error) : error;
  }
  context.runtime.faults.point(`${environment.surface}.stage.after`);
  return artifact;
}

async function build(
  staging: Staging,
  context: WorkContext,
  target: WebTarget,
  name: string,
  work: string,
  freeBefore: number,
): Promise<void> {
  const { options, environment, layout } = staging;
  const began = context.runtime.clock.monotonic();
  await mkdir(work, { mode: layout.readable ? 0o755 : 0o700 });
  context.progress(`checking out ${target.commit.slice(0, 7)}`);
  await environment.source.checkout(target.commit, join(work, 'tree'), context.signal);
  const tree = join(work, 'tree');
  const folder = join(tree, insideRepository(options.root ?? '.'));
  if (!(await exists(folder))) {
    throw new UnshipError('build-failed', {
      happened: `${target.release} has no folder ${options.root ?? '.'} at commit ${target.commit.slice(0, 7)}`,
      done: 'nothing was staged; what serves was not touched',
    });
  }
  const found = await readPackage(folder);
  const log = join(layout.logs, `build-${name}.log`);
  await rm(log, { force: true });
  const key = options.install === undefined ? found.dependencies : null;
  if (key === null || !(await reuseDependencies(layout, options, key, folder))) {
    await runBuildStep(
      staging,
      context,
      target,
      'install',
      commandFor(options.install, found.install),
      { tree, folder },
      log,
    );
  }
  await runBuildStep(
    staging,
    context,
    target,
    'build',
    commandFor(options.build, found.build),
    { tree, folder },
    log,
  );
  if (layout.readable) await makeReadable(work);
  const buildMs = Math.round(context.runtime.clock.monotonic() - began);
  const bytes = Math.max(0, freeBefore - (await staging.freeBytes(layout.releases)));
  await writeJson(join(work, 'staged.json'), {
    release: target.release,
    commit: target.commit,
    dependencies: key,
    buildMs,
    bytes,
    at: context.runtime.clock.now(),
  });
  await rename(work, join(layout.releases, name));
  await syncFolder(layout.releases);
  await measure(layout, { buildMs });
}

function commandFor(
  configured: Command | false | undefined,
  found: Package['build'],
): readonly [string, ...string[]] | null {
  if (configured === undefined) return found;
  return configured === false ? null : commandLine(configured);
}

async function runBuildStep(
  { options, layout, environment }: Staging,
  context: WorkContext,
  target: WebTarget,
  what: 'install' | 'build',
  command: readonly [string, ...string[]] | null,
  { tree, folder }: { readonly tree: string; readonly folder: string },
  log: string,
): Promise<void> {
  if (command === null) return;
  context.progress(`${what}: ${command.join(' ')}`);
  const result = await runBuild({
    command,
    checkout: tree,
    folder,
    workshop: join(layout.home, target.release),
    environment: {
      // An install for production would leave out what the build needs.
      ...(what === 'build' ? { NODE_ENV: 'production' } : {}),
      UNSHIP_RELEASE: target.release,
      UNSHIP_COMMIT: target.commit,
      ...options.environment,
    },
    reads: (options.buildReads ?? []).map((path) => resolve(environment.root, path)),
    withinMs: parseDuration(options.buildWithin ?? '15m') ?? 900_000,
    memory: (options.buildMemory ?? defaultMemoryMiB) * 2 ** 20,
    signal: context.signal,
    log,
    maskInto: environment.maskInto,
  });
  if (result.failure === null) return;
  if (/ENOSPC|No space left on device/.test(result.tail)) throw diskFull(layout, result.tail);
  throw new UnshipError('build-failed', {
    happened: `${what} of ${target.release} (${command.join(' ')}) failed: ${result.failure}\n${result.tail}`,
    done: 'nothing was staged; what serves was not touched',
    next: `read ${log}, mend the build, release again`,
  });
}

/** Returns the free bytes before the work. Room for twice what the largest release here took. */
async function assertRoom({ layout, freeBytes }: Staging): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(layout.releases)).map(async (name) => {
      const bytes = member(await readJson(join(layout.releases, name, 'staged.json')), 'bytes');
      return typeof bytes === 'number' ? bytes : 0;
    }),
  );
  const needed = Math.max(smallestRoom, 2 * Math.max(0, ...sizes));
  const free = await freeBytes(layout.releases);
  if (free >= needed) return free;
  throw new UnshipError('disk-full', {
    happened: `${megabytes(free)} MB are free in ${layout.releases}, and building a release needs ${megabytes(needed)} MB`,
    done: 'nothing was built; what serves was not touched',
  });
}

function diskFull(layout: Layout, cause: unknown): UnshipError {
  return new UnshipError('disk-full', {
    happened: `the disk of ${layout.releases} became full during the build`,
    done: 'the unfinished build was removed; what serves was not touched',
    cause,
  });
}

function megabytes(bytes: number): number {
  return Math.floor(bytes / 1024 / 1024);
}

/**
 * What killed attempts left, at this release or another: whoever builds holds the lease, so that nobody else's is
 * worth anything. Of a release that may never be tried again nobody else would clear it away.
 */
async function removeUnfinished(layout: Layout, name: string): Promise<void> {
  await rm(layout.home, { recursive: true, force: true });
  for (const found of await readdir(layout.releases)) {
    const unfinished = found.startsWith('.staging-') || found.startsWith('.removing-');
    if (unfinished || found === name) {
      await rm(join(layout.releases, found), { recursive: true, force: true });
    }
  }
}

/**
 * Removed in one moment, by a rename; deleting the files may take its time, or be cut short: then they go with the
 * next call for this release.
 */
export async function removeStaged(layout: Layout, name: string): Promise<void> {
  const place = join(layout.releases, name);
  const aside = join(layout.releases, `.removing-${name}-${randomBytes(4).toString('hex')}`);
  try {
    await rename(place, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await finishRemoving(layout, name);
}

/** Of one release, or of all of them, what a killed process had begun to remove. */
export async function finishRemoving({ releases }: Layout, name?: string): Promise<void> {
  const begun = name === undefined ? '.removing-' : `.removing-${name}-`;
  const names = await readdir(releases).catch((): string[] => []);
  for (const found of names.filter((item) => item.startsWith(begun)))
    await rm(join(releases, found), { recursive: true, force: true });
}

/** As `chmod -R a+rX`: our own umask would hide the files from the web server that serves them. */
async function makeReadable(path: string): Promise<void> {
  const { mode } = await lstat(path);
  await chmod(path, (mode & 0o7777) | 0o055);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) await makeReadable(inside);
    else if (entry.isFile()) {
      const found = await lstat(inside);
      await chmod(inside, (found.mode & 0o7777) | (found.mode & 0o100 ? 0o055 : 0o044));
    }
  }
}
