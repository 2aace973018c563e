import { parseArgs } from 'node:util';
import { parseDuration } from '../domain/duration.ts';
import { UnshipError } from '../domain/errors.ts';
import { type CommandSpecification, globalOptions, type OptionSpecification } from './specification.ts';
import { suggestion } from './suggest.ts';
import { commands, defaultSubcommands } from './table.ts';

/** Everything that was typed, understood, before anything is read or done. */
export interface Invocation {
  /** Undefined for a bare `unship`. */
  readonly command: CommandSpecification | undefined;
  readonly arguments: readonly string[];
  readonly options: Options;
}

export class Options {
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(values: ReadonlyMap<string, string | true>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.has(name);
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return value === true ? undefined : value;
  }

  /** `web,desktop` as a list; undefined when the option was not given. */
  list(name: string): readonly string[] | undefined {
    return this.text(name)
      ?.split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  }

  /** A whole number above 0. Throws `usage-invalid`. */
  count(name: string, fallback: number): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
    throw usage(`--${name} takes a whole number above 0, not \`${text}\``);
  }

  /** Milliseconds. Throws `usage-invalid`. */
  duration(name: string): number | undefined {
    const text = this.text(name);
    const ms = text === undefined ? undefined : parseDuration(text);
    if (text !== undefined && ms === undefined) {
      throw usage(`--${name} takes a duration such as 30s or 10m, not \`${text}\``);
    }
    return ms;
  }
}

export function usage(happened: string, next?: string): UnshipError {
  return new UnshipError('usage-invalid', {
    happened,
    done: 'nothing',
    ...(next === undefined ? {} : { next }),
  });
}

/** Whether `--json` was typed, even where nothing else could be understood: the error is to be JSON too. */
export function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json');
}

/** Throws `unknown-command` or `usage-invalid`. With `--help` anywhere nothing else matters. */
export function parseCommandLine(argv: readonly string[]): Invocation {
  const everyOption = [...globalOptions, ...commands.flatMap((command) => command.options ?? [])];
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      everyOption.map((option) => [
        option.name,
        {
          type: option.value === undefined ? ('boolean' as const) : ('string' as const),
          ...(option.short === undefined ? {} : { short: option.short }),
        },
      ]),
    ),
  });
  const given = tokens.filter((token) => token.kind === 'option');
  const words = tokens.filter((token) => token.kind === 'positional').map((token) => token.value);
  if (given.some((token) => token.name === 'help')) return helpInvocation(words);
  const { command, rest } = findCommand(words);
  const known = [...globalOptions, ...(command?.options ?? [])];
  const values = new Map<string, string | true>();
  for (const token of given) {
    const option = known.find((one) => one.name === token.name);
    if (option === undefined) throw unknownOption(token.rawName, known, command);
    values.set(option.name, givenValue(option, token));
  }
  if (!values.has('version')) checkArguments(command, rest);
  return { command, arguments: rest, options: new Options(values) };
}

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function givenValue(option: OptionSpecification, token: OptionToken): string | true {
  if (option.value === undefined) {
    if (token.value !== undefined) throw usage(`${token.rawName} takes no value`);
    return true;
  }
  // `--env --json` forgot a value: the next option is none. A value that begins with a dash needs `=`.
  if (
    token.value === undefined ||
    token.value === '' ||
    (!token.inlineValue && token.value.startsWith('-'))
  ) {
    throw usage(`${token.rawName} needs a value: ${token.rawName} ${option.value}`);
  }
  if (Array.isArray(option.kind) && !option.kind.includes(token.value)) {
    throw usage(`${token.rawName} takes ${option.kind.join(', ')}; not \`${token.value}\``);
  }
  return token.value;
}

function helpInvocation(words: readonly string[]): Invocation {
  const { command } = findCommandOrNone(words);
  return {
    command: commands.find((one) => one.name === 'help'),
    arguments:
      command?.name.split(' ') ?? (words[0] !== undefined && isGroupWord(words[0]) ? [words[0]] : []),
    options: new Options(new Map()),
  };
}

interface Found {
  readonly command: CommandSpecification | undefined;
  readonly rest: readonly string[];
}

/** Two words go before one: `release begin` is not `release` of a ref `begin`. */
function findCommandOrNone(words: readonly string[]): Found {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const command = words.length >= length ? commands.find((one) => one.name === name) : undefined;
    if (command !== undefined) return { command, rest: words.slice(length) };
  }
  return { command: undefined, rest: words };
}

function findCommand(words: readonly string[]): Found {
  const [first, second] = words;
  if (first === undefined) return { command: undefined, rest: [] };
  const found = findCommandOrNone(words);
  if (found.command !== undefined) return found;
  const subcommands = commands.filter((one) => one.name.startsWith(`${first} `)).map((one) => one.name);
  const fallback = defaultSubcommands[first];
  if (second === undefined && fallback !== undefined) return findCommandOrNone(fallback.split(' '));
  if (subcommands.length > 0) {
    const near = second === undefined ? undefined : suggestion(`${first} ${second}`, subcommands);
    throw unknown(
      second === undefined
        ? `${first} needs a word more: ${subcommands.join(', ')}`
        : `there is no \`${first} ${second}\``,
      near === undefined ? `unship help ${first}` : `unship ${near}`,
    );
  }
  const near =
    otherWords[first] ??
    suggestion(first, [...new Set(commands.flatMap((one) => [one.name, one.name.split(' ')[0] ?? '']))]);
  throw unknown(
    `there is no command \`${first}\`${near === undefined ? '' : `; did you mean \`${near}\`?`}`,
    near === undefined ? 'unship --help' : ['unship', near, ...words.slice(1)].join(' '),
  );
}

/** What other tools call it. */
const otherWords: { readonly [word: string]: string } = Object.assign(Object.create(null), {
  history: 'runs',
  log: 'runs',
  list: 'releases',
  deploy: 'release',
  revert: 'rollback',
  check: 'doctor',
});

function isGroupWord(word: string): boolean {
  return commands.some((one) => one.name.startsWith(`${word} `));
}

function unknown(happened: string, next: string): UnshipError {
  return new UnshipError('unknown-command', { happened, done: 'nothing', next });
}

function unknownOption(
  rawName: string,
  known: readonly OptionSpecification[],
  command: CommandSpecification | undefined,
): UnshipError {
  const near = suggestion(
    rawName.replace(/^-+/, ''),
    known.map((option) => option.name),
  );
  const where = command === undefined ? 'unship' : `unship ${command.name}`;
  return unknown(
    `${where} has no option \`${rawName}\`${near === undefined ? '' : `; did you mean \`--${near}\`?`}`,
    `${where} --help`,
  );
}

function checkArguments(command: CommandSpecification | undefined, rest: readonly string[]): void {
  const wanted = command?.arguments ?? [];
  const missing = wanted.find((argument, index) => argument.required === true && rest[index] === undefined);
  const name = command?.name ?? '';
  if (missing !== undefined) throw usage(`${name} needs ${missing.name}`, `unship ${name} --help`);
  const tooMany = rest[wanted.length];
  if (tooMany !== undefined) throw usage(`${name} does not take \`${tooMany}\``, `unship ${name} --help`);
  for (const [index, value] of rest.entries()) {
    const argument = wanted[index];
    const kinds = argument?.kind;
    if (Array.isArray(kinds) && !kinds.includes(value)) {
      throw usage(`${argument?.name} is ${kinds.join(', ')}; not \`${value}\``, `unship ${name} --help`);
    }
    if (value === '' || value.startsWith('-')) throw usage(`\`${value}\` is no ${argument?.name}`);
  }
}
