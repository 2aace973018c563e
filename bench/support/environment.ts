import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cleanup } from './cleanup.ts';
import { commitAll, copyApplication, git, writeRelease } from './fixture.ts';
import { untilServed } from './http.ts';
import { type Command, freePort, runWell } from './processes.ts';
import { type Built, endGateway } from './unship.ts';

export interface EnvironmentOptions {
  /** What becomes of the release that no longer serves. */
  readonly previous: 'keep' | 'stop';
}

/** The measured application under unship's care, its good release live. */
export interface Environment {
  readonly folder: string;
  readonly repository: string;
  /** Where its users' requests arrive. */
  readonly port: number;
  /** `unship PARTS` here, confirmed beforehand. */
  command(...parts: string[]): Command;
  /** Commits and checks out a bad release that is to be watched for `bake`; `note` makes its commit a new one. */
  commitBad(note: string, bake: string): Promise<void>;
}

/** `seed` may fill the state before the first release. */
export async function makeEnvironment(
  built: Built,
  cleanup: Cleanup,
  { previous }: EnvironmentOptions,
  seed?: (stateFile: string) => Promise<void>,
): Promise<Environment> {
  const folder = cleanup.folder();
  const repository = join(folder, 'app');
  const state = join(folder, 'state');
  const own = join(state, 'bench-app', 'production');
  mkdirSync(own, { recursive: true, mode: 0o700 });
  await seed?.(join(own, 'state.db'));
  const port = await freePort();
  const command = (...parts: string[]): Command =>
    built.command([...parts, '--yes', '--state-dir', state], repository);
  const configure = (bake: string): void =>
    writeFileSync(
      join(repository, 'unship.config.json'),
      `${JSON.stringify(configuration(port, previous, bake), null, 2)}\n`,
    );

  copyApplication(repository, 'good');
  configure('1s');
  await git(repository, ['init', '--quiet', '--initial-branch=main']);
  const good = await commitAll(repository, 'good');
  cleanup.defer(() => endGateway(own));
  await runWell(command('release'));
  await untilServed(port, 'good');
  return {
    folder,
    repository,
    port,
    command,
    commitBad: async (note, bake) => {
      // Beside the other bad ones, not after them: those commits are quarantined.
      await git(repository, ['checkout', '--quiet', good]);
      writeRelease(repository, 'bad', note);
      configure(bake);
      await commitAll(repository, `bad: ${note}`);
    },
  };
}

/** One web surface behind the gateway; the bad release is well by its health check, as such releases are. */
function configuration(port: number, previous: 'keep' | 'stop', bake: string): object {
  const web = {
    provider: 'server',
    kind: 'web',
    options: {
      // Releasing is not what is measured, and npm takes its time.
      install: false,
      build: 'node build.mjs',
      start: 'node dist/server.mjs',
      health: '/health',
      previous,
      switch: { gateway: { port } },
    },
  };
  const production = {
    surfaces: { web },
    checks: [{ http: '/health' }],
    rehearsal: 'off',
    guard: { bake, every: '500ms' },
  };
  return { name: 'bench-app', environments: { production } };
}
