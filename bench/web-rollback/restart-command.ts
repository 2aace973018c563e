import { join } from 'node:path';
import type { Cleanup } from '../support/cleanup.ts';
import { peerProgram } from '../support/fixture.ts';
import { type Command, endProcess, pidIn } from '../support/processes.ts';

/**
 * The command that stops and starts the application's one process, as peers without a supervisor do. It runs in
 * `link`, read anew at each restart.
 */
export function restartCommand(folder: string, link: string, port: number, cleanup: Cleanup): Command {
  const pidFile = join(folder, 'app.pid');
  cleanup.defer(async () => {
    const pid = pidIn(pidFile);
    if (pid !== undefined) await endProcess(pid);
  });
  return {
    program: process.execPath,
    arguments: [peerProgram('restart.mjs'), link, pidFile, String(port)],
  };
}
