import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { log } from './log.ts';

/** What a bench has started and made, and how each is ended: the last one first, also after a Ctrl-C. */
export class Cleanup {
  readonly #work: (() => Promise<void> | void)[] = [];
  #running: Promise<void> | undefined;

  /** Called as soon as there is something to end, so that a half-made set-up leaves nothing behind either. */
  defer(work: () => Promise<void> | void): void {
    this.#work.push(work);
  }

  /** Private to this user, and gone afterwards. */
  folder(parent: string = tmpdir()): string {
    const folder = mkdtempSync(join(parent, 'unship-bench-'));
    this.defer(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    return folder;
  }

  /** A second call while the first one is at work waits for it: the order is one. */
  run(): Promise<void> {
    this.#running ??= this.#runAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #runAll(): Promise<void> {
    for (let work = this.#work.pop(); work !== undefined; work = this.#work.pop()) {
      try {
        await work();
      } catch (error) {
        log(`cleaning up: ${(error as Error).message}`);
      }
    }
  }
}
