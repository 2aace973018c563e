import { errorCatalogue } from '../domain/error-catalogue.ts';
import { exitCodePages } from './exit-codes.ts';
import { usageOf } from './help.ts';
import { globalOptions, groups, type OptionSpecification } from './specification.ts';
import { commands } from './table.ts';

/** The manual page in the man macros, made from the command table. */
export function manualPage(version: string): string {
  const lines = [
    `.TH UNSHIP 1 "" "unship ${roff(version)}" "User Commands"`,
    '.SH NAME',
    'unship \\- take a bad release back: web, desktop and database, together',
    '.SH SYNOPSIS',
    '.B unship',
    'COMMAND [arguments] [options]',
  ];
  for (const group of groups) {
    lines.push(`.SH ${roff(group.toUpperCase())}`);
    for (const command of commands.filter((one) => one.group === group)) {
      lines.push('.TP', `.B ${roff(usageOf(command))}`, `${roff(command.summary)}.`);
      for (const paragraph of command.details ?? []) lines.push('.IP', roff(paragraph));
      for (const option of command.options ?? []) {
        lines.push('.RS', '.TP', `.B ${spelled(option)}`, roff(option.summary), '.RE');
      }
      for (const [example, what] of command.examples ?? []) {
        lines.push('.RS', '.TP', `.I ${roff(example)}`, roff(what), '.RE');
      }
    }
  }
  lines.push('.SH OPTIONS');
  for (const option of globalOptions) lines.push('.TP', `.B ${spelled(option)}`, roff(option.summary));
  lines.push('.SH EXIT STATUS');
  for (const [code, text] of exitCodePages) lines.push('.TP', `.B ${code}`, roff(text));
  lines.push('.SH ERRORS', 'Each is explained by');
  lines.push('.BR "unship explain" :', roff(`${Object.keys(errorCatalogue).join(', ')}.`));
  return `${lines.join('\n')}\n`;
}

function spelled(option: OptionSpecification): string {
  const value = option.value === undefined ? '' : ` ${option.value}`;
  const short = option.short === undefined ? '' : `-${option.short}, `;
  return roff(`${short}--${option.name}${value}`);
}

/** A dash would become a hyphen that can't be copied; a leading dot or quote would be a command. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
}
