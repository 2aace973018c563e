import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerProgram } from './fixture.ts';
import { type Command, runWell } from './processes.ts';

/** Runs a Node program once and answers with the most memory its process held, in MB. */
export async function maxRssMb(command: Command, folder: string): Promise<number> {
  const file = join(folder, 'max-rss');
  await runWell({
    ...command,
    arguments: ['--require', peerProgram('max-rss.cjs'), ...command.arguments],
    environment: { ...command.environment, MAX_RSS_FILE: file },
  });
  return Math.round((Number(readFileSync(file, 'utf8')) * 1.024) / 100) / 10;
}
