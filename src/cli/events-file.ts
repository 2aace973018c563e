import { closeSync, openSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf } from '../domain/errors.ts';
import type { RunEvent } from '../domain/report.ts';
import { harmlessJson } from './output/harmless.ts';
import type { Masker } from './output/mask.ts';
import { usage } from './parse.ts';

/** `--events FILE`: what happens as JSON lines, each complete when it is written, secrets masked. */
export class EventsFile {
  readonly #handle: number;
  readonly #masker: Masker;
  readonly #now: () => number;

  /** Throws `usage-invalid` when the file can't be written: before anything is done. */
  constructor(cwd: string, path: string, masker: Masker, now: () => number) {
    try {
      this.#handle = openSync(resolve(cwd, path), 'a', 0o600);
    } catch (error) {
      throw usage(`--events: ${messageOf(error)}`);
    }
    this.#masker = masker;
    this.#now = now;
  }

  write(event: RunEvent): void {
    const at = this.#now();
    const line =
      event.type === 'step'
        ? { schema: 'unship.event/1', at, ...event, step: event.step.id, surface: event.step.surface }
        : { schema: 'unship.event/1', at, ...event };
    try {
      writeFileSync(this.#handle, `${this.#masker.mask(harmlessJson(line))}\n`);
    } catch {
      // A full disk or a closed pipe at the other end must not stop a rollback; the journal has it all.
    }
  }

  close(): void {
    closeSync(this.#handle);
  }
}
