import { type Command, runWell } from './processes.ts';

/** A command, timed from its start to its end as whoever waits for it sees it. */
export interface Timed {
  readonly name: string;
  readonly command: Command;
  /** Milliseconds, one a round. */
  readonly times: number[];
}

export function timed(name: string, command: Command): Timed {
  return { name, command, times: [] };
}

/** Runs each once a round, in turn, so that whatever else the machine does falls on all alike; the first round is thrown away. */
export async function timeInTurn(all: readonly Timed[], rounds: number): Promise<void> {
  for (let round = 0; round <= rounds; round += 1) {
    for (const { command, times } of all) {
      const { started, ended } = await runWell(command);
      if (round > 0) times.push(ended - started);
    }
  }
}
