import type { CommandModule } from './context.ts';

/** What can be completed in a value's place. */
type ValueKind = 'releases' | 'runs' | 'surfaces' | 'environments' | 'files' | 'folders' | 'slugs';

export interface OptionSpecification {
  readonly name: string;
  readonly short?: string;
  /** Name of its value in the help; absent for a switch. */
  readonly value?: string;
  readonly kind?: ValueKind | readonly string[];
  readonly summary: string;
}

export interface ArgumentSpecification {
  readonly name: string;
  readonly required?: boolean;
  readonly kind?: ValueKind | readonly string[];
}

export const groups = ['In an emergency', 'Releasing', 'Looking', 'Data and desktop', 'Setting up'] as const;

export interface CommandSpecification {
  /** One word, or two: `release begin`. */
  readonly name: string;
  readonly group: (typeof groups)[number];
  readonly summary: string;
  /** Paragraphs below the usage line. */
  readonly details?: readonly string[];
  readonly arguments?: readonly ArgumentSpecification[];
  readonly options?: readonly OptionSpecification[];
  readonly examples?: readonly (readonly [command: string, what: string])[];
  /**
   * Works with the configuration of the last release when the file is missing or broken: a bad commit must
   * not lock anybody out of the way back.
   */
  readonly survivesBrokenConfiguration?: boolean;
  readonly load: () => Promise<CommandModule>;
}

export const globalOptions: readonly OptionSpecification[] = [
  {
    name: 'env',
    value: 'NAME',
    kind: 'environments',
    summary: 'environment; default the only one, or production',
  },
  {
    name: 'config',
    value: 'FILE',
    kind: 'files',
    summary: 'configuration file; default unship.config.ts here or above',
  },
  { name: 'cwd', value: 'DIR', kind: 'folders', summary: 'do as if started there' },
  {
    name: 'state-dir',
    value: 'DIR',
    kind: 'folders',
    summary: 'where state is kept; default the XDG state folder',
  },
  { name: 'dry-run', short: 'n', summary: 'show what would happen and change nothing' },
  { name: 'json', summary: 'one JSON document on standard output, also for errors' },
  { name: 'events', value: 'FILE', kind: 'files', summary: 'append what happens as JSON lines' },
  { name: 'yes', summary: 'confirm beforehand; never consents to losing data' },
  { name: 'timeout', value: 'T', summary: 'pause the run after so long: 30s, 10m' },
  { name: 'quiet', short: 'q', summary: 'no progress, only results and errors' },
  { name: 'debug', summary: 'show where an error came from' },
  { name: 'no-color', summary: 'no colour; NO_COLOR does the same' },
  { name: 'no-input', summary: 'ask nothing' },
  { name: 'version', short: 'v', summary: 'print the version' },
  { name: 'help', short: 'h', summary: 'print help; changes nothing, wherever it stands' },
];
