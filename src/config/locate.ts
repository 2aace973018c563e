/** A key as it stands in the source text, and how deep inside brackets. */
interface KeyToken {
  readonly key: string;
  readonly offset: number;
  readonly depth: number;
}

interface Scan {
  readonly keys: readonly KeyToken[];
  /** Offsets of closing brackets and the depth after each. */
  readonly closings: readonly { readonly offset: number; readonly depth: number }[];
}

/**
 * Line (from 1) on which a setting stands in the configuration's text, or that of its nearest parent that is
 * written there; undefined when none is. A search, no parser: values that are computed elsewhere are not found.
 */
export function lineOf(text: string, path: readonly (string | number)[]): number | undefined {
  const scanned = scan(text);
  let found: KeyToken | undefined;
  let from = 0;
  let to = text.length;
  for (const part of path) {
    const candidates = scanned.keys.filter(
      (token) => token.key === String(part) && token.offset >= from && token.offset < to,
    );
    // Parts that are not written (list positions, the `options` that a factory adds) are passed over.
    if (candidates.length === 0) continue;
    found = candidates.reduce((best, token) => (token.depth < best.depth ? token : best));
    const depth = found.depth;
    from = found.offset + 1;
    to = scanned.closings.find((one) => one.offset >= from && one.depth < depth)?.offset ?? text.length;
  }
  return found === undefined ? undefined : text.slice(0, found.offset).split('\n').length;
}

const skipped = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
const quoted = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`/y;
const identifier = /[A-Za-z_$][\w$]*/y;
const keyEnd = /\s*(?=[:,}])/y;

function scan(text: string): Scan {
  const keys: KeyToken[] = [];
  const closings: { offset: number; depth: number }[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; ) {
    const comment = matchAt(skipped, text, at);
    if (comment !== undefined) {
      at += comment.length;
      continue;
    }
    const word = matchAt(quoted, text, at) ?? matchAt(identifier, text, at);
    if (word !== undefined) {
      const isKey = matchAt(keyEnd, text, at + word.length) !== undefined;
      if (isKey) keys.push({ key: word.replace(/^['"`]|['"`]$/g, ''), offset: at, depth });
      at += word.length;
      continue;
    }
    const character = text[at];
    if (character === '{' || character === '(' || character === '[') depth += 1;
    if (character === '}' || character === ')' || character === ']') {
      depth -= 1;
      closings.push({ offset: at, depth });
    }
    at += 1;
  }
  return { keys, closings };
}

function matchAt(rule: RegExp, text: string, at: number): string | undefined {
  rule.lastIndex = at;
  return rule.exec(text)?.[0];
}
