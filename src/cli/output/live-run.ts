import { formatDuration } from '../../domain/duration.ts';
import type { ReportedError, RunEvent, StepEvent } from '../../domain/report.ts';
import { width, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

export interface LiveRunParts {
  readonly terminal: Terminal;
  /** Milliseconds that never go back. */
  now(): number;
  /** Calls `look` every `ms` until the returned function is called. */
  every(ms: number, look: () => void): () => void;
}

interface Running {
  readonly event: StepEvent;
  readonly text: string;
  /** When `ms` of the event was true, on our own clock. */
  readonly seenAt: number;
}

const drawEveryMs = 200;
/** A CI log that says nothing for minutes is taken for a hanging job. */
const heartbeatMs = 10_000;

/**
 * A run as it happens: whole lines for what is over; on a terminal the steps under way are drawn below them
 * again and again, elsewhere they are told every 10 seconds.
 */
export class LiveRun {
  readonly #parts: LiveRunParts;
  readonly #running = new Map<string, Running>();
  #stopTimer: (() => void) | undefined;
  #settled = 0;
  #beyondReturn = false;

  constructor(parts: LiveRunParts) {
    this.#parts = parts;
  }

  readonly onEvent = (event: RunEvent): void => {
    const { terminal } = this.#parts;
    if (event.type === 'run-started') {
      terminal.note([`Run ${event.run}. Ctrl-C pauses it safely.`]);
      this.#startTimer();
    } else if (event.type === 'note') {
      terminal.note([event.text]);
    } else if (event.type === 'step') {
      this.#startTimer();
      this.#onStep(event);
    }
    this.#draw();
    if (event.type === 'run-ended') this.end();
  };

  /** Safe to call twice, and without a run. */
  end(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#running.clear();
    this.#parts.terminal.draw([]);
    this.#parts.terminal.taskbar(null);
  }

  #onStep(event: StepEvent): void {
    const { terminal } = this.#parts;
    const { id } = event.step;
    if (event.state === 'started' && event.step.pointOfNoReturn && !this.#beyondReturn) {
      this.#beyondReturn = true;
      terminal.note(['--- no return below this line ---']);
    }
    if (event.state === 'started' || event.state === 'progress' || event.state === 'undoing') {
      const text = event.state === 'progress' ? event.text : event.step.title;
      // What a step tells of itself has no time of its own: its clock goes on.
      const elapsed = this.#elapsed(this.#running.get(id));
      const ms = event.state === 'progress' ? Math.max(event.ms, elapsed) : event.ms;
      this.#running.set(id, { event: { ...event, ms }, text, seenAt: this.#parts.now() });
      return;
    }
    if (event.state === 'retrying') {
      terminal.note(stepLines('warn', event, `${event.error.happened}; attempt ${event.attempt} follows`));
      return;
    }
    this.#running.delete(id);
    if (event.state === 'verified') terminal.note(stepLines('ok', event, event.observed));
    if (event.state === 'undone') terminal.note(stepLines('undo', event, event.observed ?? event.step.title));
    if (event.state === 'skipped') terminal.note(stepLines('skip', event, firstLine(event.error)));
    if (event.state === 'failed') terminal.alert(stepLines('FAIL', event, firstLine(event.error)));
    this.#settled += 1;
    terminal.taskbar(Math.min(100, (100 * this.#settled) / event.total));
  }

  #elapsed(running: Running | undefined): number {
    return running === undefined ? 0 : running.event.ms + this.#parts.now() - running.seenAt;
  }

  #startTimer(): void {
    if (this.#stopTimer !== undefined) return;
    const { terminal } = this.#parts;
    this.#stopTimer = terminal.redraws
      ? this.#parts.every(drawEveryMs, () => this.#draw())
      : this.#parts.every(heartbeatMs, () => terminal.note(this.#waiting().flat()));
  }

  #draw(): void {
    // One screen line a step: what is drawn again must not be longer than what is erased.
    this.#parts.terminal.draw(this.#waiting().map((lines) => lines[0] ?? ''));
  }

  #waiting(): readonly (readonly string[])[] {
    return [...this.#running.values()].map((running) => {
      const { event, text } = running;
      const status = event.state === 'undoing' ? 'undo' : 'wait';
      // A watch tells its own time, which a resumed one keeps; two clocks on one line confuse.
      const tellsTime = event.step.action === 'unship.watch' && event.state === 'progress';
      const time = tellsTime ? '' : elapsedOf(this.#elapsed(running), event.step.estimateMs);
      return stepLines(status, event, text, time);
    });
  }
}

/** The rest, the end of a log say, stands in the result in full width. */
function firstLine(error: ReportedError): string {
  return error.happened.split('\n')[0] ?? '';
}

/** `3 of about 4 s`, in whole units; beyond twice the estimate it says nothing any more. */
function elapsedOf(ms: number, estimateMs: number): string {
  const whole = ms < 120_000 ? `${Math.floor(ms / 1000)}` : `${Math.floor(ms / 60_000)}`;
  const unit = ms < 120_000 ? 's' : 'min';
  if (estimateMs < 1000 || ms > 2 * estimateMs) return `${whole} ${unit}`;
  const about = formatDuration(estimateMs >= 60_000 ? estimateMs : Math.round(estimateMs / 1000) * 1000);
  const aboutText = about.replace(/\.0 /, ' ');
  return aboutText.endsWith(` ${unit}`)
    ? `${whole} of about ${aboutText}`
    : `${whole} ${unit} of about ${aboutText}`;
}

/** `ok    3/9 database  212 archived, schema 17       2.0 s`; times stand last. */
function stepLines(status: string, event: StepEvent, text: string, time?: string): readonly string[] {
  const place = `${event.index}/${event.total}`.padEnd(2 * String(event.total).length + 2);
  const head = `${status.padEnd(6)}${place}${event.step.surface.padEnd(8)}  `;
  const shownTime = time ?? formatDuration(event.ms);
  const room = width - head.length - 12;
  const lines = wrap(text, room);
  return lines.map((line, index) => {
    const start = index === 0 ? head : ' '.repeat(head.length);
    return index === lines.length - 1 || time !== undefined
      ? `${start}${line.padEnd(Math.min(room, 34))}  ${shownTime}`.trimEnd()
      : `${start}${line}`;
  });
}
