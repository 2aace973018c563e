import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventsFile } from '../../src/cli/events-file.ts';
import { harmless, harmlessJson, oneLine } from '../../src/cli/output/harmless.ts';
import { MaskedWriter, Masker } from '../../src/cli/output/mask.ts';
import { Terminal } from '../../src/cli/output/terminal.ts';
import { drive } from './program.ts';
import { sampleStatus } from './samples.ts';

const pem = [
  '-----BEGIN KEY-----',
  'MIIEvgIBADANBgkqhkiG9w0',
  'BAQEFAASCBKgwggSkAgEAAo',
  '-----END KEY-----',
].join('\n');
const canaries: readonly string[] = [
  'canary-plain-0123456789',
  'https://hooks.example.com/services/T0/B0/p4ss?word=a&b="c"',
  'päss wörd with ünicode ☃ and spaces',
  'quote"back\\slash\ttab/solidus<tag>',
  pem,
];

function maskerOf(...values: string[]): Masker {
  const masker = new Masker();
  masker.register(values);
  return masker;
}

/** Every way that control 7 names, and the ones that are met in the wild. */
const encodings: readonly (readonly [name: string, encode: (value: string) => string])[] = [
  ['raw', (value) => value],
  ['base64', (value) => Buffer.from(value).toString('base64')],
  ['base64url', (value) => Buffer.from(value).toString('base64url')],
  ['hex', (value) => Buffer.from(value).toString('hex')],
  ['HEX', (value) => Buffer.from(value).toString('hex').toUpperCase()],
  ['URL component', encodeURIComponent],
  ['URL in lower case', (value) => encodeURIComponent(value).replace(/%../g, (one) => one.toLowerCase())],
  ['form', (value) => new URLSearchParams({ v: value }).toString().slice(2)],
  ['JSON', (value) => JSON.stringify(value).slice(1, -1)],
  ['JSON in JSON', (value) => JSON.stringify(JSON.stringify(value)).slice(3, -3)],
];

test('control 7: every encoding of every canary is masked', () => {
  for (const value of canaries) {
    const masker = maskerOf(value);
    for (const [name, encode] of encodings) {
      const text = `before ${encode(value)} after`;
      assert.equal(masker.mask(text), 'before *** after', `${name} of ${JSON.stringify(value)}`);
    }
  }
});

test('control 7: of an address, what the server that is asked can say back is masked in every encoding', () => {
  const [part, path] = ['p4ssw0rd-of-a-hook', '/services/T0/p4ssw0rd-of-a-hook'];
  const masker = maskerOf(`https://hooks.example.com${path}`);
  for (const [name, encode] of encodings) {
    for (const piece of [part, path]) assert.equal(masker.mask(`a ${encode(piece)} b`), 'a *** b', name);
  }
  const joined = Buffer.from(`POST ${path}?x=y`).toString('base64');
  assert.match(masker.mask(joined), /\*\*\*/);
  assert.equal(masker.mask('services of hooks.example.com'), 'services of hooks.example.com');
});

test('inside basic authentication, whatever stands before it and behind it', () => {
  const value = 'canary-plain-0123456789';
  for (const user of ['', 'a', 'ab', 'abc', 'abcd']) {
    for (const end of ['', 'x', 'xy', 'xyz']) {
      const encoded = Buffer.from(`${user}:${value}${end}`).toString('base64');
      const masked = maskerOf(value).mask(`Basic ${encoded}`);
      const left = Buffer.from(masked.replace('Basic ', '').replaceAll('***', ''), 'base64').toString(
        'latin1',
      );
      assert.match(masked, /\*\*\*/);
      assert.ok(!left.includes(value.slice(2, -2)), masked);
    }
  }
});

test('line by line: a log that breaks a key into its lines shows none of them', () => {
  const masked = maskerOf(pem).mask(
    pem
      .split('\n')
      .map((line) => `  | ${line}`)
      .join('\n'),
  );
  for (const line of pem.split('\n')) assert.ok(!masked.includes(line));
});

test('a passphrase that a screen wraps at its spaces', () => {
  const masker = maskerOf('correct horse battery staple of the vault');
  assert.equal(masker.mask('correct horse'), '***');
  assert.equal(masker.mask('          battery staple of the vault'), '          ***');
});

test('across chunk borders, cut at every place and byte by byte', () => {
  const text = `begin ${canaries[1]} middle ${Buffer.from(canaries[1] ?? '').toString('base64')} end\n`;
  const expected = 'begin *** middle *** end\n';
  const written = (pieces: readonly string[]): string => {
    let out = '';
    const writer = new MaskedWriter(maskerOf(canaries[1] ?? ''), (piece) => {
      out += piece;
    });
    for (const piece of pieces) writer.write(piece);
    writer.flush();
    return out;
  };
  for (let cut = 0; cut <= text.length; cut += 1) {
    assert.equal(written([text.slice(0, cut), text.slice(cut)]), expected, `cut at ${cut}`);
  }
  assert.equal(written([...text]), expected);
});

