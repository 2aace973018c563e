// ESC and the other C0 and C1 controls steer a terminal; bidirectional and invisible marks make a text read
// as what it is not; the tag block hides whole sentences. Line breaks are the caller's business.
const harmful = /[^\P{Cc}\n]|\p{Cf}|[\u2028\u2029]/gu;

/** Outside text as a terminal may show it: every control character is written out (`\x1b`), line breaks stay. */
export function harmless(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(harmful, (character) => {
    if (character === '\t') return '  ';
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** As one line: a line break inside outside text could forge a line of ours. */
export function oneLine(text: string): string {
  return harmless(text).replace(/(?<!\s)\s*\n\s*/g, ' ');
}

/** JSON that is equal to a parser and harmless to a terminal: `JSON.stringify` leaves C1 and bidi as they are. */
export function harmlessJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(harmful, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
