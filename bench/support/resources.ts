import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerProgram } from './fixture.ts';
import { type Command, runWell } from './processes.ts';
import { rounded } from './statistics.ts';

export interface Resources {
  /** The most memory that its process held. */
  readonly maxRssMb: number;
  /** Processor time, its own start included: on a busy machine it says more than the clock does. */
  readonly cpuMs: number;
}

/** Runs a Node program once and answers with what its process took. */
export async function resourcesOf(command: Command, folder: string): Promise<Resources> {
  const file = join(folder, 'resources');
  await runWell({
    ...command,
    arguments: ['--require', peerProgram('resources.cjs'), ...command.arguments],
    environment: { ...command.environment, RESOURCES_FILE: file },
  });
  const { memory, processor } = JSON.parse(readFileSync(file, 'utf8')) as {
    memory: number;
    processor: number;
  };
  return { maxRssMb: Math.round((memory * 1.024) / 100) / 10, cpuMs: rounded(processor / 1_000) };
}
