import { resolve } from 'node:path';
import type { Application, RunOptions } from '../domain/application.ts';
import type { CommandContext, OpenedConfiguration } from './context.ts';
import { EventsFile } from './events-file.ts';
import type { Host } from './host.ts';
import type { OpenParts } from './open.ts';
import { LiveRun } from './output/live-run.ts';
import type { Masker } from './output/mask.ts';
import type { Terminal } from './output/terminal.ts';
import type { Invocation } from './parse.ts';
import { Prompt } from './prompt.ts';

/** One command from start to end: opens things once, when they are asked for, and closes what it opened. */
export class CommandSession {
  readonly #host: Host;
  readonly #terminal: Terminal;
  readonly #masker: Masker;
  readonly #invocation: Invocation;
  readonly #pause = new AbortController();
  readonly #cwd: string;
  readonly #events: EventsFile | undefined;
  readonly #live: LiveRun;
  #configuration: Promise<OpenedConfiguration> | undefined;
  #application: Promise<Application> | undefined;
  #stopTimeout: (() => void) | undefined;

  constructor(host: Host, terminal: Terminal, masker: Masker, invocation: Invocation) {
    this.#host = host;
    this.#terminal = terminal;
    this.#masker = masker;
    this.#invocation = invocation;
    const { options } = invocation;
    this.#cwd = resolve(host.cwd, options.text('cwd') ?? '.');
    const limit = options.duration('timeout');
    const events = options.text('events');
    this.#events = events === undefined ? undefined : new EventsFile(this.#cwd, events, masker, host.now);
    this.#live = new LiveRun({ terminal, now: host.monotonic, every: host.every });
    if (limit !== undefined) this.#stopTimeout = host.every(limit, () => this.#onTimeout());
  }

  context(): CommandContext {
    const { options, arguments: words } = this.#invocation;
    return {
      host: this.#host,
      arguments: words,
      options,
      terminal: this.#terminal,
      mask: (text) => this.#masker.mask(text),
      prompt: new Prompt(this.#host, this.#terminal, options.flag('no-input')),
      cwd: this.#cwd,
      signal: this.#pause.signal,
      configuration: () => this.#openConfiguration(),
      application: () => this.#openApplication(),
      runOptions: () => this.#runOptions(),
    };
  }

  /** False when it was asked before: whoever asks twice means now. */
  pause(): boolean {
    if (this.#pause.signal.aborted) return false;
    this.#pause.abort();
    return true;
  }

  async close(): Promise<void> {
    this.#stopTimeout?.();
    this.#live.end();
    this.#events?.close();
    const application = await this.#application?.catch(() => undefined);
    await application?.close();
  }

  #onTimeout(): void {
    this.#stopTimeout?.();
    if (this.pause()) this.#terminal.note(['The time is over; pausing after the step under way.']);
  }

  #parts(): OpenParts {
    const { command } = this.#invocation;
    return {
      host: this.#host,
      options: this.#invocation.options,
      cwd: this.#cwd,
      masker: this.#masker,
      survivesBrokenConfiguration: command === undefined || command.survivesBrokenConfiguration === true,
    };
  }

  #openConfiguration(): Promise<OpenedConfiguration> {
    this.#configuration ??= this.#loadConfiguration();
    return this.#configuration;
  }

  async #loadConfiguration(): Promise<OpenedConfiguration> {
    // Help and explanations must not wait for what only a configuration needs.
    const { openConfiguration } = await import('./open.ts');
    const opened = await openConfiguration(this.#parts());
    if (opened.fallback !== undefined) {
      this.#terminal.note([
        'warn  the configuration is broken; this is the one of the last release',
        ...opened.fallback.split('\n').map((line) => `      ${line}`),
      ]);
    }
    return opened;
  }

  #openApplication(): Promise<Application> {
    this.#application ??= this.#openConfiguration().then(async (opened) => {
      const { openApplication } = await import('./open.ts');
      return await openApplication(this.#parts(), opened);
    });
    return this.#application;
  }

  #runOptions(): RunOptions {
    return {
      signal: this.#pause.signal,
      onEvent: (event) => {
        this.#events?.write(event);
        this.#live.onEvent(event);
      },
    };
  }
}
