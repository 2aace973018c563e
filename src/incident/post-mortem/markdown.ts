// Characters that draw nothing, or draw the text in another order than it stands.
const invisible = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
const joiner = '\u2060';

/**
 * Outside text (a commit's subject, an error's message) as one line of Markdown that says what it says and does
 * nothing: no element, link, image, mention, reference, table cell or new line. Escaping alone is not enough for
 * `@name`, `#12` and addresses, which GitHub and GitLab look for in what is shown: an invisible joiner breaks
 * them.
 */
export function escapeMarkdown(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(invisible, '')
    .trim()
    .replace(/[\\`*_{}[\]<>&|~$#@!^]/g, '\\$&')
    .replace(/^([-+=:])/, '\\$1')
    .replace(/^(\d+)([.)])/, '$1\\$2')
    .replace(/[@#!]/g, `$&${joiner}`)
    .replace(/:(?=\/\/)|\/(?=\/)/g, `$&${joiner}`)
    .replace(/www(?=\.)/gi, `$&${joiner}`);
}

/** `text` cut to `limit` characters of what it says, then escaped. */
export function shortMarkdown(text: string, limit: number): string {
  const characters = [...text.replace(/\s+/g, ' ').trim()];
  return escapeMarkdown(characters.length > limit ? `${characters.slice(0, limit - 1).join('')}…` : text);
}

/** A table; cells must be Markdown already. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join('\n');
}
