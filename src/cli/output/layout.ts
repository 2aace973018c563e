import { oneLine } from './harmless.ts';

/** Screens are made for 80 columns, whatever the terminal has: they are pasted into tickets and chats. */
export const width = 80;
const labelWidth = 10;

/** Lines of at most `limit` characters, broken at spaces; what has none stays whole (hashes, paths). */
export function wrap(text: string, limit: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of oneLine(text).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > limit) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** `Label     text`, continued under the text; each of several texts begins a line. */
export function labelled(label: string, ...texts: readonly string[]): readonly string[] {
  const lines = texts.flatMap((text) => text.split('\n')).flatMap((text) => wrap(text, width - labelWidth));
  return lines.map((line, index) => `${(index === 0 ? label : '').padEnd(labelWidth)}${line}`.trimEnd());
}

/**
 * Rows in columns, two spaces apart. The column `elastic` takes the rest of the width and is continued below;
 * the others are as wide as their widest cell.
 */
export function table(rows: readonly (readonly string[])[], elastic: number): readonly string[] {
  const cells = rows.map((row) => row.map(oneLine));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = [...Array(columns).keys()].map((column) =>
    Math.max(0, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const others = widths.reduce((sum, one, column) => sum + (column === elastic ? 0 : one) + 2, -2);
  widths[elastic] = Math.max(20, Math.min(widths[elastic] ?? 0, width - others));
  return cells.flatMap((row) => rowLines(row, widths, elastic));
}

function rowLines(row: readonly string[], widths: readonly number[], elastic: number): readonly string[] {
  const wrapped = wrap(row[elastic] ?? '', widths[elastic] ?? width);
  return wrapped.map((part, index) =>
    widths
      .map((one, column) => (column === elastic ? part : index === 0 ? (row[column] ?? '') : '').padEnd(one))
      .join('  ')
      .trimEnd(),
  );
}

/** `1,392`. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** `1 row`, `2 rows`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** `24 MB`: decimal units, as disks and hosts count. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let amount = value;
  let unit = 0;
  for (; amount >= 999.5 && unit < units.length - 1; unit += 1) amount /= 1000;
  return `${unit > 0 && amount < 9.95 ? amount.toFixed(1) : Math.round(amount)} ${units[unit]}`;
}

/** `14:31:07`, in the time zone of whoever looks. */
export function clockTime(at: number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** `2026-03-02 14:31`, in the time zone of whoever looks. */
export function dateTime(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
