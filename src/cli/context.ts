import type { Configuration } from '../config/load.ts';
import type { Application, RunOptions } from '../domain/application.ts';
import type { Host } from './host.ts';
import type { Terminal } from './output/terminal.ts';
import type { Options } from './parse.ts';
import type { Prompt } from './prompt.ts';

/** What a command answers: one document for machines, the same as a screen for people, and the exit code. */
export interface Answer {
  readonly exit: number;
  readonly document: object;
  readonly screen: readonly string[];
}

export interface OpenedConfiguration extends Configuration {
  readonly environment: string;
  /** Folder that all state lies under. */
  readonly stateBase: string;
  /** Why this is not what stands in the file: it is the configuration of the last release. */
  readonly fallback?: string;
}

/** What every command works with. Nothing is read or opened before a command asks for it. */
export interface CommandContext {
  readonly host: Host;
  readonly arguments: readonly string[];
  readonly options: Options;
  readonly terminal: Terminal;
  /** `text` without the secrets of the configuration: for what is typed and then kept. */
  mask(text: string): string;
  readonly prompt: Prompt;
  /** The folder to work in: `--cwd`, else where the program was started. */
  readonly cwd: string;
  /** Aborts when the run is to pause: Ctrl-C, SIGTERM, `--timeout`. */
  readonly signal: AbortSignal;
  configuration(): Promise<OpenedConfiguration>;
  application(): Promise<Application>;
  /** Draws what happens, writes it to `--events`, and pauses on `signal`. */
  runOptions(): RunOptions;
}

export interface CommandModule {
  run(context: CommandContext): Promise<Answer>;
}
