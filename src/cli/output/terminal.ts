import { harmlessJson, oneLine } from './harmless.ts';
import { MaskedWriter, type Masker } from './mask.ts';
import { paint } from './paint.ts';

/** What of a stream is needed: Node's own, or a test's. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface TerminalOptions {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly masker: Masker;
  /** Per stream; see `wantsColour`. */
  readonly colour: { readonly stdout: boolean; readonly stderr: boolean };
  /** Lines may be drawn again in place: a terminal, and nobody asked for plain text. */
  readonly redraws: boolean;
  /** Only results and errors. */
  readonly quiet: boolean;
}

const eraseBelow = '\x1b[0J';
const taskbarOff = '\x1b]9;4;0\x1b\\';

/**
 * Where all text leaves: results on standard output, progress, questions and errors on standard error. Each
 * line is made harmless, masked and painted here, so that no screen has to think of it. One element, one line.
 */
export class Terminal {
  readonly #options: TerminalOptions;
  readonly #out: MaskedWriter;
  readonly #err: MaskedWriter;
  #drawn = 0;
  #taskbar = false;

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#out = new MaskedWriter(options.masker, (text) => options.stdout.write(text));
    this.#err = new MaskedWriter(options.masker, (text) => options.stderr.write(text));
  }

  get redraws(): boolean {
    return this.#options.redraws;
  }

  /** What was asked for. */
  result(lines: readonly string[]): void {
    this.#erase();
    for (const line of lines) this.#out.write(this.#line(line, this.#options.colour.stdout));
  }

  /** The one JSON document of `--json`. */
  document(value: unknown): void {
    this.#out.write(`${harmlessJson(value, 2)}\n`);
  }

  /** A finished text as it is: scripts and pages for other programs. */
  raw(text: string): void {
    this.#out.write(text);
  }

  /** Progress; left out by `--quiet`. */
  note(lines: readonly string[]): void {
    if (!this.#options.quiet) this.alert(lines);
  }

  /** Errors, and what a question is about. */
  alert(lines: readonly string[]): void {
    this.#erase();
    for (const line of lines) this.#err.write(this.#line(line, this.#options.colour.stderr));
  }

  /** Replaces the lines drawn before; nothing where lines can't be drawn again. */
  draw(lines: readonly string[]): void {
    if (!this.#options.redraws || this.#options.quiet) return;
    this.#erase();
    const limit = (this.#options.stderr.columns ?? 80) - 1;
    for (const line of lines) {
      this.#err.write(this.#line([...oneLine(line)].slice(0, limit).join(''), this.#options.colour.stderr));
    }
    this.#err.flush();
    this.#drawn = lines.length;
  }

  /** A question, without a line break behind it. */
  question(text: string): void {
    this.#erase();
    this.#err.write(`${oneLine(text)} `);
    this.#err.flush();
  }

  /** Progress in the taskbar of terminals that know OSC 9;4: 0 to 100, null ends it. */
  taskbar(percent: number | null): void {
    if (!this.#options.redraws) return;
    if (percent !== null) this.#options.stderr.write(`\x1b]9;4;1;${Math.round(percent)}\x1b\\`);
    else if (this.#taskbar) this.#options.stderr.write(taskbarOff);
    this.#taskbar = percent !== null;
  }

  /** Text that some other code wrote to a stream: never onto standard output, which is for results. */
  foreign(text: string): void {
    this.alert(text.replace(/\n$/, '').split('\n'));
  }

  /** Everything is out and the terminal as it was. */
  finish(): void {
    this.taskbar(null);
    this.#erase();
    this.#out.flush();
    this.#err.flush();
  }

  #erase(): void {
    if (this.#drawn === 0) return;
    this.#options.stderr.write(`\x1b[${this.#drawn}A\r${eraseBelow}`);
    this.#drawn = 0;
  }

  #line(line: string, colour: boolean): string {
    const text = oneLine(this.#options.masker.mask(line));
    return `${colour ? paint(text) : text}\n`;
  }
}
