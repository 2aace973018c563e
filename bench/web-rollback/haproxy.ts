import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { untilServed } from '../support/http.ts';
import { debianProgram } from '../support/install.ts';
import { type Command, endProcess, freePort, launch, runWell } from '../support/processes.ts';
import type { Contender } from './contender.ts';
import { startWarmPair } from './warm-pair.ts';

export const haproxy: Contender = {
  name: 'haproxy',
  what: 'HAProxy (Debian), `set server … state` over the runtime API with socat; both releases running, no record',
  prepare: async (cleanup) => {
    const program = await debianProgram('haproxy', 'haproxy');
    const socat = await debianProgram('socat', 'socat');
    const folder = cleanup.folder();
    const pair = await startWarmPair(folder, cleanup);
    const port = await freePort();
    const socket = join(folder, 'admin.sock');
    const configuration = join(folder, 'haproxy.cfg');
    writeFileSync(configuration, configurationText(port, socket, pair.good, pair.bad));
    const server = launch({ program, arguments: ['-db', '-f', configuration] }, 'ignore');
    cleanup.defer(() => endProcess(server.pid ?? 0));
    const setState = (up: string, down: string): Command => {
      const text = join(folder, `to-${up}`);
      writeFileSync(text, `set server app/${up} state ready; set server app/${down} state maint\n`);
      // socat reads the words from a file, since nothing here goes through a shell's pipe.
      return { program: socat, arguments: [`OPEN:${text},rdonly!!STDOUT`, `UNIX-CONNECT:${socket}`] };
    };
    await untilServed(port, 'bad');
    return {
      port,
      release: async () => {
        await runWell(setState('bad', 'good'));
        await untilServed(port, 'bad');
      },
      rollback: [setState('good', 'bad')],
    };
  },
};

function configurationText(port: number, socket: string, good: number, bad: number): string {
  return `global
  maxconn 1000
  nbthread 1
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend users
  bind 127.0.0.1:${port}
  default_backend app
backend app
  server good 127.0.0.1:${good} disabled
  server bad 127.0.0.1:${bad}
`;
}