test('what is held back is no more than what may be a secret', () => {
  let out = '';
  const writer = new MaskedWriter(maskerOf('canary-plain-0123456789'), (piece) => {
    out += piece;
  });
  writer.write('a question? [y/N] ');
  assert.equal(out, 'a question? [y/N] ');
  writer.write('can');
  assert.equal(out, 'a question? [y/N] ');
  writer.write('cel');
  assert.equal(out, 'a question? [y/N] cancel');
});

test('several secrets, one inside the other: the longer goes first', () => {
  const masker = maskerOf('12345678', 'abc-12345678-def');
  assert.equal(masker.mask('abc-12345678-def 12345678'), '*** ***');
});

test('control 7: a canary in a report reaches neither screen nor --json nor errors', async (context) => {
  const canary = 'canary-in-a-report-77';
  const configuration = JSON.stringify({
    name: 'vault',
    environments: {
      production: {
        surfaces: {
          web: { provider: 'server', kind: 'web', options: { switch: { gateway: { port: 80 } } } },
        },
        notifications: { team: [{ provider: 'slack', options: { webhook: { $secret: 'HOOK' } } }] },
      },
    },
  });
  const surfaces = [
    { surface: 'web', now: 'r42', text: `token ${canary}, ${Buffer.from(canary).toString('hex')}` },
  ];
  const options = { configuration, environment: { HOOK: canary } };
  for (const words of [['status'], ['status', '--json']]) {
    const ended = await drive(context, words, { status: async () => sampleStatus({ surfaces }) }, options);
    assert.match(ended.stdout, /token \*\*\*,\s+\*\*\*/);
    assert.ok(!`${ended.stdout}${ended.stderr}`.includes(canary));
  }
  const fails = async (): Promise<never> => {
    throw new Error(`request with ${canary} failed`, { cause: new Error(canary) });
  };
  const failed = await drive(context, ['status', '--json', '--debug'], { status: fails }, options);
  assert.equal(failed.code, 1);
  assert.ok(!`${failed.stdout}${failed.stderr}`.includes(canary));
  assert.match(failed.stderr, /request with \*\*\* failed/);
});

test('control 7: a canary in an event does not reach the --events file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unship-events-'));
  try {
    const file = new EventsFile(folder, 'events.ndjson', maskerOf('canary-"event"-1'), () => 5);
    file.write({ type: 'note', run: 3, text: 'said canary-"event"-1\u009b31m' });
    file.close();
    const text = readFileSync(join(folder, 'events.ndjson'), 'utf8');
    assert.deepEqual(JSON.parse(text), {
      schema: 'unship.event/1',
      at: 5,
      type: 'note',
      run: 3,
      text: 'said ***\u009b31m',
    });
    assert.ok(!text.includes('\u009b'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const hostile: readonly string[] = [
  '\x1b[31mred',
  '\x1b]0;title\x07',
  '\x1b]8;;http://x\x1b\\link',
  '\x9b31m',
  '\x90dcs\x9c',
  '\x07',
  '\b\b\b',
  '\r overwritten',
  '\u202egnp.exe',
  '\u2066isolate\u2069',
  '\u200f',
  '\u061c',
  '\u200bzero',
  '\ufeffbom',
  '\u2028line',
  '\u00adsoft',
  '\u{e0041}tag',
  '\x7f',
  '\x00',
];

test('control 20: control characters of outside text do not reach the terminal', () => {
  const dangerous = /[^\P{Cc}\n]|\p{Cf}|[\u2028\u2029]/u;
  for (const text of hostile) {
    assert.doesNotMatch(harmless(text), dangerous, JSON.stringify(text));
    assert.doesNotMatch(harmlessJson({ text }), dangerous, JSON.stringify(text));
    assert.deepEqual(JSON.parse(harmlessJson({ text })), { text });
    let out = '';
    const stream = { isTTY: true, columns: 80, write: (piece: string) => (out += piece) };
    const terminal = new Terminal({
      stdout: stream,
      stderr: stream,
      masker: new Masker(),
      colour: { stdout: false, stderr: false },
      redraws: false,
      quiet: false,
    });
    terminal.result([text]);
    terminal.alert([text]);
    terminal.question(text);
    assert.doesNotMatch(out.replaceAll('\n', ''), dangerous, JSON.stringify(text));
  }
});

test('a line break in outside text does not forge a line of ours', () => {
  assert.equal(oneLine('all well\nok    web  r41 live\r\nExit 0'), 'all well ok    web  r41 live Exit 0');
});
