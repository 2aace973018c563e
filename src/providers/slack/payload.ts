import type { Message } from '../../incident/communication.port.ts';

/** What is posted. `text` is what notifications show, and all that Mattermost and Rocket.Chat read. */
export interface SlackPayload {
  readonly text: string;
  /** No markup is read out of `text`. */
  readonly mrkdwn: false;
  readonly blocks: readonly SlackBlock[];
}

type SlackBlock =
  | { readonly type: 'header'; readonly text: PlainText }
  | { readonly type: 'section'; readonly text: PlainText };

interface PlainText {
  readonly type: 'plain_text';
  readonly text: string;
  readonly emoji: false;
}

// Slack's own limits, in characters.
const headerLimit = 150;
const sectionLimit = 3_000;
const lineLimit = 1_000;

// Characters that draw nothing, or draw the text in another order than it stands.
const invisible = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
const wordJoiner = '\u2060';

/** Outside text on one line, without what draws nothing or draws in another order. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replace(invisible, '').trim();
}

/**
 * One line of outside text as Slack's API wants it: `&`, `<` and `>` as entities, which is all that makes a
 * mention or a link there. An invisible joiner breaks what Mattermost and Rocket.Chat read out of plain text:
 * `@channel`, `[text](link)`, emphasis and code. Names with underscores inside stay as they can be copied.
 */
export function escapeSlack(text: string): string {
  return oneLine(text)
    .replace(/[@*~`!\]](?=\S)|(?<![\p{L}\p{N}])_(?=\S)/gu, `$&${wordJoiner}`)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
}

/** Cut at `limit` characters of what is shown, and never inside of an entity or a surrogate pair. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit - 1).replace(/(&[a-z]{0,4}|[\uD800-\uDBFF])$/, '')}…`;
}

function plain(text: string): PlainText {
  return { type: 'plain_text', text, emoji: false };
}

export function slackPayload(message: Message): SlackPayload {
  const title = escapeSlack(message.title);
  const lines = message.lines.map((line) => cut(escapeSlack(line), lineLimit)).filter((line) => line !== '');
  const body = cut(lines.join('\n'), sectionLimit);
  return {
    text: cut([title, ...lines].join('\n'), sectionLimit),
    mrkdwn: false,
    blocks: [
      { type: 'header', text: plain(cut(title === '' ? 'unship' : title, headerLimit)) },
      ...(body === '' ? [] : [{ type: 'section', text: plain(body) } as const]),
    ],
  };
}
