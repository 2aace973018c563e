import { mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { assertMayBuild, defaultMemoryMiB, runBuild } from '../../builds/build.ts';
import { type Command, commandLine } from '../../domain/command.ts';
import { parseDuration } from '../../domain/duration.ts';
import { UnshipError } from '../../domain/errors.ts';
import { shortCommit } from '../../domain/names.ts';
import type { ProviderEnvironment } from '../../surfaces/provider.port.ts';
import type { WorkContext } from '../../surfaces/surface.port.ts';
import type { FeedOptions } from './options.ts';

/**
 * Builds a commit in a clean checkout and hands the checkout over to `use`; it is removed afterwards. Throws
 * `commit-gone`, `build-failed`.
 */
export async function buildCommit<T>(
  context: WorkContext,
  environment: ProviderEnvironment,
  what: {
    readonly command: Command;
    readonly options: FeedOptions;
    readonly root: string;
    readonly version: string;
    readonly commit: string;
  },
  use: (checkout: string) => Promise<T>,
): Promise<T> {
  const { options } = what;
  await assertMayBuild(environment.source, what.commit, options.protectedBranches);
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
    await rm(log, { force: true });
    const { failure, tail } = await runBuild({
      command: commandLine(what.command),
      checkout,
      folder: join(checkout, what.root),
      workshop: `${checkout}-workshop`,
      // Signing keys are handed over by the build's own configuration: nothing else of ours reaches it.
      environment: { UNSHIP_VERSION: what.version, UNSHIP_COMMIT: what.commit },
      reads: (options.buildReads ?? []).map((path) => resolve(environment.root, path)),
      withinMs: parseDuration(options.buildWithin ?? '15m') ?? 900_000,
      memory: (options.buildMemory ?? defaultMemoryMiB) * 2 ** 20,
      log,
      maskInto: environment.maskInto,
      signal: context.signal,
    });
    if (failure !== null) {
      throw new UnshipError('build-failed', {
        happened: `the desktop build of ${what.version} failed: ${failure}${tail === '' ? '' : `\n${tail}`}`,
        done: 'nothing was published',
        next: `read ${log}, mend the build, release again`,
      });
    }
    return await use(checkout);
  } finally {
    await rm(checkout, { recursive: true, force: true });
  }
}
