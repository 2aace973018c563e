import { join } from 'node:path';
import { peerProgram } from '../support/fixture.ts';
import { untilServed } from '../support/http.ts';
import { type Command, endProcess, freePort, launch, runWell } from '../support/processes.ts';
import type { Contender } from './contender.ts';
import { startWarmPair } from './warm-pair.ts';

export const pointerFlip: Contender = {
  name: 'pointer-flip',
  what: 'the floor: a Node proxy whose upstream port is a variable, set over a socket by a Node command; both releases running, no checks, no record',
  prepare: async (cleanup) => {
    const folder = cleanup.folder();
    const pair = await startWarmPair(folder, cleanup);
    const port = await freePort();
    const control = join(folder, 'control');
    const proxy = launch(
      {
        program: process.execPath,
        arguments: [peerProgram('pointer-proxy.mjs'), String(port), control, String(pair.bad)],
      },
      'ignore',
    );
    cleanup.defer(() => endProcess(proxy.pid ?? 0));
    const flip = (upstream: number): Command => ({
      program: process.execPath,
      arguments: [peerProgram('pointer-flip.mjs'), control, String(upstream)],
    });
    await untilServed(port, 'bad');
    return {
      port,
      release: async () => {
        await runWell(flip(pair.bad));
        await untilServed(port, 'bad');
      },
      rollback: [flip(pair.good)],
    };
  },
};
