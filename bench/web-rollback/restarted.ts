import { join } from 'node:path';
import { peerProgram } from '../support/fixture.ts';
import { type Command, endProcess, pidIn } from '../support/processes.ts';

/** One process of the application that a script stops and starts, as peers without a supervisor do. */
export interface Restarted {
  readonly restart: Command;
  close(): Promise<void>;
}

/** `link` is the folder the application runs in, read anew at each restart. */
export function restarted(folder: string, link: string, port: number): Restarted {
  const pidFile = join(folder, 'app.pid');
  return {
    restart: {
      program: process.execPath,
      arguments: [peerProgram('restart.mjs'), link, pidFile, String(port)],
    },
    close: async () => {
      const pid = pidIn(pidFile);
      if (pid !== undefined) await endProcess(pid);
    },
  };
}
