import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { buildApplication, copyApplication } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { npmPackage } from '../support/install.ts';
import { type Command, endProcess, freePort, pidIn, runWell, until } from '../support/processes.ts';
import type { Contender } from './contender.ts';

const version = '7.0.4';

export const pm2: Contender = {
  name: 'pm2-reload',
  what: `pm2 ${version} (npm), two processes in cluster mode: a \`current\` link turned to the previous release, then \`pm2 reload\``,
  prepare: async (cleanup) => {
    const program = join(await npmPackage('pm2', version), 'pm2', 'bin', 'pm2');
    const folder = cleanup.folder();
    const current = join(folder, 'current');
    for (const release of ['good', 'bad'] as const) {
      copyApplication(join(folder, release), release);
      await buildApplication(join(folder, release));
    }
    const home = join(folder, 'home');
    mkdirSync(home);
    const port = await freePort();
    const pm2Command = (...parts: string[]): Command => ({
      program: process.execPath,
      arguments: [program, ...parts],
      cwd: folder,
      environment: { PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true', PORT: String(port) },
    });
    symlinkSync('bad', current);
    cleanup.defer(async () => {
      const daemon = await startedDaemon(home);
      await runWell({ ...pm2Command('kill'), isEnding: true });
      if (daemon !== undefined) await endProcess(daemon);
    });
    await runWell(pm2Command('start', join(current, 'dist', 'server.mjs'), '--name', 'app', '-i', '2'));
    await untilServed(port, 'bad');
    return {
      port,
      release: async () => {
        symlinkSync('bad', `${current}.new`);
        renameSync(`${current}.new`, current);
        await runWell(pm2Command('reload', 'app'));
        await untilServed(port, 'bad');
      },
      rollback: [{ program: 'ln', arguments: ['-sfnT', 'good', current] }, pm2Command('reload', 'app')],
    };
  },
};

/** pm2's own process comes up by itself, later than the command that started it may have been stopped. */
async function startedDaemon(home: string): Promise<number | undefined> {
  const file = join(home, 'pm2.pid');
  await until('the daemon of pm2', () => pidIn(file) !== undefined, 3_000).catch(() => undefined);
  return pidIn(file);
}
