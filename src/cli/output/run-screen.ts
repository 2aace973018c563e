import { formatDuration } from '../../domain/duration.ts';
import type { RunResult } from '../../domain/report.ts';
import type { RunStatus } from '../../domain/run.ts';
import { kindWords } from '../exit-codes.ts';
import { count, labelled, plural } from './layout.ts';

/** How a run ended: what was seen, what became of the data, what was not done, what stays, what comes next. */
export function runScreen(result: RunResult, wanted: RunStatus = 'done'): readonly string[] {
  const { requests, data, error } = result;
  const lines = [headline(result, wanted)];
  if (error !== undefined) lines.push(...labelled('Happened', `${error.slug}: ${error.happened}`));
  if (error?.done !== undefined) lines.push(...labelled('Done', error.done));
  if (result.observed.length > 0) lines.push(...labelled('Observed', result.observed.join(', ')));
  if (requests !== undefined) {
    const held = requests.heldMs > 0 ? `, writes held ${formatDuration(requests.heldMs)}` : '';
    lines.push(
      ...labelled('Requests', `${count(requests.failed)} of ${count(requests.total)} failed${held}`),
    );
  }
  if (data !== null) {
    lines.push(...labelled('Data', dataText(data)));
  }
  if (result.notDone.length > 0) lines.push(...labelled('Not done', ...result.notDone));
  if (result.open.length > 0) lines.push(...labelled('Open', result.open.join(', ')));
  lines.push(...nextLines(result));
  return lines;
}

function dataText({ kept, archived, lost, withheld = 0 }: NonNullable<RunResult['data']>): string {
  const counts = [`${plural(kept, 'row')} kept`, `${count(archived)} archived`];
  if (lost > 0 || withheld === 0) counts.push(`${count(lost)} lost`);
  if (withheld === 0) return counts.join(', ');
  return `${[...counts, `${count(withheld)} NOT given back`].join(', ')}\nnot given back: kept in the record that the incident names`;
}

function headline(result: RunResult, wanted: RunStatus): string {
  const { kind, status, run } = result;
  const words = kindWords[kind];
  const time = formatDuration(result.ms);
  const way = wayOf(result);
  switch (status) {
    case 'done':
      if (result.next[0]?.command === 'unship release finish') return `Begun${way} in ${time}.`;
      return `${words.done}${way} in ${time}.`;
    case 'undone':
      return wanted === 'undone'
        ? `Cancelled run ${run}: ${words.noun.toLowerCase()}${way} undone in ${time}.`
        : `FAIL  ${words.noun}${way} failed and was undone in ${time}.`;
    case 'failed':
      return `FAIL  ${words.noun}${way} failed after ${time}.`;
    case 'blocked':
      return `FAIL  ${words.noun}${way} is blocked after ${time}; what is done stays done.`;
    case 'superseded':
      return `FAIL  ${words.noun}${way} was superseded by another run.`;
    case 'waiting':
      return `wait  Run ${run} waits; ${words.noun.toLowerCase()}${way} is not done.`;
    default:
      return `wait  Run ${run} is paused after ${time}; what is done stays done.`;
  }
}

function wayOf({ kind, from, to }: RunResult): string {
  if (kind === 'release' && to !== null) return ` ${to}`;
  return from === null && to === null ? '' : ` ${from ?? 'nothing'} -> ${to ?? 'nothing'}`;
}

function nextLines(result: RunResult): readonly string[] {
  const longest = Math.max(0, ...result.next.map((one) => one.command.length));
  const texts = result.next.map(({ command, note }) =>
    note === undefined ? command : `${command.padEnd(longest)}  ${note}`,
  );
  // What was undone is to be tried again, once its cause is mended.
  const mends = texts.length === 0 || result.status === 'undone' ? result.error?.next : undefined;
  if (mends !== undefined) return [...labelled('Next', mends), ...texts.map((text) => ' '.repeat(10) + text)];
  // Not through `labelled`: it would fold the two spaces between command and note.
  return texts.map((text, index) => `${(index === 0 ? 'Next' : '').padEnd(10)}${text}`);
}
