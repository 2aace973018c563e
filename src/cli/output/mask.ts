import { harmlessJson } from './harmless.ts';

const mask = '***';
/** Shorter pieces of a secret stand in ordinary text by chance. */
const shortestPiece = 8;

/**
 * Takes registered values out of every text that leaves, in whatever form they were written: raw, line by
 * line, base64 and base64url (also inside a longer value), hexadecimal, URL- and JSON-escaped.
 */
export class Masker {
  #forms: string[] = [];
  #rule: RegExp | undefined;

  register(values: readonly string[]): void {
    const forms = new Set(this.#forms);
    for (const value of values) for (const form of formsOf(value)) forms.add(form);
    // Longest first, or a piece would be masked and the rest of the whole would stay readable.
    this.#forms = [...forms].sort((a, b) => b.length - a.length);
    this.#rule = this.#forms.length === 0 ? undefined : new RegExp(this.#forms.map(literal).join('|'), 'g');
  }

  mask(text: string): string {
    return this.#rule === undefined ? text : text.replace(this.#rule, mask);
  }

  secretsIn(text: string): readonly (readonly [from: number, to: number])[] {
    if (this.#rule === undefined) return [];
    return [...text.matchAll(this.#rule)].map(({ index, 0: found }) => [index, index + found.length]);
  }

  /**
   * How much of `text` can leave before its continuation is known: a secret may begin at its end. Never cuts
   * through something that would be masked.
   */
  safeLength(text: string): number {
    if (this.#rule === undefined) return text.length;
    let safe = text.length - this.#openTail(text);
    for (const match of text.matchAll(this.#rule)) {
      if (match.index < safe && match.index + match[0].length > safe) safe = match.index;
    }
    return safe;
  }

  /** Length of the longest end of `text` that some form begins with and goes beyond. */
  #openTail(text: string): number {
    let longest = 0;
    for (const form of this.#forms) {
      for (let length = Math.min(form.length - 1, text.length); length > longest; length -= 1) {
        if (text.endsWith(form.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}

/** Masks a text that comes in pieces: a secret that is cut by the border between two pieces is found too. */
export class MaskedWriter {
  readonly #masker: Masker;
  readonly #write: (text: string) => void;
  #held = '';

  constructor(masker: Masker, write: (text: string) => void) {
    this.#masker = masker;
    this.#write = write;
  }

  write(text: string): void {
    const all = this.#held + text;
    const safe = this.#masker.safeLength(all);
    this.#held = all.slice(safe);
    if (safe > 0) this.#write(this.#masker.mask(all.slice(0, safe)));
  }

  /** Lets out what is held back, masked as far as it goes. */
  flush(): void {
    const held = this.#held;
    this.#held = '';
    if (held !== '') this.#write(this.#masker.mask(held));
  }
}

function formsOf(value: string): Set<string> {
  const forms = new Set<string>();
  const lines = value.split(/\r?\n/).filter((line) => line.length >= shortestPiece);
  for (const piece of [value, value.trim(), ...lines.flatMap(wordAlignedPieces), ...secretParts(value)]) {
    if (piece.length < shortestPiece) continue;
    for (const form of encodingsOf(piece)) if (form.length >= shortestPiece) forms.add(form);
  }
  return forms;
}

/**
 * Of an address: a server that is asked knows the path alone and may say it back. Short parts, and those that read
 * like a word (`notifications`), stand in ordinary text too.
 */
function secretParts(value: string): readonly string[] {
  if (!/^https?:\/\//i.test(value.trim()) || !URL.canParse(value.trim())) return [];
  const { pathname, search, username, password, searchParams } = new URL(value.trim());
  const parts = [...pathname.split('/'), ...searchParams.values(), username, password];
  return [
    `${pathname}${search}`,
    pathname,
    ...parts.filter((part) => part.length > 8 && /[0-9A-Z]/.test(part)),
  ];
}

/** Screens wrap at spaces, so a line may end or begin inside a passphrase. */
function wordAlignedPieces(line: string): readonly string[] {
  const words = line.trim().split(/\s+/);
  if (words.length > 50) return [line, line.trim()];
  const starts = words.map((_, index) => words.slice(0, index + 1).join(' '));
  const ends = words.map((_, index) => words.slice(index).join(' '));
  return [line, line.trim(), ...starts, ...ends];
}

function encodingsOf(piece: string): readonly string[] {
  const bytes = Buffer.from(piece, 'utf8');
  const hex = bytes.toString('hex');
  // What is no whole character can't be URL-encoded; as UTF-8 it becomes a replacement character.
  const wellFormed = bytes.toString('utf8');
  const json = JSON.stringify(piece).slice(1, -1);
  const url = percent(encodeURIComponent(wellFormed));
  return [
    piece,
    hex,
    hex.toUpperCase(),
    json,
    JSON.stringify(json).slice(1, -1),
    json.replaceAll('/', '\\/'),
    asciiJson(json),
    harmlessJson(piece).slice(1, -1),
    ...url,
    ...url.map((form) => form.replaceAll('%20', '+')),
    ...percent(encodeURI(wellFormed)),
    piece.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
    ...base64Forms(bytes),
  ];
}

/** As Python's json.dumps writes what is not ASCII. */
function asciiJson(json: string): string {
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Both spellings of the hexadecimal digits, with and without what `encodeURIComponent` leaves bare. */
function percent(encoded: string): readonly string[] {
  const strict = encoded.replace(
    /[!'()*~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return [encoded, strict].flatMap((form) => [
    form,
    form.replace(/%[0-9A-F]{2}/g, (escaped) => escaped.toLowerCase()),
  ]);
}

/**
 * Whole, and what is the same wherever the value stands inside a longer one (`user:secret` of basic
 * authentication): three alignments, without the digits that neighbours share.
 */
function base64Forms(bytes: Buffer): readonly string[] {
  const forms = [bytes.toString('base64')];
  for (const shift of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replaceAll('=', '');
    const first = [0, 2, 3][shift] ?? 0;
    const last = (shift + bytes.length) % 3 === 0 ? text.length : text.length - 1;
    forms.push(text.slice(first, last));
  }
  return forms.flatMap((form) => [
    form,
    form.replaceAll('=', ''),
    form.replaceAll('+', '-').replaceAll('/', '_'),
    form.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
  ]);
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
