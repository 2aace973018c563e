import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

const statusStyles: { readonly [word: string]: Style } = {
  ok: 'green',
  warn: 'yellow',
  FAIL: ['red', 'bold'],
  wait: 'cyan',
  skip: 'dim',
  undo: 'magenta',
};

const status = /^(ok|warn|FAIL|wait|skip|undo)(?=\s|$)/;
const border = /^--- .+ ---$/;
const label = /^[A-Z][a-z]+( [a-z]+)?(?= {2,}\S)/;
const alarm = /\b(UNHEALTHY|LOSES)\b/g;

/**
 * Colour repeats what the words say, and nothing more: it is found from the finished line, so a screen is the
 * same text with and without.
 */
export function paint(line: string): string {
  if (border.test(line)) return style(['yellow', 'bold'], line);
  return line
    .replace(alarm, (word) => style(['red', 'bold'], word))
    .replace(status, (word) => style(statusStyles[word] ?? 'reset', word))
    .replace(label, (word) => style('bold', word));
}

function style(format: Style, text: string): string {
  return styleText(format, text, { validateStream: false });
}

/**
 * Decided here and per stream: `styleText`'s own FORCE_COLOR goes before NO_COLOR, with a warning. NO_COLOR
 * and `--no-color` win over everything.
 */
export function wantsColour(
  stream: { readonly isTTY?: boolean },
  environment: { readonly [name: string]: string | undefined },
  noColour: boolean,
): boolean {
  const isSet = (name: string): boolean => (environment[name] ?? '') !== '';
  if (noColour || isSet('NO_COLOR') || environment.UNSHIP_PLAIN === '1') return false;
  if (isSet('FORCE_COLOR')) return environment.FORCE_COLOR !== '0' && environment.FORCE_COLOR !== 'false';
  return stream.isTTY === true && environment.TERM !== 'dumb';
}
