import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { World } from '../support/world.ts';
import type { Observation, Question } from './observer-process.ts';

/** The observer's process, as its client sees it. */
export class Observer {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (observation: Observation) => void>();
  #asked = 0;

  constructor() {
    const file = fileURLToPath(new URL('observer-process.ts', import.meta.url));
    this.#child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('the observer has no voice');
    createInterface({ input: stdout }).on('line', (line) => {
      const { id, ...observation } = JSON.parse(line) as Observation & { id: number };
      this.#waiting.get(id)?.(observation);
      this.#waiting.delete(id);
    });
  }

  /** `patienceMs`: how long the live address may take to answer. */
  look(world: Pick<World, 'port' | 'database' | 'feed'>, patienceMs = 10_000): Promise<Observation> {
    this.#asked += 1;
    const { port, database, feed } = world;
    const question: Question = { id: this.#asked, port, database, feed, patienceMs };
    return new Promise((resolve, reject) => {
      this.#waiting.set(question.id, resolve);
      this.#child.once('exit', () => reject(new Error('the observer has ended')));
      this.#child.setMaxListeners(0);
      this.#child.stdin?.write(`${JSON.stringify(question)}\n`);
    });
  }

  end(): void {
    this.#child.stdin?.end();
    this.#child.kill('SIGKILL');
  }
}
