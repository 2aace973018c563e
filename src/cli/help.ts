import { width, wrap } from './output/layout.ts';
import {
  type CommandSpecification,
  globalOptions,
  groups,
  type OptionSpecification,
} from './specification.ts';
import { commands } from './table.ts';

/** `unship rollback [R] [--only S,…]`: what comes after the name. */
export function usageOf(command: CommandSpecification): string {
  const words = (command.arguments ?? []).map((one) => (one.required === true ? one.name : `[${one.name}]`));
  const hasOptions = (command.options ?? []).length > 0;
  return ['unship', command.name, ...words, ...(hasOptions ? ['[options]'] : [])].join(' ');
}

/** `-m, --reason TEXT`. */
function spelling(option: OptionSpecification): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  return `${short}--${option.name}${option.value === undefined ? '' : ` ${option.value}`}`;
}

function columns(rows: readonly (readonly [left: string, right: string])[], left: number): readonly string[] {
  return rows.flatMap(([term, text]) =>
    wrap(text, width - left - 4).map((line, index) => `  ${(index === 0 ? term : '').padEnd(left)}  ${line}`),
  );
}

/** The page of `unship --help`. */
export function overview(): readonly string[] {
  const lines = [
    'unship takes a bad release back: web, desktop and database, together.',
    '',
    'Usage     unship COMMAND [arguments] [options]',
    '          unship            status, and what is missing',
  ];
  for (const group of groups) {
    const members = commands.filter((command) => command.group === group);
    lines.push(
      '',
      group,
      ...columns(
        members.map((one) => [nameColumn(one), one.summary]),
        17,
      ),
    );
  }
  lines.push('', 'Options for every command');
  lines.push(
    ...columns(
      globalOptions.map((option) => [spelling(option), option.summary]),
      19,
    ),
  );
  lines.push('', 'More      unship help COMMAND, unship explain exit-codes');
  return lines;
}

function nameColumn(command: CommandSpecification): string {
  const first = command.arguments?.[0];
  if (first === undefined || command.name.includes(' ')) return command.name;
  return `${command.name} ${first.required === true ? first.name : `[${first.name}]`}`;
}

/** The page of `unship help COMMAND`. */
export function commandPage(command: CommandSpecification): readonly string[] {
  const lines = [`Usage     ${usageOf(command)}`, '', ...wrap(`${sentence(command.summary)}.`, width)];
  for (const paragraph of command.details ?? []) lines.push('', ...wrap(paragraph, width));
  const options = command.options ?? [];
  if (options.length > 0) {
    const left = Math.max(...options.map((option) => spelling(option).length));
    lines.push(
      '',
      'Options',
      ...columns(
        options.map((option) => [spelling(option), option.summary]),
        left,
      ),
    );
  }
  if (command.examples !== undefined) {
    const left = Math.max(...command.examples.map(([example]) => example.length));
    lines.push('', 'Examples', ...columns(command.examples, left));
  }
  const subcommands = commands.filter((one) => one.name.startsWith(`${command.name} `));
  if (subcommands.length > 0) lines.push('', 'See also', ...listOf(subcommands));
  lines.push('', 'More      unship --help shows the options for every command');
  return lines;
}

/** The page of a word that only begins commands: `unship help migrations`. */
export function familyPage(family: readonly CommandSpecification[]): readonly string[] {
  return ['Commands', ...listOf(family), '', 'More      unship help COMMAND'];
}

function listOf(family: readonly CommandSpecification[]): readonly string[] {
  return columns(
    family.map((one) => [one.name, one.summary]),
    17,
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
