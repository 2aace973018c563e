import { UnshipError } from '../domain/errors.ts';
import type { Host } from './host.ts';
import type { Terminal } from './output/terminal.ts';

/** Ctrl-C at a question: nothing runs yet, so there is nothing to pause. */
export class Interrupted extends Error {}

/**
 * Questions. No is the default of every one of them: Enter, Escape and the end of input change nothing.
 */
export class Prompt {
  readonly #host: Host;
  readonly #terminal: Terminal;
  /** False without a terminal on both sides and with `--no-input`. */
  readonly possible: boolean;

  constructor(host: Host, terminal: Terminal, noInput: boolean) {
    this.#host = host;
    this.#terminal = terminal;
    this.possible = host.stdin.isTTY === true && host.stderr.isTTY === true && !noInput;
  }

  /** Only `y` or `yes` is a yes. */
  async confirm(question: string): Promise<boolean> {
    const answer = await this.#ask(`${question} [y/N]`);
    return answer !== null && /^y(es)?$/i.test(answer.trim());
  }

  /** True only when exactly the expected word is typed. */
  async typed(question: string, expected: string): Promise<boolean> {
    return (await this.#ask(question))?.trim() === expected;
  }

  /** Enter takes the fallback. Throws `declined` on Escape and at the end of input. */
  async value(question: string, fallback: string): Promise<string> {
    const answer = await this.#ask(`${question} [${fallback}]`);
    if (answer === null) throw declined();
    return answer.trim() === '' ? fallback : answer.trim();
  }

  /** One line; null on Escape and at the end of input. */
  async #ask(question: string): Promise<string | null> {
    const { createInterface, emitKeypressEvents } = await import('node:readline');
    const { stdin, stderr } = this.#host;
    this.#terminal.question(question);
    emitKeypressEvents(stdin);
    const lines = createInterface({
      input: stdin,
      output: stderr,
      terminal: true,
      prompt: '',
      escapeCodeTimeout: 50,
    });
    return await new Promise((resolve, reject) => {
      const onKey = (_text: unknown, key: { readonly name?: string } | undefined): void => {
        if (key?.name === 'escape') finish(() => resolve(null));
      };
      const finish = (settle: () => void): void => {
        stdin.off('keypress', onKey);
        settle();
        lines.close();
      };
      stdin.on('keypress', onKey);
      lines.once('line', (line) => finish(() => resolve(line)));
      lines.once('SIGINT', () => finish(() => reject(new Interrupted('interrupted'))));
      lines.once('close', () => {
        stderr.write('\n');
        finish(() => resolve(null));
      });
    });
  }
}

export function declined(): UnshipError {
  return new UnshipError('declined', { happened: 'the answer was no', done: 'nothing' });
}
